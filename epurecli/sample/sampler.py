"""THE sampler: a request -> blocks of designs. It knows a function that generates, not which model or runtime is
behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from epurecli.data.conditions import ConditionScaler
from epurecli.errors import NumericalError
from epurecli.pictures.crisp import crisp
from epurecli.sample.drawn import Drawn, join
from epurecli.sample.noise import design_noise
from epurecli.types import Mode, Noise, Query

BLOCK = 16  # designs computed together on the CPU: the fastest block there, and memory stays flat
BLOCK_CUDA = 256
EXAMPLES, SHOWN = 3, 24  # draws of each of the first designs that a contact sheet may show

Generate = Callable[[Query, Sequence[Noise]], Tensor]  # a query of B designs, S draws -> images (S, B, C, H, W)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What to draw. Rows point into `images`, so that a large data set stays on disk."""

    mode: Mode
    names: Sequence[str]  # (M,) one per design
    seed: int = 0
    draws: int = 1
    keep_draws: bool = False
    crisp: bool = False
    conditions: NDArray[np.float64] | None = None  # (M, D) raw units
    images: NDArray[np.uint8] | None = None  # (K, C, H, W): observed components, and the truth
    rows: NDArray[np.int64] | None = None  # (M,) into images
    mask: NDArray[np.bool_] | None = None  # (M, C) True = observed
    has_truth: bool = False  # whether `images` also holds what the mask hides
    first: int = 0  # the number of its first design in the request that it was cut from

    def __len__(self) -> int:
        return len(self.names)


class Numbered(Sequence[str]):
    """sample_00000, sample_00001, ...: names of any number of designs, made when asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        chosen = range(self.count)[index]
        return [_numbered(i) for i in chosen] if isinstance(chosen, range) else _numbered(chosen)


def _numbered(number: int) -> str:
    return f"sample_{number:05d}"


def draw(
    request: Request,
    generate: Generate,
    scaler: ConditionScaler,
    device: torch.device,
    block: int | None = None,
) -> Iterator[Drawn]:
    """Blocks of designs, in order.

    The unit of computation is fixed: design i always stands at place i % block of its block, and a short block is
    padded.
    So a design's bits depend on the seed and its number alone, not on how many others were asked for.
    """
    block = block or (BLOCK_CUDA if device.type == "cuda" else BLOCK)
    if request.first % block:
        raise ValueError(f"a request is cut at a multiple of {block}, not at {request.first}")
    for start in range(0, len(request), block):
        part = cut(request, start, min(start + block, len(request)))
        yield _block(part, generate, scaler, device, block)


def cut(request: Request, start: int, stop: int) -> Request:
    """Designs start .. stop - 1 of a request, holding only the images that they need."""
    part = slice(start, stop)
    return replace(
        request,
        names=request.names[part],
        conditions=request.conditions[part] if request.conditions is not None else None,
        images=request.images[request.rows[part]] if request.images is not None else None,
        rows=np.arange(stop - start) if request.images is not None else None,
        mask=request.mask[part] if request.mask is not None else None,
        first=request.first + start,
    )


def query_of(
    request: Request,
    scaler: ConditionScaler,
    device: torch.device,
    designs: slice | NDArray[np.integer] = slice(None),
    rows: int | None = None,
) -> Query:
    """What a model is asked about designs of a request.

    Args:
        designs: which, by their places (default: all).
        rows: as many as the query is to have; the last design is repeated.
    """
    raw, mask = request.conditions, request.mask
    count = rows or len(np.arange(len(request))[designs])
    asked = torch.zeros(count, len(scaler.columns)) if raw is None else _padded(scaler.encode(raw[designs]), count)
    observed = None
    if mask is not None:
        assert request.images is not None
        assert request.rows is not None
        levels = request.images[request.rows[designs]]
        observed = _padded(levels, count).to(device).float().div_(255)
    return Query(
        condition=asked.to(device),
        present=torch.full((count, 1), 0.0 if raw is None else 1.0, device=device),
        observed=observed,
        mask=_padded(mask[designs], count).to(device) if mask is not None else None,
    )


def grouped(blocks: Iterator[Drawn], batch_sz: int) -> Iterator[Drawn]:
    """Hand on at least `batch_sz` designs at a time (the last group may be short), or as few as a block has."""
    held: list[Drawn] = []
    for drawn in blocks:
        held.append(drawn)
        if sum(map(len, held)) >= batch_sz:
            yield join(held)
            held = []
    if held:
        yield join(held)


def _block(request: Request, generate: Generate, scaler: ConditionScaler, device: torch.device, block: int) -> Drawn:
    """A whole request of at most one block."""
    count, mask, levels = len(request), request.mask, request.images
    noise = design_noise(request.seed, request.first, count, request.draws, block, device)
    draws = generate(query_of(request, scaler, device, rows=block), noise)[:, :count]  # (S, B, C, H, W)
    finite = torch.isfinite(draws).flatten(2).all(-1).all(0)
    if not finite.all():  # before anything rounds or cuts: what is no number would become black
        name = request.names[int((~finite).nonzero()[0, 0])]
        raise NumericalError(
            f"the model gives values for {name} that are not finite",
            "its weights are damaged, or it is asked for conditions far beyond those it was trained on",
        )
    mean = draws.mean(0).cpu().numpy()
    spread = draws.std(0, correction=0).cpu().numpy() if mask is not None and request.draws > 1 else None
    single, examples = request.draws == 1, None
    if spread is not None and request.first < SHOWN:
        examples = _shown(draws[:EXAMPLES].cpu().numpy().swapaxes(0, 1), request.crisp)
    return Drawn(
        names=request.names,
        images=crisp(mean) if request.crisp and single else mean,
        mask=mask,
        observed=levels if mask is not None else None,
        spread=spread,
        draws=_shown(draws.cpu().numpy().swapaxes(0, 1), request.crisp) if request.keep_draws else None,
        truth=levels if request.has_truth else None,
        conditions=request.conditions,
        examples=examples,
    )


def _shown(draws: NDArray[np.float32], as_parts: bool) -> NDArray[np.float32]:
    return crisp(draws) if as_parts else draws


def _padded(rows: NDArray, count: int) -> Tensor:
    """Rows repeated up to the block's size: the padding is computed and dropped."""
    if len(rows) < count:
        rows = np.concatenate([rows, np.repeat(rows[-1:], count - len(rows), axis=0)])
    return torch.from_numpy(np.ascontiguousarray(rows))
