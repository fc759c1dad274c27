"""metrics.csv and the picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epurecli.files import write_atomic
from epurecli.models.contract import Stage

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One row per epoch; stages with different terms share the file, absent terms empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomic(path, text.getvalue().encode())


def plot_curves(rows: Sequence[Mapping[str, Any]], path: Path, stages: Sequence[Stage]) -> None:
    """The loss of each objective and of validation, per epoch, a panel a stage.

    What ranks epochs has an axis of its own where it is another figure than the loss.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    trained = [stage for stage in stages if any(row["stage"] == stage.name for row in rows)]
    figure = Figure(figsize=(5 * len(trained), 3.4), layout="constrained")
    for axis, stage in zip(figure.subplots(1, len(trained), squeeze=False)[0], trained, strict=True):
        mine = [row for row in rows if row["stage"] == stage.name]
        for objective in stage.objectives:
            label = "training" if len(stage.objectives) == 1 else objective.name
            _curve(axis, mine, f"train_{objective.name}", label)
        axis.set(title=stage.name, xlabel="epoch", ylabel=f"loss ({stage.unit})")
        beside = axis if stage.score is None else axis.twinx()
        _curve(beside, mine, "val_total", "validation", linestyle="--")
        if beside is not axis:
            beside.set_ylabel("validation score")
        axis.grid(alpha=0.3)
        lines = [line for shown in dict.fromkeys((axis, beside)) for line in shown.get_lines()]
        axis.legend(lines, [line.get_label() for line in lines])
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())


def _curve(axis: Axes, rows: Sequence[Mapping[str, Any]], key: str, label: str, **style: str) -> None:
    points = [(row["epoch"], row[key]) for row in rows if key in row]
    if points:
        axis.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None, **style)
