"""The inverse question of a run: figures of designs, and designs of figures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epurecli.api.asked import observed_of
from epurecli.api.designs import Designs
from epurecli.api.engines import parse_device
from epurecli.api.figures import csv_text
from epurecli.api.simulated import Simulated
from epurecli.checkpoint import TrainedModel
from epurecli.config import RunConfig
from epurecli.data.dataset import Dataset
from epurecli.data.labels import Labels, read_labels
from epurecli.design.brief import Brief, Goals, goals_of
from epurecli.design.diagnose import infeasible
from epurecli.design.known import KnownDesigns, known_designs
from epurecli.design.predictor import Predictor, fit_predictor, load_predictor, save_predictor
from epurecli.design.propose import Given
from epurecli.design.search import IN_STEPS, QUICK, Pool, Search
from epurecli.errors import CannotWrite, UsageError
from epurecli.listener import Listener
from epurecli.sample.layout import BRIEF, DESIGNED, EXPLORER, REPORT, SIMULATE
from epurecli.types import Mode

if TYPE_CHECKING:
    import pandas as pd

PREDICTOR = "predictor.safetensors"  # in the run folder
_ENOUGH = 4  # acceptable designs for each that is wanted, to choose from


@dataclass(frozen=True, eq=False)
class Designed:
    """Designs that answer a brief, the best first.

    Attributes:
        designs: B of them, crisp.
        table: a row a design: rank, whether it was refined, `distance_px` to the nearest training design, and for each
            figure NAME what is predicted (of sizes: measured), NAME_low, NAME_high (a 90 % interval), and, of what the
            brief speaks of, NAME_asked in words.
        background: figures of all acceptable designs that were found, among which these were chosen.
        brief: what was asked.
    """

    designs: Designs
    table: pd.DataFrame
    background: pd.DataFrame
    brief: Brief

    def __len__(self) -> int:
        return len(self.designs)

    def save(self, folder: str | Path, *, overwrite: bool = False) -> Path:
        """Write what `epure design` writes: the designs as sampling does, designs.csv, to_simulate.csv, brief.yaml,
        report.html and explorer.html. All of it, or nothing.

        Raises: UsageError: the folder is in use; CannotWrite.
        """
        from epurecli.design.report import page
        from epurecli.explore import explorer_page

        own, table = self.designs, self.table
        empty = table[[]].assign(**dict.fromkeys(self.background.columns, ""))
        explorer = explorer_page(
            images=own.images, labels=own.labels, names=own.names, components=own.components,
            values=[(str(name), column) for name, column in table.items()], title="designs",
        )  # fmt: skip
        beside = {
            DESIGNED: csv_text(table),
            SIMULATE: csv_text(empty),
            BRIEF: self.brief.yaml,
            REPORT: page(own.images, table, self.background, self.brief),
            EXPLORER: explorer,
        }
        written = {name: text.encode() for name, text in beside.items()}
        return own.save(folder, overwrite=overwrite, beside=written)

    def __repr__(self) -> str:
        return f"<Designed: {len(self)} designs for {self.brief!r}>"

    def _repr_html_(self) -> str:
        figures = [name for name in self.background.columns if f"{name}_asked" in self.table]
        return self.designs._repr_html_() + str(self.table[[*figures, "distance_px"]].head(30).to_html())


@dataclass(frozen=True, eq=False)
class Designer:
    """Predicts and designs for one run; what it learns of the data it keeps."""

    trained: TrainedModel
    dataset: Dataset
    listener: Listener
    device: str = "auto"

    @cached_property
    def labels(self) -> Labels:
        """Figures of all designs of the data."""
        return read_labels(self.trained.config.data, self.dataset)

    @cached_property
    def known(self) -> KnownDesigns:
        """The designs that may be learnt from."""
        return known_designs(self.dataset, self.labels)

    @cached_property
    def predictor(self) -> Predictor:
        """Fitted on those; kept in the run folder, as long as the data says the same."""
        path, source = self.trained.path.parent / PREDICTOR, self._source
        found = load_predictor(path, source)
        if found is not None:
            return found
        found = self._fitted(self.known)
        try:
            save_predictor(path, found, source)
        except CannotWrite as error:
            self.listener.note(f"the predictor is not kept: {error.message}")
        return found

    @property
    def _source(self) -> str:
        """A digest of what the predictor is fitted on."""
        digest = hashlib.sha256(f"{self.dataset.digest} {self.labels.columns}".encode())
        digest.update(np.ascontiguousarray(self.labels.values, "<f8").data)
        return digest.hexdigest()

    def with_simulated(self, simulated: Simulated) -> tuple[Predictor, KnownDesigns]:
        """What is known once the true figures of further designs are: a predictor fitted again, and all designs."""
        known, own = self.known, simulated.designs
        values = np.full((len(own), len(known.columns)), np.nan)
        for place, name in enumerate(simulated.columns):
            values[:, known.columns.index(name)] = simulated.values[:, place]
        bits = np.concatenate([known.bits, own.images >= 128])
        values = np.concatenate([known.values, values])
        more = replace(known, bits=bits, values=values)
        return self._fitted(more), more

    def _fitted(self, known: KnownDesigns) -> Predictor:
        return fit_predictor(known.bits, known.values, known.columns, self.dataset.components, listener=self.listener)

    def _tell_misses(self, predictor: Predictor, simulated: Simulated) -> None:
        """How good the last round's predictions were."""
        said = predictor(simulated.designs.images)
        for place, name in enumerate(simulated.columns):
            k, truth = predictor.columns.index(name), simulated.values[:, place]
            known = np.isfinite(truth)
            away = np.abs(said.value[known, k] - truth[known])
            inside = ((said.low[:, k] <= truth) & (truth <= said.high[:, k]))[known]
            self.listener.note(
                f"{name} of {known.sum()} simulated designs: predictions were off by {away.mean():.3g} on average "
                f"({predictor.error[k]:.3g} by cross-validation), {inside.sum()} lay within their intervals"
            )

    def goals(self, brief: Brief, predictor: Predictor, known: KnownDesigns) -> Goals:
        """The brief, checked. Raises: UsageError."""
        values = known.values[:, [known.columns.index(name) for name in predictor.columns]]
        steps = np.zeros(len(predictor.columns))
        for measure in predictor.measures:
            steps[measure.column] = 1.0
        low, high = np.nanmin(values, 0), np.nanmax(values, 0)
        return goals_of(brief, predictor.columns, low, high, np.array(predictor.deviation), steps)

    def design(
        self,
        brief: Brief,
        fixed: Designs | None,
        count: int,
        seed: int,
        extrapolate: bool = False,
        simulated: Simulated | None = None,
    ) -> Designed:
        """Designs that answer a brief.

        Raises: UsageError: the brief does not go with the data or the model; Infeasible: no design answers it.
        """
        model = self.trained.model.to(parse_device(self.device))
        given = None if fixed is None else given_of(fixed, self.trained.config)
        model.require(Mode.INPAINTING if given is not None else Mode.CONDITIONAL)
        predictor, known = self.predictor, self.known
        self.goals(brief, predictor, known)  # refused before anything is fitted again
        if simulated is not None:
            self._tell_misses(predictor, simulated)
            predictor, known = self.with_simulated(simulated)
        goals = self.goals(brief, predictor, known)
        effort = QUICK if model.steps == 1 else IN_STEPS
        search = Search(self.trained, predictor, known, seed, given, effort, extrapolate, self.listener)
        pool = search.run(goals, _ENOUGH * count)
        chosen = search.choose(goals, pool, count)
        if not len(chosen):
            raise infeasible(search, goals, pool)
        return self._designed(brief, goals, search, pool, chosen)

    def _designed(self, brief: Brief, goals: Goals, search: Search, pool: Pool, chosen: Pool) -> Designed:
        import pandas as pd

        names = tuple(f"design_{rank:03d}" for rank in range(1, len(chosen) + 1))
        given = search.given
        designs = Designs(
            images=chosen.candidates.bits.astype(np.uint8) * 255,
            components=self.dataset.components,
            names=names,
            columns=self.trained.scaler.columns,
            values=chosen.candidates.condition,
            given=np.empty(0, bool) if given is None else np.repeat(given.mask[None], len(names), 0),
            provenance={
                "model": self.trained.config.model.type,
                "mode": "design",
                "seed": str(search.seed),
                "checkpoint": self.trained.path.as_posix(),
                "checkpoint_sha256": self.trained.digest,
            },
        )
        told = chosen.predicted
        table: dict[str, NDArray[Any]] = {
            "rank": np.arange(1, len(chosen) + 1),
            "refined": chosen.candidates.refined,
            "number": chosen.candidates.number,
            "distance_px": chosen.distance,
            "valid": chosen.valid,
        }
        for k, name in enumerate(told.columns):
            table |= {name: told.value[:, k], f"{name}_low": told.low[:, k], f"{name}_high": told.high[:, k]}
            asked = [c.text.removeprefix(f"{name} ").removeprefix("= ") for c in goals.constraints if c.index == k]
            asked += ["most" if sign > 0 else "least" for index, sign in goals.objectives if index == k]
            if asked:
                table[f"{name}_asked"] = np.array([" and ".join(asked)] * len(chosen))
        frame = pd.DataFrame(table, index=pd.Index(names, name="name"))
        good = pool[np.flatnonzero(search.acceptable(goals, pool))]
        background = pd.DataFrame(good.predicted.value, columns=list(told.columns))
        return Designed(designs, frame, background, brief)


def given_of(designs: Designs, config: RunConfig) -> Given:
    """The parts of one partial design, as a model takes them.

    Raises: UsageError: not one design, nothing is given, or it is of another size or other components.
    """
    if len(designs) != 1:
        raise UsageError(f"parts are kept of one design, not of {len(designs)}", "choose one of them: designs[0]")
    if not designs.partial or designs.given.all():
        raise UsageError("the design is complete: there is nothing to design", 'keep parts of it: designs.only("bt")')
    own = observed_of(designs, config)
    return Given(own.images[0], own.mask[0])
