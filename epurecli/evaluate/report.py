"""Report files: report.json (everything; `read_reports` reads it back), report.csv (a line a figure), report.html."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from epurecli.errors import DataError, NotFound, UsageError
from epurecli.evaluate.album import LossCurve
from epurecli.evaluate.comparison import comparison_files
from epurecli.evaluate.metric import Better, Histogram, Metric, Report
from epurecli.evaluate.page import render
from epurecli.evaluate.summary import summarise
from epurecli.evaluate.table import Table
from epurecli.staging import staged
from epurecli.text import csv_cell
from epurecli.version import __version__

_FORMAT = 1
_COLUMNS = ("model", "seed", "group", "metric", "value", "unit", "better", "floor", "ci_low", "ci_high")

_FILES = {"report.json", "report.csv", "report.html", "compare.json", "compare.csv"}


def write_reports(
    reports: Sequence[Report], folder: Path, tables: Sequence[Table] | None = None
) -> tuple[Path, Path, Path]:
    """Write the three files of one report or of several side by side: all or none.

    Args:
        reports: one a model and seed.
        folder: where.
        tables: of a comparison: what else is to be told of its models. It also gets compare.json and compare.csv.

    Returns:
        Paths of report.json, report.csv and report.html.

    Raises:
        UsageError: reports that cannot stand side by side (see `summarise`); the folder holds something else.
        CannotWrite: it cannot be written.
    """
    page = render(reports, __version__, tables or ())  # first: it may refuse, and then nothing is written
    content = {"format": _FORMAT, "epure": __version__, "reports": [report_tree(report) for report in reports]}
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(_COLUMNS)
    writer.writerows(_line(report, metric) for report in reports for metric in report.metrics)
    files = {
        "report.json": json.dumps(content, indent=1, allow_nan=False) + "\n",
        "report.csv": table.getvalue(),
        "report.html": page,
    }
    if tables is not None:
        files |= comparison_files(summarise(reports), tables)
    with staged(folder, _replaceable(folder)) as place:
        for name, text in files.items():
            (place / name).write_bytes(text.encode())
    return folder / "report.json", folder / "report.csv", folder / "report.html"


def _replaceable(folder: Path) -> Callable[[Path], None]:
    """A check of what stands at `folder`: an earlier report and nothing else."""

    def check(found: Path) -> None:
        strangers = sorted({path.name for path in found.iterdir()} - _FILES) if found.is_dir() else [found.name]
        if strangers:
            raise UsageError(f"{folder}: holds {strangers[0]}, which is no report", "choose another --out")

    return check


def read_reports(path: Path) -> tuple[Report, ...]:
    """The reports in a `report.json`, or in the folder that holds one.

    Raises:
        NotFound: no such file.
        DataError: not a report, or of another format version.
    """
    path = path / "report.json" if path.is_dir() else path
    if not path.is_file():
        raise NotFound(f"{path}: no such report", "write one with `epure evaluate`")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content["format"]
        if found != _FORMAT:
            raise DataError(f"{path}: report format {found}, expected {_FORMAT}", "evaluate again with this version")
        return tuple(report_from_tree(entry) for entry in content["reports"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as fault:
        raise DataError(f"{path}: not a report ({type(fault).__name__}: {fault})") from fault


def _line(report: Report, metric: Metric) -> list[object]:
    low, high = metric.ci or (None, None)
    figures = [metric.value, metric.unit, metric.better, metric.floor, low, high]
    return [csv_cell(report.model), report.seed, metric.group, csv_cell(metric.name), *figures]


def report_tree(report: Report) -> dict[str, Any]:
    """A report as plain values, as JSON takes them; without its pictures."""
    content = asdict(replace(report, album=None))
    del content["album"]
    return blank_nan(content)


def blank_nan(value: Any) -> Any:
    """JSON has no NaN: null stands for it."""
    match value:
        case dict():
            return {key: blank_nan(item) for key, item in value.items()}
        case list() | tuple():
            return [blank_nan(item) for item in value]
        case float() if not math.isfinite(value):
            return None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def report_from_tree(entry: Mapping[str, Any]) -> Report:
    """The inverse of `report_tree`. Raises: KeyError, TypeError, ValueError: it is none."""

    def metric(m: dict) -> Metric:
        ci = None if m["ci"] is None else (_number(m["ci"][0]), _number(m["ci"][1]))
        return Metric(m["name"], m["group"], _number(m["value"]), m["unit"], Better(m["better"]), m["floor"], ci)

    def histogram(h: dict) -> Histogram:
        return Histogram(h["name"], h["unit"], tuple(h["edges"]), tuple(h["real"]), tuple(h["generated"]))

    def curve(c: dict) -> LossCurve:
        return LossCurve(c["stage"], c["name"], c["unit"], tuple(c["epochs"]), tuple(map(_number, c["values"])))

    return Report(
        model=entry["model"],
        seed=entry["seed"],
        counts=dict(entry["counts"]),
        metrics=tuple(metric(m) for m in entry["metrics"]),
        histograms=tuple(histogram(h) for h in entry["histograms"]),
        notes=tuple(entry["notes"]),
        losses=tuple(curve(c) for c in entry.get("losses", ())),
        weights=entry.get("weights"),
        data=entry.get("data"),
    )
