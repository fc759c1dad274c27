"""Draws what a document asks for. It knows a function that generates, no model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray

from epurecli.api.engines import Engine as Backend
from epurecli.api.engines import choose
from epurecli.api.run import Run
from epurecli.errors import UsageError
from epurecli.listener import SILENT
from epurecli.pictures.crisp import owners
from epurecli.sample.sampler import Request, cut, draw
from epurecli.studio.asking import Drawing, Labels, completing_request, drawing_of, free_request, values_of
from epurecli.studio.guide import agreement, refine
from epurecli.studio.messages import Document
from epurecli.studio.picture import Picture
from epurecli.types import Mode

VARIANTS = 24  # free designs on the page
POOL = 256  # designs among which the nearest to what is painted are looked for
REFINED = 8  # of them that are brought nearer
POOL_IN_STEPS = 32  # of a model that draws in steps
SLOW_MS = 30.0  # a block that takes longer is announced by the one design that is looked at

Stop = Callable[[], bool]  # whether something newer is asked for
Progress = Callable[[int, int], None]  # steps done, of how many


class Superseded(Exception):
    """Something newer was asked for; what was begun is of no use."""


@dataclass(frozen=True, slots=True, eq=False)
class _Pool:
    """Designs of one request, drawn as far as they were needed."""

    key: tuple[object, ...]
    labels: Labels  # (N, H, W)


class Engine:
    """One run, ready to draw. Used by one thread at a time.

    Args:
        run: the trained model.
        columns: the names of the brief's conditions, which several runs share.
    """

    def __init__(self, run: Run, columns: tuple[str, ...] | None = None) -> None:
        self.run, self.trained = run, run.trained
        self.columns = run.trained.scaler.columns if columns is None else columns
        height, width = run.config.model.image_size
        self._size = (height, width)
        self._backend: Backend | None = None
        self._pool: _Pool | None = None
        self._block_ms = 0.0

    @property
    def backend(self) -> str:
        """What draws: torch on cpu, onnx on CPUExecutionProvider, ..."""
        return self._ready().name

    @property
    def slow(self) -> bool:
        """Whether a block of designs takes longer than a hand notices."""
        return self._block_ms > SLOW_MS or self.trained.model.steps > 1

    @property
    def completes(self) -> bool:
        """Whether parts can be given."""
        return Mode.INPAINTING in self.trained.model.modes and len(self.run.components) > 1

    def use(self, backend: Backend) -> None:
        """Let something else draw from the next request on."""
        self._backend, self._pool, self._block_ms = backend, None, 0.0

    def answer(
        self,
        document: Document,
        stop: Stop = lambda: False,
        *,
        first: int = 0,
        closer: bool = False,
        progress: Progress = lambda done, total: None,
    ) -> Iterator[Picture]:
        """Draw; where that is slow, the design with number `first` comes alone before all.

        Args:
            stop: asked between blocks and steps.
            closer: whether to spend a second on designs nearer to what was painted.

        Raises:
            UsageError: a document that does not fit the model; nothing is left to draw.
            Superseded: `stop` said so.
        """
        began = time.perf_counter()
        drawing = drawing_of(document, self.run.components, self._size)
        request = self._request(document, drawing)
        wished = bool(drawing.wishes.any()) or document.like is not None
        pool = POOL if self.trained.model.steps == 1 else POOL_IN_STEPS
        blocks = -(-(pool if wished else len(request)) // self._ready().block) + (self.slow and not wished)
        with self._told(stop, progress, blocks):
            if wished:
                yield from self._nearest(document, drawing, request, stop, closer, began)
                return
            if self.slow and len(request) > 1:
                first = min(first, len(request) - 1)
                one = self._labels(cut(request, first, first + 1), drawing, stop, block=1)
                yield Picture(one, np.array([first], np.uint32), preview=True, milliseconds=_since(began))
            labels = self._labels(request, drawing, stop)
        numbers = np.arange(len(labels), dtype=np.uint32)
        if not drawing.given.any():
            yield Picture(labels, numbers, milliseconds=_since(began))
            return
        counts = counted(labels, len(self.run.components))
        most = self._fixed(owners(counts / np.float32(len(labels)))[None].astype(np.uint8), drawing)
        yield Picture(
            np.concatenate([most, labels]),
            np.concatenate([numbers[:1], numbers]),
            counts,
            len(labels),
            milliseconds=_since(began),
        )

    def _request(self, document: Document, drawing: Drawing, number: int | None = None) -> Request:
        asked = values_of(document.brief, self.columns, self.trained.scaler.columns)
        if not drawing.given.any():
            return free_request(self.trained, asked, document.seed, number or VARIANTS)
        if drawing.given.all():
            raise UsageError("every part is given: there is nothing to draw", "free a part to vary it")
        if not self.completes:
            raise UsageError(f"{self.run.model} cannot complete designs", "free every part: it draws whole ones")
        return completing_request(self.trained, drawing, asked, document.seed, number or document.draws)

    def _nearest(
        self, document: Document, drawing: Drawing, request: Request, stop: Stop, closer: bool, began: float
    ) -> Iterator[Picture]:
        """The nearest of many designs to what was painted; then, if wanted, nearer ones."""
        size = POOL if self.trained.model.steps == 1 else POOL_IN_STEPS
        paint, where = drawing.paint, drawing.wishes
        if document.like is not None:
            paint, where = document.like.reshape(self._size), np.ones(self._size, bool)
        key = (document.brief, document.seed, document.states, drawing.images.tobytes(), size)
        if self._pool is None or self._pool.key != key:
            whole = self._request(document, drawing, size)
            self._pool = _Pool(key, self._labels(whole, drawing, stop))
        labels = self._pool.labels
        share = agreement(labels, paint, where)
        order = np.argsort(-share, kind="stable")[: max(len(request), document.draws)]

        def ranked(chosen: Labels, numbers: NDArray[np.uint32], kept: float, preview: bool) -> Picture:
            counts = counted(chosen[: document.draws], len(self.run.components))
            return Picture(
                chosen, numbers, counts, min(document.draws, len(chosen)), preview, True, kept, _since(began)
            )

        numbers = order.astype(np.uint32)
        best, kept = labels[order], float(share[order[0]])
        if closer and self.trained.model.steps == 1:
            yield ranked(best, numbers, kept, True)
            base = self._request(document, drawing, size)
            for images, kept in refine(self.trained, base, order[:REFINED], paint, where, stop):
                near = self._fixed(owners(images).astype(np.uint8), drawing)
                best = np.concatenate([near, labels[order][len(near) :]])
                yield ranked(best, numbers, kept, True)
            if stop():
                raise Superseded
        yield ranked(best, numbers, kept, False)

    def _labels(self, request: Request, drawing: Drawing, stop: Stop, block: int | None = None) -> Labels:
        backend, parts = self._ready(), []
        for start in range(0, len(request), backend.block):
            if stop():
                raise Superseded
            began = time.perf_counter()
            piece = cut(request, start, min(start + backend.block, len(request)))
            for drawn in draw(piece, backend.generate, self.trained.scaler, backend.device, block or backend.block):
                parts.append(owners(drawn.images).astype(np.uint8))
            if block is None:
                spent = _since(began)
                self._block_ms = spent if self._block_ms == 0 else 0.7 * self._block_ms + 0.3 * spent
        return self._fixed(np.concatenate(parts), drawing)

    def _fixed(self, labels: Labels, drawing: Drawing) -> Labels:
        """What is given, bit for bit."""
        return np.where(drawing.fixed, drawing.paint, labels)

    def _ready(self) -> Backend:
        if self._backend is None:
            anything = Request(Mode.UNCONDITIONAL, [])  # torch does not look at it
            self._backend = choose("torch", None, self.run.device, self.trained, anything, SILENT)
        return self._backend

    @contextmanager
    def _told(self, stop: Stop, progress: Progress, blocks: int) -> Iterator[None]:
        """Within it, a model that draws in many steps tells each, and stops at the next when told to."""
        model, done = self.trained.model, count(1)
        total = model.steps * blocks

        def step() -> None:
            if stop():
                raise Superseded
            progress(min(next(done), total), total)

        if model.steps > 1:
            model.on_step = step
        try:
            yield
        finally:
            model.on_step = None


def counted(labels: Labels, parts: int) -> NDArray[np.uint16]:
    """(N, H, W) owners -> (C, H, W) how many of the N designs give the pixel to each component."""
    return np.stack([(labels == part).sum(0) for part in range(1, parts + 1)]).astype(np.uint16)


def _since(began: float) -> float:
    """Milliseconds."""
    return 1000 * (time.perf_counter() - began)
