"""Designs as outlines for CAD: one as a document, several as a folder of them. `Designs` has these as methods."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, overload

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import UsageError
from epurecli.files import write_atomic, writing
from epurecli.listener import QUIET, Listener
from epurecli.outline import dxf, geojson, svg
from epurecli.outline.drawing import Drawing, Style, draw, require_shapely
from epurecli.pictures.crisp import labels_of
from epurecli.sample.layout import MANIFEST, replaceable
from epurecli.sample.names import check_file_name
from epurecli.staging import staged
from epurecli.text import csv_cell

FORMATS: dict[str, Callable[[Drawing], str]] = {
    "svg": svg.document,
    "dxf": dxf.document,
    "geojson": geojson.document,
}


class Drawable(Protocol):
    """What outlines need of designs."""

    @property
    def images(self) -> NDArray[np.uint8]: ...
    @property
    def components(self) -> tuple[str, ...]: ...
    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def provenance(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Outlined:
    """What was written.

    Attributes:
        folder: it holds `<name>.<format>` of each design, and manifest.csv with the parts' areas.
        count: designs.
        overlaps: pixels that two parts or more had claimed, of each design with any. Each went to the part that fills
            most of it, at a tie to the first.
        empty: the parts without a pixel, of each design with any.
    """

    folder: Path
    count: int
    overlaps: dict[str, int] = field(default_factory=dict)
    empty: dict[str, tuple[str, ...]] = field(default_factory=dict)


@overload
def to_svg(designs: Drawable, path: None = None, *, scale_mm: float | None = None, half: bool = False,
           smooth: float = 1.0, overwrite: bool = False) -> str: ...  # fmt: skip
@overload
def to_svg(designs: Drawable, path: str | Path, *, scale_mm: float | None = None, half: bool = False,
           smooth: float = 1.0, overwrite: bool = False) -> Path: ...  # fmt: skip
def to_svg(
    designs: Drawable,
    path: str | Path | None = None,
    *,
    scale_mm: float | None = None,
    half: bool = False,
    smooth: float = 1.0,
    overwrite: bool = False,
) -> str | Path:
    """The parts as filled SVG paths whose borders fit.

    Args:
        path: a file (`section.svg`) for one design, or a folder, to which manifest.csv comes with the parts' areas.
            None: the text of one design.
        scale_mm: edge of a pixel in mm; without it lengths are in pixels.
        half: the half that the images show (default: the full section).
        smooth: 0 follows the pixels' edges; 1 is as smooth as goes without any pixel or area changing.
        overwrite: replace the file, or an earlier result in the folder.

    Raises: UsageError: several designs for one document, a name that is taken, shapely is missing; CannotWrite.
    """
    return _document(designs, path, "svg", Style(scale_mm, half, smooth), overwrite)


@overload
def to_dxf(designs: Drawable, path: None = None, *, scale_mm: float, half: bool = False, smooth: float = 1.0,
           overwrite: bool = False) -> str: ...  # fmt: skip
@overload
def to_dxf(designs: Drawable, path: str | Path, *, scale_mm: float, half: bool = False, smooth: float = 1.0,
           overwrite: bool = False) -> Path: ...  # fmt: skip
def to_dxf(
    designs: Drawable,
    path: str | Path | None = None,
    *,
    scale_mm: float,
    half: bool = False,
    smooth: float = 1.0,
    overwrite: bool = False,
) -> str | Path:
    """The parts as closed polylines, a layer each, in a DXF (R2010, mm); BORDERS has each border once.

    Args: as for `to_svg`, but that a drawing in mm needs the edge of a pixel in mm.

    Raises: as `to_svg`; UsageError: ezdxf is missing.
    """
    return _document(designs, path, "dxf", Style(scale_mm, half, smooth), overwrite)


@overload
def to_geojson(designs: Drawable, path: None = None, *, scale_mm: float | None = None, half: bool = False,
               smooth: float = 1.0, overwrite: bool = False) -> str: ...  # fmt: skip
@overload
def to_geojson(designs: Drawable, path: str | Path, *, scale_mm: float | None = None, half: bool = False,
               smooth: float = 1.0, overwrite: bool = False) -> Path: ...  # fmt: skip
def to_geojson(
    designs: Drawable,
    path: str | Path | None = None,
    *,
    scale_mm: float | None = None,
    half: bool = False,
    smooth: float = 1.0,
    overwrite: bool = False,
) -> str | Path:
    """The parts as polygons in GeoJSON, in plane coordinates: x from the axis, y up from the lowest edge.

    Args, Raises: as for `to_svg`.
    """
    return _document(designs, path, "geojson", Style(scale_mm, half, smooth), overwrite)


def write_outlines(
    designs: Drawable,
    folder: str | Path,
    formats: Collection[str],
    style: Style,
    *,
    overwrite: bool = False,
    listener: Listener = QUIET,
) -> Outlined:
    """Write `<name>.<format>` of every design, and manifest.csv with the parts' areas. All of it, or nothing.

    Args:
        formats: of `FORMATS`.
        overwrite: replace an earlier result.

    Raises: UsageError: no design, names that are no files', the folder is in use, a package is missing; CannotWrite.
    """
    _check(designs, formats, style)
    folder = Path(folder)
    overlaps: dict[str, int] = {}
    empty: dict[str, tuple[str, ...]] = {}
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    areas = [f"{component}_{style.unit}2" for component in designs.components]
    rows.writerow([csv_cell(name) for name in ("name", "section", "scale_mm", *areas, "overlap_px", "empty")])
    with staged(folder, replaceable(folder, overwrite, _stranger), last=MANIFEST) as path:
        for number, (drawing, claimed) in enumerate(_drawings(designs, style), 1):
            for name in formats:
                (path / f"{drawing.name}.{name}").write_bytes(FORMATS[name](drawing).encode())
            if claimed:
                overlaps[drawing.name] = claimed
            if drawing.empty:
                empty[drawing.name] = drawing.empty
            scale = "" if style.scale_mm is None else f"{style.scale_mm:.10g}"
            sizes = [f"{area:.6g}" for area in drawing.areas]
            facts = ("half" if style.half else "full", scale, *sizes, claimed, csv_cell("+".join(drawing.empty)))
            rows.writerow((csv_cell(drawing.name), *facts))
            listener.progress("outlines", number, len(designs.names))
        (path / MANIFEST).write_bytes(table.getvalue().encode())
    return Outlined(folder, len(designs.names), overlaps, empty)


def _document(designs: Drawable, path: str | Path | None, name: str, style: Style, overwrite: bool) -> str | Path:
    if path is not None and Path(path).suffix.lower() not in {f".{known}" for known in FORMATS}:
        return write_outlines(designs, path, [name], style, overwrite=overwrite).folder
    if len(designs.names) != 1:
        raise UsageError(
            f"one document holds one design, and there are {len(designs.names)}", "name a folder, or take designs[0]"
        )
    if path is None:
        _check(designs, [name], style)
        return FORMATS[name](next(_drawings(designs, style))[0])
    path = Path(path)
    if path.suffix.lower() != f".{name}":
        raise UsageError(f"{path}: expected a name that ends in .{name}, or a folder")
    if path.exists() and (path.is_dir() or not overwrite):
        raise UsageError(f"{path} exists already", "choose another name, or overwrite=True")
    _check(designs, [name], style)
    text = FORMATS[name](next(_drawings(designs, style))[0])
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
    return path


def _drawings(designs: Drawable, style: Style) -> Iterator[tuple[Drawing, int]]:
    """Each design, and how many of its pixels several parts had claimed."""
    for name, image in zip(designs.names, designs.images, strict=True):
        labels = labels_of(image)
        drawing = draw(labels, designs.components, name, style, designs.provenance)
        yield drawing, int(((image >= 128).sum(0) > 1).sum())


def _check(designs: Drawable, formats: Collection[str], style: Style) -> None:
    """What can be refused before work starts."""
    if not formats or not set(formats) <= FORMATS.keys():
        raise UsageError(f"formats {', '.join(formats) or 'none'}: expected some of {', '.join(FORMATS)}")
    if not designs.names:
        raise UsageError("there is no design to outline")
    require_shapely()
    if "dxf" in formats:
        dxf.require(style)
    seen: set[str] = set()
    for name in designs.names:
        check_file_name(name, "design")
        if name.casefold() in seen:
            raise UsageError(f"two designs would be written to the same file {name}", "give every design its own name")
        seen.add(name.casefold())


def _stranger(out: Path) -> str | None:
    """Why `out` is not the result of an earlier outline and nothing else; None if it is."""
    manifest = out / MANIFEST
    if not manifest.is_file() or not manifest.read_bytes()[:64].startswith(b"name,section,scale_mm"):
        return f"it has no {MANIFEST} of earlier outlines"
    for path in out.iterdir():
        if path.name != MANIFEST and (path.is_symlink() or not path.is_file() or path.suffix[1:] not in FORMATS):
            return f"it holds {path.name}, which is no outline"
    return None
