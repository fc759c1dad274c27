"""`epure outline`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli import console
from epurecli.errors import UsageError

OUTLINES = Path("outlines")
NAMED = 5  # designs that a note names; manifest.csv has all


def outline(
    folder: Annotated[Path, typer.Argument(help="Designs: samples, a data set, your own drawings.")],
    svg: Annotated[bool, typer.Option("--svg", help="A filled path for each part.")] = False,
    dxf: Annotated[
        bool, typer.Option("--dxf", help="R2010, mm: a layer for each part, closed polylines; needs --scale.")
    ] = False,
    geojson: Annotated[bool, typer.Option("--geojson", help="A polygon for each part.")] = False,
    scale: Annotated[
        float | None, typer.Option(help="Edge of a pixel in mm (default: not known, lengths in pixels).")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="The half that the images show, not the full section.")] = False,
    smooth: Annotated[
        float, typer.Option(help="0: the pixels' edges. 1: as smooth as goes without any pixel or area changing.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Folder to write (default: outlines/<folder>-<n>).")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the outlines that --out holds.")] = False,
) -> None:
    """Outlines of designs for CAD: parts whose borders fit, and manifest.csv with their areas."""
    formats = [name for name, wanted in (("svg", svg), ("dxf", dxf), ("geojson", geojson)) if wanted]
    if not formats:
        raise UsageError("no format was chosen", "--svg, --dxf, --geojson: one or several")

    from epurecli.api.outlines import write_outlines
    from epurecli.api.reading import read
    from epurecli.cli.options import claimed
    from epurecli.cli.progress import listening
    from epurecli.outline import dxf as dxf_format
    from epurecli.outline.drawing import Style

    style = Style(scale, half, smooth)
    if dxf:
        dxf_format.require(style)
    if (folder / "run.json").is_file():
        raise UsageError(f"{folder} is a run, not a folder of designs", "epure sample MODEL --checkpoint RUN --out DIR")
    designs = read(folder)
    with claimed(out, OUTLINES, folder.resolve().name or "designs") as target, listening() as listener:
        done = write_outlines(designs, target, formats, style, overwrite=overwrite, listener=listener)
    _tell(done.overlaps, done.empty)
    unit = f"{scale:g} mm a pixel" if scale is not None else "in pixels, whose size is not known (--scale MM)"
    section = "half" if half else "full"
    console.say(f"outlines: {done.folder}")
    console.note(
        f"{done.count:,} design{'s' if done.count != 1 else ''} as {', '.join(formats)}; {section} section, {unit}"
    )
    console.note(f"areas of their parts: {done.folder / 'manifest.csv'}")


def _tell(overlaps: dict[str, int], empty: dict[str, tuple[str, ...]]) -> None:
    if overlaps:
        console.warn(
            f"parts overlap in {_named(overlaps)}, {sum(overlaps.values()):,} pixels in all: each pixel went to the "
            "part that fills most of it, at a tie to the first"
        )
    for component in dict.fromkeys(name for names in empty.values() for name in names):
        console.warn(f"{component} is empty in {_named([name for name, names in empty.items() if component in names])}")


def _named(designs: Collection[str]) -> str:
    first = ", ".join(list(designs)[:NAMED])
    more = f", and {len(designs) - NAMED:,} more" if len(designs) > NAMED else ""
    return f"{len(designs):,} design{'s' if len(designs) != 1 else ''} ({first}{more})"
