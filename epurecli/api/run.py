"""A trained model to sample, complete, judge and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from epurecli.api import pictures
from epurecli.api.asked import conditions_of, observed_of
from epurecli.api.designing import Designed, Designer
from epurecli.api.designs import Designs
from epurecli.api.figures import frame_of
from epurecli.api.run_data import designs_in, open_run_data
from epurecli.api.sampling import prepare, steps_told
from epurecli.api.simulated import read_simulated
from epurecli.checkpoint import TrainedModel
from epurecli.config import RunConfig
from epurecli.data.dataset import Dataset
from epurecli.design.brief import Brief
from epurecli.design.predictor import Predictor
from epurecli.errors import UsageError
from epurecli.listener import QUIET, Listener
from epurecli.sample.conditions import Value
from epurecli.sample.names import parse_mode
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
        return designs_in(self._dataset, self._dataset.test)

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
        table = conditions_of(self.trained.scaler.columns, count, seed, conditions, values)
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
        table = conditions_of(self.trained.scaler.columns, len(designs), seed, conditions, values)
        options = SampleOptions(
            mode=Mode.INPAINTING,
            seed=seed,
            conditions=table,
            partial=observed_of(designs, self.config),
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

    def predict(self, designs: Designs, /) -> pd.DataFrame:
        """Figures of designs, from their images: those that the run's data has numbers of, conditions or not.

        The predictor is fitted at the first call, in seconds, and kept in the run folder.

        Returns:
            A row a design; for each figure NAME its prediction (sizes are measured), NAME_low and NAME_high: between
            them lie nine of ten designs like those of the data.

        Raises: NotFound, DataError: the run's data; UsageError: other components, or fewer than 50 known figures.
        """
        return frame_of(designs.names, self.predictor(observed_of(designs, self.config, whole=True).images))

    def design(
        self,
        *,
        target: Mapping[str, float] | None = None,
        ranges: Mapping[str, tuple[float, float]] | None = None,
        at_least: Mapping[str, float] | None = None,
        at_most: Mapping[str, float] | None = None,
        maximise: Sequence[str] = (),
        minimise: Sequence[str] = (),
        tolerance: float = 0.1,
        fix: Designs | None = None,
        count: int = 8,
        seed: int = 0,
        extrapolate: bool = False,
    ) -> Designed:
        """Designs of wanted figures that differ from each other, the best first; `len` may be below `count`.

        Args:
            target, ranges, at_least, at_most: figures by name, in raw units.
            maximise, minimise: figures of which as much or as little as the rest allows is wanted.
            tolerance: of targets, in standard deviations of the data.
            fix: one partial design whose given parts are kept bit for bit.
            extrapolate: also designs that differ more from the data than real designs do.

        Raises:
            UsageError: no such figure, contradictions, figures far beyond the data.
            Infeasible: no design has them; says which is in the way and what can be reached.
        """
        asked = {"target": target or {}, "range": ranges or {}, "at_least": at_least or {}, "at_most": at_most or {}}
        brief = Brief.of({**asked, "maximise": maximise, "minimise": minimise, "tolerance": tolerance})
        return self.answer(brief, fix, count=count, seed=seed, extrapolate=extrapolate)

    def answer(
        self,
        brief: Brief,
        fix: Designs | None = None,
        /,
        *,
        count: int = 8,
        seed: int = 0,
        extrapolate: bool = False,
        results: str | Path | None = None,
    ) -> Designed:
        """`design` of a brief that stands, such as one read from a file.

        Args:
            results: CSV with true figures of designs in its folder, which are learnt from first.
        """
        simulated = None
        if results is not None:
            simulated = read_simulated(Path(results), self.components, self.predictor.columns)
        return self._designer.design(brief, fix, count, seed, extrapolate, simulated)

    @property
    def predictor(self) -> Predictor:
        """What `predict` and `design` predict with: its columns, method, errors by cross-validation."""
        return self._designer.predictor

    @cached_property
    def _designer(self) -> Designer:
        return Designer(self.trained, self._dataset, self.listener, self.device)

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

    def card(self, *, license: str = "unknown", overwrite: bool = False) -> Path:
        """Write README.md into the run folder, so that it can be published: see docs/card.md.

        Its figures are those of the report in `report/` there, which is made first where there is none.

        Args:
            license: of the weights, as model hubs name it: apache-2.0, cc-by-4.0, ...
            overwrite: whether to replace an earlier card, and a report of other weights.

        Raises: UsageError: a README that is no card, or not to be replaced; NotFound, DataError: of the data.
        """
        from epurecli.api.card import write_card

        return write_card(
            self.trained, self.evaluate, lambda: self.sample(24, mode="unconditional").sheet(), license, overwrite
        )

    @property
    def summary(self) -> str:
        """One line: which weights these are."""
        return f"model: {self.trained.path}, epoch {self.trained.epoch}, loss {self.trained.metric:.4g}"

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
        return pictures.facts_html(facts) + str(self.conditions.head(30).to_html())

    def _draw(self, options: SampleOptions, backend: str) -> Designs:
        sampling = prepare(self.trained, options, backend=backend, device=self.device, listener=self.listener)
        return Designs.of(sampling.drawn(), self.components, self.trained.scaler.columns, sampling.provenance)
