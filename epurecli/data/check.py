"""Every problem of a data set in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from epurecli.config.schema import DataConfig
from epurecli.data.describe import infer_config
from epurecli.data.pack import Progress
from epurecli.data.problems import Problem
from epurecli.data.survey import survey
from epurecli.data.workers import run_jobs

_FEW = 2000  # images; fewer are decoded before worker processes have started


@dataclass(frozen=True, slots=True)
class Report:
    """What `epure data check` found."""

    root: Path
    config: DataConfig
    designs: int  # usable rows of the CSV
    images: int  # that were looked at
    problems: tuple[Problem, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether `open_dataset` would accept the data."""
        return not self.problems


def check(source: Path | DataConfig, progress: Progress | None = None) -> Report:
    """Read the CSV, list the folders and decode every image; write nothing.

    Raises:
        NotFound: no such folder or CSV.
        DataError: what keeps the data from being looked at at all (no CSV, no prefix column, no components).
    """
    config = source if isinstance(source, DataConfig) else infer_config(source)
    listed = survey(config)
    designs = len(listed.table.prefixes)
    images = int((listed.located.branch >= 0).sum())
    problems = list(listed.problems)
    if images:
        results = run_jobs(
            "epurecli.data.survey:decode_block",
            listed.jobs(),
            _counter(designs, progress),
            processes=1 if images < _FEW else None,
        )
        problems += listed.faults(results)
    return Report(listed.root, config, designs, images, tuple(problems))


def _counter(total: int, progress: Progress | None) -> Callable[[dict], None] | None:
    if progress is None:
        return None
    finished = 0

    def done(job: dict) -> None:
        nonlocal finished
        finished += job["count"]
        progress("decoding", finished, total)

    return done
