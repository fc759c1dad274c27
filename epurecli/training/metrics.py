"""metrics.csv and the picture of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from epurecli.files import write_atomic


def write_metrics(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One row per epoch; stages with different terms share the file, absent terms empty."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_atomic(path, text.getvalue().encode())


def plot_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Training and validation loss per stage, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    stages = list(dict.fromkeys(row["stage"] for row in rows))
    figure = Figure(figsize=(5 * len(stages), 3.4), layout="constrained")
    for axis, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        mine = [row for row in rows if row["stage"] == stage]
        skip = {"train_kl"}
        first = next((k for k in mine[0] if k.startswith("train_") and k not in skip), None)
        for key, label in ((first, "training"), ("val_total", "validation")):
            points = [(row["epoch"], row[key]) for row in mine if key in row]
            if points:
                axis.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 30 else None)
        axis.set(title=stage, xlabel="epoch", ylabel="loss (nats per design)")
        axis.grid(alpha=0.3)
        axis.legend()
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_atomic(path, buffer.getvalue())
