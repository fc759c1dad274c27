"""A drawing as SVG: a path for each part."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from epurecli.outline.chains import Floats
from epurecli.outline.drawing import Drawing
from epurecli.pictures.palette import colour, css
from epurecli.text import printable

if TYPE_CHECKING:
    from shapely import MultiPolygon

MARGIN = 1.0  # pixels of paper round the image
SEAM = 0.25  # pixels: width of the lines below the borders
SHOWN = 8.0  # CSS pixels for each pixel where the scale is not known


def document(drawing: Drawing) -> str:
    """The text of an SVG file, whose user units are mm, or pixels where the scale is not known.

    Each part is one `<path>` with a title, `data-part` and `data-area`. Below the parts, in `.seams`, lies each border
    between two of them as a line in the colour of one: a viewer blends the edges of both with what is below, and on
    white paper a white hairline would show.
    """
    pixel, unit = drawing.style.pixel, drawing.style.unit
    left, bottom, right, top = drawing.frame
    margin = MARGIN * pixel
    box = (left - margin, -top - margin, right - left + 2 * margin, top - bottom + 2 * margin)
    width, height = (f"{_number(side * SHOWN)}" if unit == "px" else f"{_number(side)}mm" for side in box[2:])
    paths = [
        f'<path fill="{css(colour(c))}" data-part="{_text(name)}" data-area="{part.area:.6g}" d="{_path(part)}">'
        f"<title>{_text(name)}</title></path>"
        for c, (name, part) in enumerate(zip(drawing.components, drawing.parts, strict=True))
        if not part.is_empty
    ]
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="{" ".join(map(_number, box))}" data-unit="{unit}" role="img">',
        f"<title>{_text(drawing.name)}</title>",
        f"<desc>{_text(about(drawing))}</desc>",
        f'<g class="seams" fill="none" stroke-width="{_number(SEAM * pixel)}" aria-hidden="true">',
        *_seams(drawing),
        "</g>",
        '<g class="parts" fill-rule="evenodd" shape-rendering="geometricPrecision">',
        *paths,
        "</g>",
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def about(drawing: Drawing) -> str:
    """One line: what is drawn, in which unit, and where it comes from."""
    style = drawing.style
    scale = "unit: a pixel, whose size is not known" if style.unit == "px" else f"unit: mm, {style.pixel:g} mm a pixel"
    facts = [f"{key} {value}" for key, value in drawing.facts.items()]
    empty = [f"empty: {', '.join(drawing.empty)}"] if drawing.empty else []
    return "; ".join(["half section" if style.half else "full section", scale, *empty, *facts])


def _seams(drawing: Drawing) -> list[str]:
    """Lines below the borders between two parts, shortened where they would stick out of the section."""
    width = SEAM * drawing.style.pixel
    outer = [line for line in drawing.borders if not (line.left and line.right)]
    edge = {tuple(line.points[end].tolist()) for line in outer for end in (0, -1)}
    seams = []
    for line in drawing.borders:
        ends = [width if tuple(line.points[end].tolist()) in edge else 0.0 for end in (0, -1)]
        points = _shortened(line.points, *ends)
        if line.left and line.right and len(points):
            seams.append(f'<polyline stroke="{css(colour(line.left - 1))}" points="{_points(points)}"/>')
    return seams


def _shortened(points: Floats, start: float, end: float) -> Floats:
    """A line without these lengths at its ends; nothing if it is no longer than them."""
    along = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    if along[-1] <= start + end:
        return points[:0]
    places = np.array([start, *along[(along > start) & (along < along[-1] - end)], along[-1] - end])
    return np.stack([np.interp(places, along, points[:, k]) for k in (0, 1)], 1)


def _path(part: MultiPolygon) -> str:
    rings = [ring for face in part.geoms for ring in (face.exterior, *face.interiors)]
    return " ".join(f"M{_points(ring.coords[:-1])}Z" for ring in rings)


def _points(points: Floats | list[tuple[float, ...]]) -> str:
    return " ".join(f"{_number(x)},{_number(-y)}" for x, y in points)


def _number(value: float) -> str:
    """As short as it can be; drawings round their coordinates."""
    return f"{value + 0.0:.10g}"


def _text(text: str) -> str:
    return html.escape(printable(text))
