"""Every problem of a data set in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from epurecli.config.schema import DataConfig
from epurecli.data.conditions import fit_scaler
from epurecli.data.describe import Inferred, infer
from epurecli.data.pack import OnProgress
from epurecli.data.problems import Problem
from epurecli.data.survey import Survey, survey
from epurecli.data.table import Part
from epurecli.data.workers import processes_for, run_jobs
from epurecli.errors import DataError


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `epure data check` found."""

    root: Path
    config: DataConfig
    designs: int  # rows of the CSV whose images were looked for
    images: int  # that were decoded
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()  # what may not be as it was meant
    notes: tuple[str, ...] = ()  # what was taken for what

    @property
    def ok(self) -> bool:
        """Whether `open_dataset` would accept the data."""
        return not self.problems


def check(source: Path | DataConfig, progress: OnProgress | None = None) -> CheckResult:
    """Read the CSV, list the folders and decode every image; write nothing.

    Raises:
        NotFound: no such folder or CSV.
        DataError: what keeps the data from being looked at at all (no CSV, no prefix column, no components).
    """
    found = Inferred(source) if isinstance(source, DataConfig) else infer(source)
    config = found.config
    listed = survey(config)
    designs = len(listed.table.prefixes)
    images = int((listed.located.branch >= 0).sum())
    problems, warnings = list(listed.problems), [*found.warnings, *listed.warnings]
    if images:
        results = run_jobs(
            "epurecli.data.survey:decode_block",
            listed.jobs(),
            _counter(designs, progress),
            processes_for(images),
        )
        problems += listed.faults(results)
        warnings += listed.oddities(results)
    if not problems:
        problems += _later_refusals(config, listed)
    notes = (*found.notes, *listed.notes)
    return CheckResult(listed.root, config, designs, images, tuple(problems), tuple(warnings), notes)


def _later_refusals(config: DataConfig, listed: Survey) -> list[Problem]:
    """What training would refuse although each row and image is fine."""
    csv = config.csv_path.name if config.csv_path else ""
    problems = []
    train = np.flatnonzero(listed.part == Part.TRAIN)
    try:
        fit_scaler(config.condition_columns, listed.table.columns, train, config.normalized)
    except DataError as error:
        problems.append(Problem(csv, None, error.message, error.hint or ""))
    if len(train) < 2:
        what = "there is a single training design: none is left to validate"
        problems.append(Problem(csv, None, what, "mark more designs True (training)"))
    return problems


def _counter(total: int, progress: OnProgress | None) -> Callable[[dict], None] | None:
    if progress is None:
        return None
    finished = 0

    def done(job: dict) -> None:
        nonlocal finished
        finished += job["count"]
        progress("decoding", finished, total)

    return done
