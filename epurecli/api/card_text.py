"""The text of a card: YAML for model hubs, Markdown for people. What comes from outside is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from epurecli.checkpoint import TrainedModel
from epurecli.evaluate import Metric, Report, summarise
from epurecli.evaluate.conclusion import conclude
from epurecli.models.registry import REGISTRY
from epurecli.text import printable
from epurecli.version import __version__

MARK = "<!-- written by epure card -->"
_HEADLINES = (
    ("validity", "one object"),
    ("distribution", "frechet (pixels)"),
    ("distribution", "precision"),
    ("distribution", "coverage"),
    ("novelty", "nearest training design"),
    ("conditioning", "all within 1 px"),
    ("inpainting", "iou"),
    ("completions", "spread ratio, farthest from honest"),
)
_INTENDED = """## Intended use

To draw many plausible designs of the kind that it was trained on, freely, at given values or around given parts, for
people who then choose, measure and simulate. It has learnt pictures: it knows no material, no load and no law of
mechanics. It proves no design, and none should be built unchecked."""
_PYTHON = """import epurecli as epure

run = epure.load("THIS_FOLDER")
designs = run.sample(16, seed=0)
designs.sheet().show()"""
_BETTER = {"lower": "lower", "higher": "higher", "floor": "nearest to real"}


def card_text(trained: TrainedModel, report: Report, license: str, *, sheet: str, report_folder: str) -> str:
    """README.md.

    Args:
        report: whose figures stand in it.
        license: of the weights.
        sheet, report_folder: where they lie, from the README.
    """
    sections = (
        MARK,
        f"# {plain(trained.config.model.type)}: {plain(REGISTRY[trained.config.model.type].title)}",
        f"![designs that this model drew]({sheet})",
        _what(trained),
        _use(trained),
        _INTENDED,
        _data(trained),
        _figures(trained, report, report_folder),
        _limits(trained, report),
        _files(trained, report_folder),
    )
    return f"---\n{_front(trained, report, license)}---\n" + "\n\n".join(sections) + "\n"


def plain(text: str) -> str:
    """Text from outside as Markdown that shows just this, also in a table."""
    return re.sub(r"([\\`*_\[\]<>|&#~$])", r"\\\1", printable(text).replace("\n", " "))


def number(value: float | None) -> str:
    """Five significant digits."""
    return "–" if value is None or not math.isfinite(value) else f"{value:.5g}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: int) -> str:
    """A Markdown table whose columns from number `right` on hold figures."""
    rule = ["---" if k < right else "--:" for k in range(len(heads))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))


def _front(trained: TrainedModel, report: Report, license: str) -> str:
    modes = {mode.value for mode in trained.model.modes}
    shown = [m for key in _HEADLINES for m in report.metrics if m.key == key and math.isfinite(m.value)]
    result = {
        "task": {"type": "unconditional-image-generation", "name": "drawing designs"},
        "dataset": {"type": "image-folder", "name": _data_name(trained), "split": "test"},
        "metrics": [{"type": m.name, "name": f"{m.group}: {m.name} ({m.unit})", "value": m.value} for m in shown],
    }
    tree: dict[str, Any] = {
        "library_name": "epurecli",
        "license": license,
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["generative-design", "cross-section", trained.config.model.type, *sorted(modes)],
        "metrics": [m.name for m in shown],
        "model-index": [{"name": trained.path.parent.name, "results": [result]}],
    }
    return str(yaml.safe_dump(tree, sort_keys=False, width=1000))


def _what(trained: TrainedModel) -> str:
    height, width = trained.config.model.image_size
    parts = ", ".join(plain(name) for name in trained.config.data.component_dirs)
    count = sum(p.numel() for p in trained.model.parameters())
    facts = (
        ("parts", f"{len(trained.config.data.component_dirs)}: {parts}"),
        ("images", f"{height} x {width} pixels a part (height x width), half a section"),
        ("asked", ", ".join(sorted(mode.value for mode in trained.model.modes))),
        ("parameters", f"{count:,}"),
        ("weights", f"`{trained.path.name}`, epoch {trained.epoch}, SHA-256 of the tensors `{trained.digest}`"),
        (
            "training",
            f"seed {trained.config.training.seed}, begun {plain(str(trained.facts.get('created', '?'))[:10])}",
        ),
    )
    return "## What it is\n\n" + _table(("what", "value"), facts, 2)


def _use(trained: TrainedModel) -> str:
    model, columns = trained.config.model.type, trained.scaler.columns
    lines = [
        "pip install epurecli",
        f"epure sample {model} --checkpoint THIS_FOLDER --num-samples 16 --mode unconditional",
    ]
    if columns and "conditional" in {mode.value for mode in trained.model.modes}:
        middle = (trained.scaler.minimum[0] + trained.scaler.maximum[0]) / 2
        lines.append(
            f"epure sample {model} --checkpoint THIS_FOLDER --set-condition '{_word(columns[0])}={middle:.4g}'"
        )
    shell = "\n".join(lines)
    return f"## How to use it\n\n```sh\n{shell}\n```\n\n```python\n{_PYTHON}\n```"


def _word(text: str) -> str:
    """Text from outside in a code block: it cannot end the block, nor the quotes that it stands in."""
    return printable(text).replace("\n", " ").replace("`", " ").replace("'", " ")


def _data_name(trained: TrainedModel) -> str:
    """The folder's name alone: where it lay is nobody's business."""
    source = str(trained.facts["data"].get("source", "?"))
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] or source


def _data(trained: TrainedModel) -> str:
    data = trained.facts["data"]
    counts = ", ".join(f"{data[part]:,} {word}" for part, word in _SPLITS if part in data)
    text = f"## Data\n\n{plain(_data_name(trained))}: {counts}. SHA-256 of the content: `{_word(str(data['digest']))}`."
    scaler = trained.scaler
    if not scaler.columns:
        return f"{text}\n\nNo conditions."
    rows = [
        (plain(column), number(low), number(high))
        for column, low, high in zip(scaler.columns, scaler.minimum, scaler.maximum, strict=True)
    ]
    return f"{text}\n\n{_table(('condition', 'least in training', 'largest in training'), rows, 1)}"


_SPLITS = (("train", "designs to train on"), ("validation", "to choose the epoch"), ("test", "held out to judge"))


def _figures(trained: TrainedModel, report: Report, folder: str) -> str:
    own = report.data == trained.facts["data"]["digest"]
    on = (
        "designs of its own data that training never read"
        if own
        else "designs of another data set than it was trained on"
    )
    counts = ", ".join(f"{count:,} {plain(name)}" for name, count in report.counts.items())
    text = (
        f"## Held-out figures\n\nOn {on} ({counts}). *Real* is the floor: what real designs score in the model's "
        "place; the interval is that of 95 % due to the number of designs. With pictures: "
        f"[{folder}/report.html]({folder}/report.html).\n\n{plain(conclude(summarise([report])))}"
    )
    notes = "".join(f"\n- {plain(note)}" for note in report.notes)
    heads = ("group", "metric", "unit", "better", "value", "interval", "real")
    table = _table(heads, (_row(metric) for metric in report.metrics), 4)
    return f"{text}\n{notes}\n\n{table}" if notes else f"{text}\n\n{table}"


def _row(metric: Metric) -> tuple[str, ...]:
    interval = "–" if metric.ci is None else f"{number(metric.ci[0])} to {number(metric.ci[1])}"
    words = plain(metric.group), plain(metric.name), plain(metric.unit), _BETTER[metric.better.value]
    return (*words, number(metric.value), interval, number(metric.floor))


def _limits(trained: TrainedModel, report: Report) -> str:
    height, width = trained.config.model.image_size
    count = len(trained.config.data.component_dirs)
    said = [f"It knows these {count} parts at {height} x {width} pixels and nothing else; finer detail is lost."]
    if trained.scaler.columns:
        said.append("Beyond the ranges of the conditions above it extrapolates.")
        beyond = [m for m in report.metrics if m.name.endswith(" out of range") and math.isfinite(m.value)]
        said += [f"There, {m.name.removesuffix(' out of range')} is {number(m.value)} ({m.unit})." for m in beyond]
        said.append("Conditions are asked for, not guaranteed: measure what comes out.")
    ratios = [m for m in report.metrics if "spread ratio" in m.name and math.isfinite(m.value)]
    if ratios:
        low, high = min(m.value for m in ratios), max(m.value for m in ratios)
        said.append(
            f"Spread of completions: {number(low)} to {number(high)} of what it should be (1: they differ from each "
            "other as they differ from the truth). Below 1 it is surer than it has a right to be."
        )
    faulty = [m for m in report.metrics if m.group == "validity" and m.better.value == "lower" and m.value > 0]
    if faulty:
        said.append(
            "Faults occur: "
            + ", ".join(f"{m.name} {number(m.value)} ({m.unit})" for m in faulty)
            + ". Check each design."
        )
    return "## Limits\n\n" + "\n".join(f"- {plain(text)}" for text in said)


def _files(trained: TrainedModel, folder: str) -> str:
    rows = (
        ("best.safetensors, last.safetensors", "weights; loading them runs no code"),
        ("config.yaml, run.json", "settings and facts; config.yaml names the folder where the data lay"),
        ("metrics.csv, curves.png", "losses, epoch by epoch"),
        (f"{folder}/", "report.json, report.csv, report.html: where the figures come from"),
        ("state.safetensors", "to go on with the training; nobody else needs it"),
    )
    host = trained.facts.get("host", {})
    versions = f"epure {plain(str(host.get('epure', '?')))}, torch {plain(str(host.get('torch', '?')))}"
    shown = [(f"`{name}`", what) for name, what in rows]
    return f"## Files\n\n{_table(('file', 'what'), shown, 2)}\n\nTrained with {versions}; card by epure {__version__}."
