"""A design as a drawing: polygons of its parts and every border once, the axis at x = 0, y up, in mm or pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, isfinite, log10
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import EpureError, UsageError
from epurecli.outline.borders import Border, find_borders
from epurecli.outline.chains import Floats, Ints

if TYPE_CHECKING:
    from shapely import MultiPolygon

DIGITS = 7  # decimals of a pixel that coordinates keep


@dataclass(frozen=True)
class Style:
    """How designs are drawn.

    Attributes:
        scale_mm: edge of a pixel in mm; None = not known, and lengths are in pixels.
        half: the half that the images show, rather than the full section.
        smooth: 0 follows the pixels' edges; 1 is as smooth as goes without any pixel changing.
    """

    scale_mm: float | None = None
    half: bool = False
    smooth: float = 1.0

    def __post_init__(self) -> None:
        if self.scale_mm is not None and not (isfinite(self.scale_mm) and 1e-6 <= self.scale_mm <= 1e6):
            raise UsageError(f"scale {self.scale_mm:g}: expected the edge of a pixel in mm, more than 0, such as 3.5")
        if not 0 <= self.smooth <= 1:
            raise UsageError(f"smooth {self.smooth:g}: expected 0 (the pixels' edges) to 1 (as smooth as may be)")

    @property
    def unit(self) -> str:
        return "px" if self.scale_mm is None else "mm"

    @property
    def pixel(self) -> float:
        """The edge of a pixel in that unit."""
        return 1.0 if self.scale_mm is None else self.scale_mm


@dataclass(frozen=True)
class Line:
    """A border: points (K, 2), and the owners on its left and right with y up; 0 = background."""

    points: Floats
    left: int
    right: int


@dataclass(frozen=True)
class Drawing:
    """One design, its lowest edge on y = 0.

    Attributes:
        name: of the design.
        components: the parts' names.
        parts: a polygon or several for each component; empty where it has no pixel.
        borders: each border between two owners once; a closed one ends where it starts.
        frame: left, bottom, right, top of the image, in the drawing's unit.
        style: unit, half or full.
        facts: where the design comes from.
    """

    name: str
    components: tuple[str, ...]
    parts: tuple[MultiPolygon, ...]
    borders: tuple[Line, ...]
    frame: tuple[float, float, float, float]
    style: Style
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def areas(self) -> tuple[float, ...]:
        """Of each part, in the drawing's unit squared."""
        return tuple(float(part.area) for part in self.parts)

    @property
    def empty(self) -> tuple[str, ...]:
        """Parts that have no pixel."""
        return tuple(name for name, part in zip(self.components, self.parts, strict=True) if part.is_empty)


def draw(
    labels: NDArray[np.integer[Any]],
    components: Sequence[str],
    name: str,
    style: Style,
    facts: Mapping[str, str] | None = None,
) -> Drawing:
    """The drawing of a half section.

    Args:
        labels: (H, W) owner of each pixel, 0 = background, c + 1 component c; the axis is the right edge.

    Raises: UsageError: shapely is missing.
    """
    height, width = labels.shape
    rows = np.flatnonzero(labels.any(1))
    bottom = int(rows[-1]) + 1 if len(rows) else height
    decimals = DIGITS - ceil(log10(style.pixel))

    found = find_borders(labels, style.smooth)
    points, ends = _joined(found)
    placed = np.round((points * (1, -1) + (0, bottom)) * style.pixel, decimals)
    half = list(zip(np.split(placed, ends)[:-1], found, strict=True))
    borders = [Line(points, b.left, b.right) for points, b in half] if style.half else _mirrored(half)
    edges = borders + (_axis_edges(half, labels[:, -1]) if style.half else [])
    left, lower, right = -width * style.pixel, (bottom - height) * style.pixel, 0 if style.half else width * style.pixel
    frame = left, lower, float(right), bottom * style.pixel
    return Drawing(name, tuple(components), _parts(edges, len(components)), tuple(borders), frame, style, facts or {})


def _joined(lines: Sequence[Border] | Sequence[Line]) -> tuple[Floats, Ints]:
    """The points of all lines, one line after the other (M, 2), and where each ends in them."""
    ends = np.cumsum([len(line.points) for line in lines], dtype=np.int64)
    return np.concatenate([np.empty((0, 2)), *(line.points for line in lines)]), ends


def _mirrored(half: Sequence[tuple[Floats, Border]]) -> list[Line]:
    """Borders of the full section. One that meets the axis goes on as its mirror image."""
    found = []
    for points, border in half:
        image = points * (-1, 1) + 0.0
        if border.on_axis[1]:
            points = np.concatenate([points, image[-2::-1]])
        elif border.on_axis[0]:
            points = np.concatenate([image[:0:-1], points])
        else:
            found.append(Line(image, border.right, border.left))
        found.append(Line(points, border.left, border.right))
    return found


def _axis_edges(half: Sequence[tuple[Floats, Border]], column: NDArray[np.integer[Any]]) -> list[Line]:
    """What closes the parts of a half section: pieces of the axis, from border to border upwards, parts at the left."""
    ends = [points[end] for points, b in half for end, axis in zip((0, -1), b.on_axis, strict=True) if axis]
    above = [int(owner) for owner in column[np.flatnonzero(np.diff(column, append=0))]]  # from the top down
    ends.sort(key=lambda point: point[1])
    pieces = zip(pairwise(ends), reversed(above), strict=False)
    return [Line(np.stack([low, high]), owner, 0) for (low, high), owner in pieces if owner]


def _parts(edges: Sequence[Line], count: int) -> tuple[MultiPolygon, ...]:
    """The polygons that the edges enclose, by owner."""
    shapely = require_shapely()
    owner = {}
    for line in edges:
        places = [tuple(point) for point in line.points.tolist()]
        for start, end in pairwise(places):
            owner[start, end], owner[end, start] = line.left, line.right
    polygons: list[list[Any]] = [[] for _ in range(count + 1)]
    points, ends = _joined(edges)
    line_of = np.repeat(np.arange(len(edges)), np.diff(ends, prepend=0))
    faces = shapely.polygonize(shapely.linestrings(points, indices=line_of)).geoms
    for face in shapely.orient_polygons(list(faces)):
        start, end = face.exterior.coords[:2]
        polygons[owner[start, end]].append(face)
    parts = [shapely.MultiPolygon(found) for found in polygons[1:]]
    if not shapely.coverage_is_valid(parts):
        raise EpureError("parts overlap or leave gaps", "this is a fault of epure: report it with the design")
    return tuple(parts)


def require_shapely() -> Any:
    try:
        import shapely
    except ImportError:
        raise UsageError("outlines need the shapely package", "pip install 'epurecli[cad]'") from None
    return shapely
