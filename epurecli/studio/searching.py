"""Design for me: a document's brief, handed to the search."""

from __future__ import annotations

from typing import Any

import numpy as np

from epurecli.errors import UsageError
from epurecli.studio import advice
from epurecli.studio.asking import drawing_of
from epurecli.studio.messages import Document, Search
from epurecli.studio.picture import Picture
from epurecli.studio.room import Room

COUNT = 8  # designs that a search is asked for


def search(room: Room, message: Search) -> Picture:
    """Designs that meet the brief, the best first.

    Raises: UsageError: an empty brief; Infeasible: an impossible one, with what would make it possible.
    """
    run = room.runs[message.run]
    drawing = drawing_of(message.document, run.components, room.size)
    fix = None
    if drawing.given.any():
        parts = [name for name, given in zip(run.components, drawing.given, strict=True) if given]
        painted = np.where(drawing.fixed, drawing.paint, 0).astype(np.uint8)
        fix = advice.as_designs(run, painted[None], ("given",)).only(*parts)
    brief = brief_of(message.document, room.columns)
    if not any(brief.values()):
        raise UsageError("the brief is empty", "set a target, a range or an aim for at least one of its columns")
    found = run.design(**brief, fix=fix, count=COUNT, seed=message.document.seed)
    labels = np.where(drawing.fixed, drawing.paint, found.designs.labels)
    return Picture(labels, np.arange(len(labels), dtype=np.uint32))


def brief_of(document: Document, columns: tuple[str, ...]) -> dict[str, Any]:
    """The brief as `Run.design` takes it."""
    brief: dict[str, Any] = {"target": {}, "ranges": {}, "maximise": [], "minimise": []}
    for name, wish in zip(columns, document.brief, strict=True):
        if wish.mode == "target" and wish.aim == "none":
            brief["target"][name] = wish.value
        elif wish.mode == "range":
            brief["ranges"][name] = (wish.low, wish.high)
        if wish.aim != "none":
            brief["maximise" if wish.aim == "more" else "minimise"].append(name)
    return brief
