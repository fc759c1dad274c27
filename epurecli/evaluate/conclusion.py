"""What to conclude from the figures, in one paragraph of plain words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from epurecli.evaluate.plot import number
from epurecli.evaluate.summary import Cell, Row, Summary

_MOST, _SOME = 0.75, 0.4  # shares of figures at the floor that are called so
# What a group of figures asks, and a reader would say of a model that falls short there.
_SHORT = {
    "lineage": "how its parts lie to each other",
    "validity": "faults within single designs",
    "conditioning": "meeting the sizes that are asked for",
    "inpainting": "completing designs",
    "completions": "drawing completions as varied as the truth",
    "distribution": "covering the range of real designs",
    "diversity": "the variety of its designs",
    "novelty": "its distance to the training designs",
}


def conclude(summary: Summary) -> str:
    """The paragraph: how near real designs each model comes by its own figures, and where it falls shortest.

    Only what the tables hold is said; "as good" means to within the interval that they show.
    """
    sentences = [_overall(summary, i) for i in range(len(summary.models))]
    if len(summary.models) == 1:
        sentences += [said for row in summary.rows if (said := _said(row, row.cells[0]))]
    else:
        sentences.append(_ranking(summary))
    return " ".join(sentence for sentence in sentences if sentence)


def _overall(summary: Summary, place: int) -> str:
    """How many figures reach their floor, the verdict on it, and the group that fares worst."""
    judged = [(row, row.cells[place]) for row in summary.rows if _has_floor(row, row.cells[place])]
    model = summary.models[place]
    if not judged:
        return f"{model}: nothing could be held against real designs."
    share = _share(cell for _, cell in judged)
    reached = sum(cell.at_floor for _, cell in judged)
    if share >= _MOST:
        verdict = "most of what is measured here does not tell its designs from real ones"
    elif share >= _SOME:
        verdict = "its designs are near real ones, and can be told from them"
    else:
        verdict = "its designs are plainly apart from real ones"
    text = f"{model}: {reached} of {len(judged)} figures are as good as for real designs: {verdict}"
    groups = {row.group: [c for r, c in judged if r.group == row.group] for row, _ in judged}
    weakest = min(groups, key=lambda group: _share(groups[group]))
    if _share(groups[weakest]) == 1:
        return f"{text}."
    count = f"{sum(c.at_floor for c in groups[weakest])} of {len(groups[weakest])}"
    return f"{text}. It falls shortest in {_SHORT.get(weakest, weakest)} ({count})."


def _said(row: Row, cell: Cell) -> str:
    """A sentence on one of the few figures that answer what people ask first."""
    if not _has_floor(row, cell):
        return ""
    value, floor = cell.mean, row.floor
    beside = "real designs: " if row.group != "inpainting" else "looking up the nearest training design: "
    percent = f"{number(100 * value, 3)} % ({beside}{number(100 * floor, 3)} %)"
    match row.group, row.name:
        case "validity", "one object":
            return f"In one piece are {percent}."
        case "conditioning", "all within 1 px":
            return f"Asked for sizes, it meets all of them to within a pixel in {percent}."
        case "inpainting", "iou":
            found = f"{number(value, 3)} ({beside}{number(floor, 3)})"
            better = "so it adds to looking up" if value > floor else "so looking up does as well"
            return f"Hidden parts that it completes agree with the true ones to an IoU of {found}, {better}."
        case "completions", "spread ratio, farthest from honest":
            apart = f"{number(value, 2)} times as much as one of them and the truth"
            return f"Where its completions are least honest, two of them differ {apart} (honest: 1)."
        case "distribution", "coverage":
            return f"Of the kinds of real designs its own cover {percent}."
        case "novelty", "exact copies":
            return f"Copies of a training design are {percent}."
    return ""


def _ranking(summary: Summary) -> str:
    """Which model has the best figure how often."""
    judged = [row for row in summary.rows if row.judges_designs]
    best = Counter(m for row in judged for m, cell in zip(summary.models, row.cells, strict=True) if cell.best)
    said = ", ".join(f"{model} in {best[model]}" for model in sorted(summary.models, key=lambda m: -best[m]))
    text = f"Of {len(judged)} figures the best is had by {said} (ties count for each)."
    if all(cell.spread is None for row in judged for cell in row.cells):
        return text + " Each model was trained once: another seed may turn what lies close together."
    return text + " What differs by less than the spread over seeds does not differ."


def _has_floor(row: Row, cell: Cell) -> bool:
    return row.floor is not None and not math.isnan(row.floor) and not math.isnan(cell.mean)


def _share(cells: Iterable[Cell]) -> float:
    reached = [cell.at_floor for cell in cells]
    return sum(reached) / len(reached)
