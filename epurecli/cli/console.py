"""Where output goes: results to stdout, everything about the work (bars, notes, warnings, errors) to stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from epurecli.errors import EpureError
from epurecli.text import printable

if TYPE_CHECKING:
    from epurecli.cli.table import Cell


class Terminal(Console):
    def on_broken_pipe(self) -> None:  # `epure ... | head`: no fault, where rich would end with 1
        raise BrokenPipeError


out = Terminal(highlight=False, soft_wrap=True, emoji=False)  # `:car:` in a name is a name
err = Terminal(stderr=True, highlight=False, soft_wrap=True, emoji=False)


class Settings:
    """Flags that hold for the whole process; set once by the root command."""

    quiet = False


def note(text: str) -> None:
    """A line about the work; silent under --quiet."""
    if not Settings.quiet:
        err.print(printable(text), markup=False)


def warn(text: str) -> None:
    err.print(Text("warning: ", style="yellow") + Text(printable(text)))


def say(text: str = "") -> None:
    """A line of result."""
    out.print(printable(text), markup=False)


def say_json(tree: Any) -> None:
    import json

    sys.stdout.write(json.dumps(tree, indent=2, ensure_ascii=False) + "\n")


def show_table(
    heads: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    *,
    title: str | None = None,
    prose: Collection[str] = (),
    figures: Collection[str] = (),
) -> None:
    """Every table of the command line: as wide as the terminal (or COLUMNS), in a pipe as wide as it needs.

    What does not fit wraps or goes to a table below; figures and file names are never cut. See `tables`.
    """
    from rich.segment import Segments

    from epurecli.cli.table import tables

    width = out.width if out.is_terminal or os.environ.get("COLUMNS") else None
    for table, needed in tables(heads, rows, width, title=title, prose=prose, figures=figures):
        drawn = out.render(table, out.options.update_width(needed))  # print() itself would keep to the console's width
        out.print(Segments(drawn), end="")


def show_error(error: EpureError) -> None:
    err.print(Text("error: ", style="bold red") + Text(printable(error.message)))
    if error.hint:
        err.print(Text("  hint: ", style="cyan") + Text(printable(error.hint)))


def interactive() -> bool:
    """Whether bars make sense: a terminal on stderr, and not silenced."""
    return err.is_terminal and not Settings.quiet and not os.environ.get("CI")
