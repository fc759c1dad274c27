"""The commands that make kept designs again, with the files that they read."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.api.run import Run
from epurecli.studio.advice import as_designs
from epurecli.studio.asking import Drawing, completing_request, drawing_of, free_request, values_of
from epurecli.studio.engine import VARIANTS
from epurecli.studio.messages import Document, Kept
from epurecli.studio.searching import COUNT, brief_of

_DRAWN = ("sample", "draw", "majority")


@dataclass(frozen=True, slots=True)
class Again:
    """A command, and the files that it reads, by name: tables as text, folders of given parts."""

    line: str
    tables: dict[str, str] = field(default_factory=dict)
    given: dict[str, Designs] = field(default_factory=dict)


def commands(runs: Sequence[Run], columns: tuple[str, ...], kept: Sequence[Kept]) -> Iterator[Again]:
    """One for each request that designs came from. Those that were guided or drawn by hand have none.

    Args:
        columns: of the briefs.
    """
    groups: dict[tuple[Any, ...], list[Kept]] = {}
    for one in kept:
        if one.how in (*_DRAWN, "search"):
            asked = one.document
            key = (one.run, asked.seed, asked.brief, asked.states, asked.paint.tobytes(), asked.draws)
            groups.setdefault((one.how == "search", *key), []).append(one)
    for number, same in enumerate(groups.values()):
        run = next((run for run in runs if str(run.path) == same[0].run), None)
        if run is not None:
            write = _searched if same[0].how == "search" else _drawn
            yield write(run, columns, same, number)


def _drawn(run: Run, columns: tuple[str, ...], same: Sequence[Kept], number: int) -> Again:
    document = same[0].document
    asked = values_of(document.brief, columns, run.trained.scaler.columns)
    drawing = _drawing(run, document)
    words = ["epure", "sample", run.model, "--checkpoint", str(run.path), "--seed", str(document.seed), "--crisp"]
    tables: dict[str, str] = {}
    given: dict[str, Designs] = {}
    if drawing.given.any():
        request = completing_request(run.trained, drawing, asked, document.seed, document.draws)
        given[f"given-{number}"] = _given(run, drawing, tuple(request.names))
        words += ["--mode", "inpainting", "--input", f"given-{number}", "--num-posterior-samples", "1"]
    else:
        needed = max(VARIANTS, 1 + max(one.number for one in same))
        request = free_request(run.trained, asked, document.seed, needed)
        words += ["--mode", request.mode.value, "--num-samples", str(needed)]
    if any(isinstance(value, tuple) for value in asked.values()) and request.conditions is not None:
        tables[f"conditions-{number}.csv"] = _conditions(run, asked, request.conditions)
        words += ["--conditions-csv", f"conditions-{number}.csv"]
    else:
        words += [word for name, value in asked.items() for word in ("--set-condition", f"{name}={value!r}")]
    names = [f"{one.name}: {request.names[one.number]}" for one in same if one.how != "majority"]
    names += [f"{one.name}: the majority of all" for one in same if one.how == "majority"]
    return Again(_line(words, number, names), tables, given)


def _searched(run: Run, columns: tuple[str, ...], same: Sequence[Kept], number: int) -> Again:
    document = same[0].document
    brief, drawing = brief_of(document, columns), _drawing(run, document)
    words = ["epure", "design", run.model, "--checkpoint", str(run.path), "--seed", str(document.seed)]
    words += ["--count", str(COUNT)]
    words += [word for name, value in brief["target"].items() for word in ("--target", f"{name}={value!r}")]
    words += [w for name, (low, high) in brief["ranges"].items() for w in ("--range", f"{name}={low!r}:{high!r}")]
    words += [w for aim in ("maximise", "minimise") for name in brief[aim] for w in (f"--{aim}", name)]
    given: dict[str, Designs] = {}
    if drawing.given.any():
        given[f"given-{number}"] = _given(run, drawing, ("given",))
        parts = given[f"given-{number}"].components
        words += ["--input", f"given-{number}", *(word for part in parts for word in ("--fix", part))]
    return Again(_line(words, number, [f"{one.name}: number {one.number + 1} of them" for one in same]), given=given)


def _drawing(run: Run, document: Document) -> Drawing:
    height, width = run.config.model.image_size
    return drawing_of(document, run.components, (height, width))


def _given(run: Run, drawing: Drawing, names: tuple[str, ...]) -> Designs:
    """The given parts, under each of the names."""
    parts = [name for name, shown in zip(run.components, drawing.given, strict=True) if shown]
    copies = np.repeat(np.where(drawing.fixed, drawing.paint, 0).astype(np.uint8)[None], len(names), 0)
    return as_designs(run, copies, names).reordered(parts)


def _line(words: list[str], number: int, names: list[str]) -> str:
    comment = ", ".join(names).replace("\n", " ")
    return f"{shlex.join([*words, '--out', f'again-{number}'])}  # {comment}"


def _conditions(run: Run, asked: dict[str, Any], table: NDArray[np.float64]) -> str:
    """The asked columns, a row a design; what is left open is left to the command, which draws the same."""
    columns = [name for name in run.trained.scaler.columns if name in asked]
    places = [run.trained.scaler.columns.index(name) for name in columns]
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows([[repr(float(row[place])) for place in places] for row in table])
    return text.getvalue()
