"""Sampling, settled: which designs, drawn by what. The one place where a request meets a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from epurecli.api.engines import Engine, choose
from epurecli.api.run_data import open_run_data
from epurecli.checkpoint import TrainedModel
from epurecli.data.dataset import Dataset
from epurecli.listener import QUIET, Listener
from epurecli.ranks import Ranks
from epurecli.sample.drawn import Drawn, join
from epurecli.sample.request import SampleOptions, build_request
from epurecli.sample.sampler import Request, grouped
from epurecli.sample.shared import draw_shared
from epurecli.sample.writer import SampleWriter
from epurecli.threads import Threads, cores

if TYPE_CHECKING:
    from epurecli.models.contract import GenerativeModel


@dataclass(frozen=True, slots=True, eq=False)
class Sampling:
    """What is to be drawn, and what draws it."""

    trained: TrainedModel
    request: Request
    engine: Engine

    @property
    def provenance(self) -> dict[str, str]:
        """Where the designs come from, as it stands in every row of the manifest."""
        return {
            "model": self.trained.config.model.type,
            "mode": self.request.mode.value,
            "seed": str(self.request.seed),
            "backend": self.engine.name,
            "checkpoint": self.trained.path.as_posix(),
            "checkpoint_sha256": self.trained.digest,
        }

    def blocks(self, ranks: Ranks | None = None) -> Iterator[Drawn]:
        """The designs, block by block; of several ranks, at rank 0."""
        engine, scaler = self.engine, self.trained.scaler
        return draw_shared(self.request, engine.generate, scaler, engine.device, engine.block, ranks or Ranks())

    def drawn(self) -> Drawn:
        """All designs at once."""
        return join(list(self.blocks()))

    def write(
        self,
        folder: Path,
        *,
        format: Literal["png", "npz"] = "png",
        overwrite: bool = False,
        batch_sz: int | None = None,
        ranks: Ranks | None = None,
        listener: Listener = QUIET,
    ) -> None:
        """Draw and write, a few designs at a time; of several ranks, rank 0 writes.

        Args:
            batch_sz: designs handed to the writer at a time (default: the config's); never changes a design.

        Raises: see `SampleWriter`.
        """
        blocks = self.blocks(ranks)
        if ranks is not None and not ranks.writes:
            for _ in blocks:  # drawn here, handed to rank 0
                pass
            return
        config, columns = self.trained.config, self.trained.scaler.columns
        told = steps_told(self.trained.model, -(-len(self.request) // self.engine.block) * self.request.draws, listener)
        writing = SampleWriter(
            folder, config.data.component_dirs, columns, format=format, overwrite=overwrite, provenance=self.provenance
        )
        with told, writing as writer:
            for drawn in grouped(blocks, batch_sz or config.sampling.batch_sz):
                writer.write(drawn)
                listener.progress("sampling", writer.count, len(self.request))


@contextmanager
def steps_told(model: GenerativeModel, evaluations: int, listener: Listener) -> Iterator[None]:
    """Within it, each step of a model that draws in many is told, of as many draws of a block of designs as are to
    come: one of them may take minutes."""
    done, total = count(1), evaluations * model.steps
    if model.steps > 1:
        model.on_step = lambda: listener.progress("steps", min(next(done), total), total)
    try:
        yield
    finally:
        model.on_step = None


def prepare(
    trained: TrainedModel,
    options: SampleOptions,
    *,
    data: Path | None = None,
    backend: str = "torch",
    onnx_dir: Path | None = None,
    device: str = "auto",
    ranks: Ranks | None = None,
    listener: Listener = QUIET,
) -> Sampling:
    """Settle what is drawn and by what.

    Args:
        data: designs whose test split is used where the options need one (default: the run's own data).
        backend: torch, onnx (after an export), or auto: the faster here.
        onnx_dir: the exported folder (default: onnx/<model>/<run>).
        ranks: those that draw together; all must come here.

    Raises: see `build_request` and `choose`.
    """

    def dataset() -> Dataset:
        return open_run_data(trained, data, listener)

    ranks = ranks or Ranks()
    threads = Threads(fixed=ranks.count > 1)
    number, most = threads.adjust(), len(cores())
    if not threads.fixed and number < most:
        listener.note(f"computing on {number} of {most} cores: other processes keep the rest busy")
    with ranks.first():
        request = build_request(trained, options, dataset, listener)
        engine = choose(backend, onnx_dir, device, trained, request, listener, number)
    fastest = ranks.agree_on(engine.kind)
    if engine.kind != fastest:  # each machine has tried for itself
        engine = choose(fastest, onnx_dir, device, trained, request, listener, number)
    return Sampling(trained, request, engine)


def sampling_of(trained: TrainedModel, request: Request, device: str = "auto") -> Sampling:
    """Sampling of a request that stands, in torch."""
    return Sampling(trained, request, choose("torch", None, device, trained, request, QUIET))
