"""Several models side by side for programs (compare.json, compare.csv), and which of them ranks where."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from epurecli.evaluate.summary import Row, Summary
from epurecli.evaluate.table import Table, Value
from epurecli.text import csv_cell
from epurecli.version import __version__

FORMAT = 1


def rank_table(summary: Summary) -> Table:
    """Mean rank of each model in each group of figures, and over all that judge designs."""
    groups = dict.fromkeys(row.group for row in summary.rows)
    chosen = {group: [row for row in summary.rows if row.group == group] for group in groups}
    chosen["all that judge designs"] = [row for row in summary.rows if row.judges_designs]
    rows = [(name, len(mine), *_mean_ranks(mine, len(summary.models))) for name, mine in chosen.items()]
    text = "Mean rank of each model (by its mean over seeds) over the figures of a group; 1: best in each of them."
    return Table("ranks", "Ranks", text, ("figures", "count", *summary.models), tuple(rows))


def _mean_ranks(rows: Sequence[Row], models: int) -> list[Value]:
    known = [[rank for row in rows if (rank := row.cells[i].rank) is not None] for i in range(models)]
    return [fmean(ranks) if ranks else None for ranks in known]


def comparison_files(summary: Summary, tables: Sequence[Table]) -> dict[str, str]:
    """compare.json: every figure of every model, and the tables; compare.csv: the figures alone. Name -> text."""
    figures = _figures(summary)
    content = {"format": FORMAT, "epure": __version__, "models": summary.models, "figures": figures}
    content |= {table.key: table.records() for table in tables}
    text = io.StringIO()
    writer = csv.DictWriter(text, list(figures[0]) if figures else [])
    writer.writeheader()
    writer.writerows({k: csv_cell(v) if isinstance(v, str) else v for k, v in row.items()} for row in figures)
    return {"compare.json": json.dumps(content, indent=1, allow_nan=False) + "\n", "compare.csv": text.getvalue()}


def _figures(summary: Summary) -> list[dict[str, Any]]:
    """A record a figure and model; None where nothing is known."""
    return [
        {
            "group": row.group,
            "metric": row.name,
            "unit": row.unit,
            "better": str(row.better),
            "floor": _known(row.floor),
            "model": model,
            "mean": _known(cell.mean),
            "spread": _known(cell.spread),
            "seeds": cell.seeds,
            "rank": cell.rank,
            "best": cell.best,
            "at_floor": cell.at_floor,
        }
        for row in summary.rows
        for model, cell in zip(summary.models, row.cells, strict=True)
    ]


def _known(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
