"""Faults of a data set, collected so that one pass names them all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from epurecli.errors import DataError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: the file, its row in the CSV if it has one (the header is row 1), what is wrong, and what to do."""

    file: str
    row: int | None
    what: str
    hint: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file} (row {self.row})"
        return f"{where}: {self.what}"


def refuse(root: Path, problems: Sequence[Problem], listed_by_check: bool = True) -> None:
    """Raise a DataError that shows the first problems, if there are any.

    Args:
        listed_by_check: whether `epure data check` would show the rest.
    """
    if not problems:
        return
    count = len(problems)
    lines = [str(problem) for problem in problems[:_SHOWN]]
    if count > _SHOWN:
        lines.append(f"... and {count - _SHOWN} more")
    noun = "problem" if count == 1 else "problems"
    hint = (
        problems[0].hint
        if count == 1 or not listed_by_check
        else f"`epure data check {shlex.quote(str(root))}` lists them all with what to do"
    )
    raise DataError(f"{root} has {count} {noun}:\n  " + "\n  ".join(lines), hint)
