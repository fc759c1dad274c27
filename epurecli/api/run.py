"""A trained model to sample, complete, judge and export."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.api.run_data import open_run_data
from epurecli.api.sampling import Sampling, prepare, steps_told
from epurecli.checkpoint import TrainedModel, load_model, newest_run
from epurecli.config import RunConfig
from epurecli.data.dataset import Dataset
from epurecli.data.partial import Observed
from epurecli.errors import NotFound, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.models.registry import REGISTRY, entry_of
from epurecli.sample.conditions import Value, from_values
from epurecli.sample.names import parse_component, parse_mode
from epurecli.sample.request import SampleOptions
from epurecli.types import Mode

if TYPE_CHECKING:
    import pandas as pd

    from epurecli.evaluate import Report


@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """A finished training run, or one as it stands.

    Attributes:
        trained: the model with its weights, and the facts of its training.
        device: where it computes: auto, cpu, cuda, cuda:0, ...
        listener: is told about the work; nobody by default.
    """

    trained: TrainedModel
    device: str = "auto"
    listener: Listener = QUIET

    @property
    def model(self) -> str:
        """The model's name: vae, gmrf_mvae, ..."""
        return self.trained.config.model.type

    @property
    def path(self) -> Path:
        """The run folder."""
        return self.trained.path.parent

    @property
    def config(self) -> RunConfig:
        """The config that it was trained with, every default spelled out."""
        return self.trained.config

    @property
    def components(self) -> tuple[str, ...]:
        """The components' names, in the order of the images' axis."""
        return self.config.data.component_dirs

    @property
    def modes(self) -> tuple[str, ...]:
        """What it can be asked."""
        return tuple(sorted(mode.value for mode in self.trained.model.modes))

    @property
    def conditions(self) -> pd.DataFrame:
        """Range of each condition over the training designs, raw units: columns minimum and maximum."""
        import pandas as pd

        scaler = self.trained.scaler
        ranges = {"minimum": list(scaler.minimum), "maximum": list(scaler.maximum)}
        return pd.DataFrame(ranges, index=pd.Index(scaler.columns, name="condition"))

    @cached_property
    def _dataset(self) -> Dataset:
        return open_run_data(self.trained, None, self.listener)

    @property
    def test(self) -> Designs:
        """The designs of the run's own data that training never read, with all components that they have.

        Raises: NotFound, DataError: the data is not there any more.
        """
        data, rows = self._dataset, self._dataset.test
        return Designs(
            images=data.raw_images(rows),
            components=data.components,
            names=tuple(data.prefixes[i] for i in rows),
            columns=data.scaler.columns,
            values=data.conditions[rows],
            given=np.ones((len(rows), len(data.components)), bool) if data.known is None else data.known[rows],
        )

    def sample(
        self,
        count: int | None = None,
        /,
        *,
        mode: str | None = None,
        seed: int = 0,
        conditions: Mapping[str, Value] | pd.DataFrame | None = None,
        crisp: bool | None = None,
        open: Literal["draw", "expect"] = "draw",
        backend: Literal["torch", "onnx", "auto"] = "torch",
        **values: Value,
    ) -> Designs:
        """Draw designs. A design depends on the seed, its number and its conditions alone.

        Args:
            count: how many (default: the config's, or one for each row of `conditions`).
            mode: unconditional or conditional (default: conditional where a condition is given, else the config's).
            seed: the same seed gives the same designs, bit for bit, as `epure sample --seed` does.
            conditions: the same as keywords, for names that are no Python names; or the `conditions` of other designs.
            crisp: parts in black and white, each pixel of one owner, or grey means (default: the config's).
            backend: torch, onnx (after `export`), or the faster of the two.
            **values: conditions in raw units: `width_px=58`; a tuple is a range, from which each design gets a value
                of its own: `d_rigid=(0.1, 0.3)`; a list has one value a design. Without any, `conditional` takes those
                of the test designs.
            open: what conditions that are left open take: a value drawn for each design as the training data has it
                given the rest, or the expected one.

        Raises:
            UsageError: no such mode or condition.
            UnsupportedMode: the model does not have it.
        """
        table = self._table(count, seed, conditions, values)
        wanted = Mode.CONDITIONAL if table is not None else None
        if mode is not None:
            wanted = parse_mode(mode)
        options = SampleOptions(mode=wanted, count=count, seed=seed, conditions=table, crisp=crisp, open=open)
        if options.of(self.trained).observes:
            raise UsageError(f"mode {options.of(self.trained).value!r} completes designs", "use Run.complete")
        return self._draw(options, backend)

    def complete(
        self,
        designs: Designs,
        /,
        *,
        draws: int | None = None,
        seed: int = 0,
        conditions: Mapping[str, Value] | pd.DataFrame | None = None,
        crisp: bool | None = None,
        keep_draws: bool = True,
        open: Literal["draw", "expect"] = "draw",
        backend: Literal["torch", "onnx", "auto"] = "torch",
        **values: Value,
    ) -> Designs:
        """Draw what partial designs lack; what is given stays bit for bit.

        Args:
            designs: partial ones: `designs.only("fpu")`, `designs.without("bt")`, `epure.read("my drawings")`.
            draws: completions of each design (default: the config's); images are their mean, `spread` tells how they
                differ.
            seed: as `epure sample --seed`.
            conditions, values, open: as for `sample`; what is left open is drawn given the parts too. The conditions
                that designs were drawn at are not taken over.
            crisp: each draw in black and white, or grey (default: the config's).
            keep_draws: whether to keep every draw: (B, S, C, H, W) uint8.

        Raises:
            UsageError: components that the model does not know; images of another size.
            DataError: designs of which nothing, or everything, is given.
        """
        table = self._table(len(designs), seed, conditions, values)
        options = SampleOptions(
            mode=Mode.INPAINTING,
            seed=seed,
            conditions=table,
            partial=self._observed(designs),
            has_truth=designs.truth is not None,
            draws=draws,
            keep_draws=keep_draws,
            crisp=crisp,
            open=open,
        )
        return self._draw(options, backend)

    def evaluate(
        self,
        data: str | Path | None = None,
        *,
        num_samples: int = 500,
        completions: int = 3000,
        seed: int = 0,
        nll: bool = False,
    ) -> Report:
        """Judge the model as `epure evaluate` does: validity, conditioning, inpainting, distribution, novelty.

        Args:
            data: real designs to hold against (default: the run's own test designs).
            num_samples: designs to sample in each mode.
            completions: test designs to complete at most, ten times each; 100 at least from every subset of parts.
            nll: also bound the likelihood of the test designs, in nats per design.

        Returns:
            Metrics, each beside what real designs score: `report["validity", "one object"].value`.

        Raises: NotFound, DataError: of the data; UsageError: a bound that the model does not have.
        """
        from epurecli.api.judging import blocks_to_draw, judge_model, reference_of

        dataset = self._dataset if data is None else open_run_data(self.trained, Path(str(data)), self.listener)
        asked = (self.trained, dataset, reference_of(dataset), num_samples, seed, self.device)
        with steps_told(self.trained.model, blocks_to_draw(dataset, num_samples, completions), self.listener):
            return judge_model(*asked, nll=nll, completions=completions)

    def export(
        self,
        folder: str | Path | None = None,
        *,
        graphs: Sequence[str] = (),
        verify: bool = True,
        overwrite: bool = False,
    ) -> Path:
        """Write portable ONNX graphs with a manifest, compared with torch before anything is left.

        Args:
            folder: to appear (default: onnx/<model>/<run>, where `backend="onnx"` looks).
            graphs: only these (default: all).

        Raises: UsageError: no such graph, the folder is in use; EpureError: a graph differs from torch.
        """
        from epurecli.export.folder import export_folder, onnx_folder

        out = onnx_folder(self.trained.path) if folder is None else Path(folder)
        report = self.listener.progress
        export_folder(self.trained, out, names=graphs, verify=verify, overwrite=overwrite, report=report)
        return out

    @property
    def summary(self) -> str:
        """One line: which weights these are."""
        trained = self.trained
        return f"model: {trained.path}, epoch {trained.epoch}, loss {trained.metric:.4g}"

    def __repr__(self) -> str:
        return f"<Run of {self.model}: {self.path}, epoch {self.trained.epoch}, loss {self.trained.metric:.4g}>"

    def _repr_html_(self) -> str:
        facts = {
            "model": self.model,
            "run": str(self.path),
            "data": str(self.trained.facts["data"].get("source", "")),
            "components": ", ".join(self.components),
            "modes": ", ".join(self.modes),
            "best epoch": f"{self.trained.epoch}, loss {self.trained.metric:.4g}",
        }
        rows = "".join(f"<tr><th>{key}</th><td>{html.escape(value[:500])}</td></tr>" for key, value in facts.items())
        return f"<table>{rows}</table>{self.conditions.head(30).to_html()}"

    def _table(
        self,
        count: int | None,
        seed: int,
        given: Mapping[str, Value] | pd.DataFrame | None,
        values: Mapping[str, Value],
    ) -> NDArray[np.float64] | None:
        named: dict[str, Value] = {str(key): value for key, value in (given.items() if given is not None else ())}
        twice = sorted(named.keys() & values.keys())
        if twice:
            raise UsageError(f"condition {twice[0]!r} is given twice")
        named |= values
        return from_values(named, self.trained.scaler.columns, count, seed) if named else None

    def _observed(self, designs: Designs) -> Observed:
        """What is given of designs, and what is known of the rest, in the model's order of components."""
        size = tuple(self.config.model.image_size)
        if designs.images.shape[2:] != size:
            sizes = ["x".join(map(str, pair)) for pair in (designs.images.shape[2:], size)]
            raise UsageError(f"the images are {sizes[0]} (height x width); the model was trained on {sizes[1]}")
        places = [parse_component(name, self.components) for name in designs.components]
        whole = designs.images if designs.truth is None else designs.truth
        shown = np.where(designs.given[:, :, None, None], designs.images, whole)
        images = np.zeros((len(designs), len(self.components), *size), np.uint8)
        mask = np.zeros(images.shape[:2], bool)
        images[:, places] = shown
        mask[:, places] = designs.given if designs.partial else True
        return Observed(designs.names, images, mask)

    def _draw(self, options: SampleOptions, backend: str) -> Designs:
        sampling = prepare(self.trained, options, backend=backend, device=self.device, listener=self.listener)
        return designs_of(sampling)


def designs_of(sampling: Sampling) -> Designs:
    """All designs of a sampling, in memory."""
    trained = sampling.trained
    components, columns = trained.config.data.component_dirs, trained.scaler.columns
    return Designs.of(sampling.drawn(), components, columns, sampling.provenance)


def load(
    what: str | Path, *, which: Literal["best", "last"] = "best", device: str = "auto", listener: Listener = QUIET
) -> Run:
    """A trained model.

    Args:
        what: a run folder, a .safetensors file in one, or a model's name: its newest finished run under the config's
            output folder.
        which: best or last weights of the run.
        device: where it computes: auto, cpu, cuda, cuda:0, ...

    Raises:
        NotFound: no such run, or none that has finished.
        CheckpointError: missing, damaged or altered files.
    """
    if which not in ("best", "last"):
        raise UsageError(f"which={which!r}: expected best or last")
    if str(what) in REGISTRY:
        return open_run(str(what), which=which, device=device, listener=listener)
    if not Path(what).exists():
        raise NotFound(f"{what}: no such run or checkpoint", hint=f"a run folder, or a model: {', '.join(REGISTRY)}")
    return Run(load_model(Path(what), which), device, listener)


def open_run(
    model: str,
    checkpoint: Path | None = None,
    which: str = "best",
    runs: Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    listener: Listener = QUIET,
) -> Run:
    """A run of this model: the checkpoint's, or the newest finished one under `runs` (default: the config's folder).

    Args:
        overrides: `sampling.key=value`, how to draw.

    Raises: NotFound, CheckpointError; UsageError: no such model, or the run of another.
    """
    entry_of(model)
    found = checkpoint or newest_run(runs or runs_folder(model), model)
    return Run(load_model(found, which, expect=model, overrides=overrides), device, listener)


def runs_folder(model: str) -> Path:
    """Where the runs of a model go unless its config says otherwise; every shipped config says this."""
    return Path("outputs") / model
