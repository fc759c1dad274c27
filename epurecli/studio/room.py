"""What all pages share: runs, the session, the one thread that computes, and what goes on in the background."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from epurecli.api.engines import Engine as Backend
from epurecli.api.run import Run
from epurecli.errors import EpureError, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.pictures.palette import colour, css
from epurecli.studio.advice import Advice
from epurecli.studio.engine import Engine
from epurecli.studio.facts import Training, training_of
from epurecli.studio.graphs import Export, standing, worthwhile
from epurecli.studio.honesty import shown_spread
from epurecli.studio.session import Session
from epurecli.version import __version__

_SAVE_S = 0.2  # between looks whether the session has changed: a drag is a few writes, not a hundred

Announce = Callable[[dict[str, Any]], None]


class _Told:
    """A listener that tells every page how far long work is."""

    def __init__(self, room: Room) -> None:
        self._room = room

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        self._room.listener.warn(text)

    def progress(self, what: str, done: int, total: int) -> None:
        self._room.announce({"kind": "progress", "seq": None, "what": what, "done": done, "total": total})


class Room:
    """Opened by a server, closed with it.

    Args:
        runs: of the same parts and size; the first one's are shown first.
        folder: of sessions and exports.

    Raises: UsageError: no run, runs that differ; see `Session`.
    """

    def __init__(self, runs: Sequence[Run], folder: Path, name: str | None = None, listener: Listener = QUIET) -> None:
        self.folder, self.listener = folder, listener
        self.runs = tuple(replace(run, listener=_Told(self)) for run in runs)
        if not self.runs:
            raise UsageError(
                "there is no run to draw with", "train one: epure train vae --config vae_toy --budget 120s"
            )
        first = self.runs[0]
        for run in self.runs:
            if run.components != first.components or run.config.model.image_size != first.config.model.image_size:
                raise UsageError(
                    f"{run.path} draws other parts than {first.path}: {', '.join(run.components)}",
                    "open them one by one, each with a --session of its own",
                )
        self.columns = tuple(dict.fromkeys(name for run in self.runs for name in run.trained.scaler.columns))
        self.engines = [Engine(run, self.columns) for run in self.runs]
        self.advice = [Advice(run) for run in self.runs]
        self.training: list[Training | None] = [None for _ in self.runs]
        self.reasons = ["the training designs are being read" for _ in self.runs]
        height, width = first.config.model.image_size
        self.size = (height, width)
        self.session = Session(folder, name or first.model, first.components, self.size, self.columns)
        self.worker = ThreadPoolExecutor(1, thread_name_prefix="studio")
        self.spreads: dict[tuple[int, tuple[bool, ...]], float | None] = {}
        self.pages: set[Announce] = set()
        self.exports: dict[str, Path] = {}
        self._graphs = tempfile.TemporaryDirectory(prefix="epure-studio-", ignore_cleanup_errors=True)
        self._export: Export | None = None
        self._closing = False

    # --- what pages are told ------------------------------------------------------------------------------------------

    def hello(self) -> dict[str, Any]:
        """Everything that a page needs to begin with."""
        state = self.session.state
        return {
            "kind": "hello",
            "version": __version__,
            "session": self.session.name,
            "file": str(self.session.path),
            "runs": [self._described(index) for index in range(len(self.runs))],
            "components": [
                {"name": name, "colour": css(colour(index))} for index, name in enumerate(self.runs[0].components)
            ],
            "size": self.size,
            "columns": [self._column(name) for name in self.columns],
            **{key: state.model_dump(mode="json")[key] for key in ("document", "settings", "kept")},
        }

    def _described(self, index: int) -> dict[str, Any]:
        run, engine = self.runs[index], self.engines[index]
        return {
            "name": run.path.name,
            "model": run.model,
            "path": str(run.path),
            "epoch": run.trained.epoch,
            "loss": run.trained.metric,
            "columns": list(run.trained.scaler.columns),
            "completes": engine.completes,
            "steps": run.trained.model.steps,
            "backend": engine.backend,
            "predicts": self.advice[index].ready,
            "histograms": {} if (known := self.training[index]) is None else known.histograms(),
            "reason": self.reasons[index],
        }

    def _column(self, name: str) -> dict[str, Any]:
        scalers = [run.trained.scaler for run in self.runs if name in run.trained.scaler.columns]
        places = [scaler.columns.index(name) for scaler in scalers]
        low = min(scaler.minimum[place] for scaler, place in zip(scalers, places, strict=True))
        high = max(scaler.maximum[place] for scaler, place in zip(scalers, places, strict=True))
        return {"name": name, "low": low, "high": high}

    def announce(self, message: dict[str, Any]) -> None:
        """Tell every page."""
        for page in tuple(self.pages):
            page(message)

    def spread(self, index: int, given: tuple[bool, ...], stop: Callable[[], bool]) -> tuple[float | None, int]:
        """How wide the spread of completions from these parts is beside the truth's, and on how many held-out designs
        that was measured: once, in the thread that computes, when nothing else is wanted."""
        training, engine = self.training[index], self.engines[index]
        if training is None or engine.trained.model.steps > 1 or not len(training.held_out):
            return None, 0
        if (index, given) not in self.spreads:
            found = shown_spread(engine, given, training.held_out, stop)
            if stop():
                return None, 0
            self.spreads[index, given] = found
        return self.spreads[index, given], len(training.held_out)

    def fit(self, index: int) -> None:
        """Fit the predictor of a run, and tell every page. Raises: see `Advice.fit`."""
        self.advice[index].fit()
        self.announce({"kind": "run", "index": index, **self._described(index)})

    # --- in the background --------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Read the training designs and bring ONNX Runtime up, in a thread of its own."""
        threading.Thread(target=self._prepare, name="studio-prepare", daemon=True).start()

    def _prepare(self) -> None:
        for index, run in enumerate(self.runs):
            self.training[index], self.reasons[index] = training_of(run)
            if self.training[index] is not None:
                self.advice[index].take_up()
            self.announce({"kind": "run", "index": index, **self._described(index)})
        for index, run in enumerate(self.runs):
            if self._closing or not worthwhile(run):
                continue
            backend = standing(run)
            if backend is None:
                self._export = Export(run, Path(self._graphs.name) / str(index))
                backend = self._export.result()
            if backend is not None and not self._closing:
                self.worker.submit(self._use, index, backend)

    def _use(self, index: int, backend: Backend) -> None:
        self.engines[index].use(backend)
        self.announce({"kind": "backend", "index": index, "name": backend.name})

    async def keep_saving(self) -> None:
        """Write the session soon after each change, until cancelled."""
        while True:
            if not self.session.changed:
                await asyncio.sleep(_SAVE_S)
                continue
            try:
                await asyncio.to_thread(self.session.save)
                self.announce({"kind": "saved"})
                await asyncio.sleep(_SAVE_S)
            except EpureError as error:
                self.announce({"kind": "error", "seq": None, "message": error.message, "hint": error.hint})
                await asyncio.sleep(2)

    def close(self) -> None:
        """Stop what goes on, save the session."""
        self._closing = True
        if self._export is not None:
            self._export.stop()
        self.worker.shutdown(wait=True, cancel_futures=True)
        self.session.close()
        self._graphs.cleanup()
