"""Every problem of a data set in one pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from epurecli.config.schema import DataConfig
from epurecli.data.describe import infer_config
from epurecli.data.pack import OnProgress
from epurecli.data.problems import Problem
from epurecli.data.survey import survey
from epurecli.data.workers import processes_for, run_jobs


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What `epure data check` found."""

    root: Path
    config: DataConfig
    designs: int  # rows of the CSV whose images were looked for
    images: int  # that were decoded
    problems: tuple[Problem, ...] = field(default=())

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
            processes_for(images),
        )
        problems += listed.faults(results)
    return CheckResult(listed.root, config, designs, images, tuple(problems))


def _counter(total: int, progress: OnProgress | None) -> Callable[[dict], None] | None:
    if progress is None:
        return None
    finished = 0

    def done(job: dict) -> None:
        nonlocal finished
        finished += job["count"]
        progress("decoding", finished, total)

    return done
