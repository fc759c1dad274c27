"""A judgement on its way to people: the files, and the table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from epurecli.cli import console

if TYPE_CHECKING:
    from epurecli.evaluate import Report, Summary
    from epurecli.evaluate.table import Table

REPORTS = Path("reports")


def publish(reports: Sequence[Report], out: Path | None, name: str, tables: Sequence[Table] | None = None) -> None:
    """Write the report files, with `tables` those of a comparison too, and show the figures."""
    from epurecli.cli.options import claimed
    from epurecli.evaluate import summarise, write_reports
    from epurecli.evaluate.comparison import rank_table

    with claimed(out, REPORTS, name) as folder:
        paths = write_reports(reports, folder, tables)
    summary = summarise(reports)
    _show_summary(summary)
    if tables is not None:
        for table in (rank_table(summary), *tables):
            _show_table(table)
    for note in summary.notes:
        console.note(note)
    console.say(f"report: {paths[2]}")


def _show_summary(summary: Summary) -> None:
    """Each metric with every model's figure, the best one green, and what real designs score."""
    from rich.text import Text

    rows: list[tuple[Text | str, ...]] = []
    group = None
    for row in summary.rows:
        if row.group != group:
            rows.append((row.group,))
            group = row.group
        cells = []
        for cell in row.cells:
            text = f"{cell.mean:.4g}" + (f" ± {cell.spread:.2g}" if cell.spread is not None else "")
            cells.append(Text(text, style="green" if cell.best and len(row.cells) > 1 else ""))
        rows.append((row.name, row.unit, *cells, "" if row.floor is None else f"{row.floor:.4g}"))
    console.show_table(("metric", "unit", *summary.models, "real"), rows)


def _show_table(table: Table) -> None:
    from epurecli.evaluate.table import shown

    rows = [tuple(map(shown, row)) for row in table.rows]
    figures = [head for i, head in enumerate(table.heads) if not any(isinstance(row[i], str) for row in table.rows)]
    console.show_table(table.heads, rows, title=table.title, figures=figures)
