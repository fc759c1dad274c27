"""Kept designs as files: what `epure sample` writes, outlines, and the commands that make them again."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from epurecli.api.designs import Designs
from epurecli.errors import EpureError, NotFound, UsageError
from epurecli.staging import staged
from epurecli.studio import advice
from epurecli.studio.again import commands
from epurecli.studio.messages import Export, Kept
from epurecli.studio.room import Room
from epurecli.text import csv_cell

Outlines = dict[str, Callable[[Designs, Path, float | None], None]]


def export(room: Room, message: Export) -> dict[str, Any]:
    """Write some kept designs into a new folder beside the session. All of it, or nothing.

    Returns: folder, files (within it), commands, and what could not be made, in sentences.

    Raises: NotFound: no such kept design; UsageError: a format that needs what is not given; CannotWrite.
    """
    kept = _chosen(room, message.ids)
    designs = kept_designs(room, kept)
    left_out = []
    out = _free_folder(room)
    with staged(out, last="designs") as folder:
        designs.save(folder / "designs")
        again = list(commands(room.runs, room.columns, kept))
        (folder / "kept.csv").write_text(_table(room, kept), encoding="utf-8", newline="")
        for part in again:
            for name, values in part.tables.items():
                (folder / name).write_text(values, encoding="utf-8", newline="")
            for name, given in part.given.items():
                given.save(folder / name)
        (folder / "again.sh").write_text("\n".join(part.line for part in again) + "\n", encoding="utf-8", newline="\n")
        for format in dict.fromkeys(message.formats):
            try:
                _OUTLINES.get(format, _nothing)(designs, folder, message.scale_mm)
            except EpureError as error:
                left_out.append(f"{format}: {error.message}" + (f" ({error.hint})" if error.hint else ""))
    room.exports[out.name] = out
    files = sorted(str(path.relative_to(out).as_posix()) for path in out.rglob("*") if path.is_file())
    return {
        "folder": str(out),
        "name": out.name,
        "files": files[:1000],
        "commands": [part.line for part in again],
        "left_out": left_out,
    }


def kept_designs(room: Room, kept: Sequence[Kept]) -> Designs:
    """As the library holds them, each with the conditions that were asked for."""
    labels = np.stack([one.labels.reshape(room.size) for one in kept])
    designs = advice.as_designs(room.runs[0], labels, _file_names(kept))
    values = np.full((len(kept), len(room.columns)), np.nan)
    for row, one in zip(values, kept, strict=True):
        for place, wish in enumerate(one.document.brief[: len(row)]):
            row[place] = wish.value if wish.mode == "target" else np.nan
    return replace(
        designs, columns=room.columns, values=values, provenance={"model": room.runs[0].model, "mode": "studio"}
    )


def _file_names(kept: Sequence[Kept]) -> tuple[str, ...]:
    """Names that files may have, each once."""
    found: list[str] = []
    for one in kept:
        stem = "".join(c if c.isalnum() or c in "-_." else "_" for c in one.name).strip("._") or "design"
        names = (stem if n == 1 else f"{stem}-{n}" for n in count(1))
        found.append(next(name for name in names if name.lower() not in {f.lower() for f in found}))
    return tuple(found)


def _table(room: Room, kept: Sequence[Kept]) -> str:
    """What is known of each kept design, for a spreadsheet."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([csv_cell(c) for c in ("file", "name", "how", "run", "seed", "number", "note", *room.columns)])
    for file, one in zip(_file_names(kept), kept, strict=True):
        wishes = [
            {"free": "", "target": f"{w.value:g}", "range": f"{w.low:g} to {w.high:g}"}[w.mode]
            for w in one.document.brief
        ]
        told = (file, one.name, one.how, one.run, str(one.document.seed), str(one.number), one.note, *wishes)
        rows.writerow([cell if cell.lstrip("-").replace(".", "").isdigit() else csv_cell(cell) for cell in told])
    return text.getvalue()


def _chosen(room: Room, ids: Sequence[str]) -> list[Kept]:
    there = {one.id: one for one in room.session.state.kept}
    for id in ids:
        if id not in there:
            raise NotFound(f"no design {id!r} is kept", "keep it first")
    chosen = [there[id] for id in dict.fromkeys(ids)]
    if any(len(one.labels) != room.size[0] * room.size[1] for one in chosen):
        raise UsageError("a kept design has another size than the model's")
    return chosen


def _free_folder(room: Room) -> Path:
    return next(p for n in count() if not (p := room.folder / f"{room.session.name}-export-{n}").exists())


# --- formats that other floors write ----------------------------------------------------------------------------------


def _nothing(designs: Designs, folder: Path, scale_mm: float | None) -> None:
    """PNG: written always."""


def _svg(designs: Designs, folder: Path, scale_mm: float | None) -> None:
    designs.to_svg(folder / "svg", scale_mm=scale_mm)


def _dxf(designs: Designs, folder: Path, scale_mm: float | None) -> None:
    if scale_mm is None:
        raise UsageError("a drawing in mm needs the size of a pixel", "say how many mm a pixel is")
    designs.to_dxf(folder / "dxf", scale_mm=scale_mm)


def _explorer(designs: Designs, folder: Path, scale_mm: float | None) -> None:
    designs.explorer(folder / "explorer.html", title="Kept in the studio")


_OUTLINES: Outlines = {"svg": _svg, "dxf": _dxf, "explorer": _explorer}
