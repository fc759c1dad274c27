"""A drawing as GeoJSON: a feature for each part."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from epurecli.outline.drawing import Drawing
from epurecli.pictures.palette import colour, css
from epurecli.text import printable

if TYPE_CHECKING:
    from shapely import Polygon


def document(drawing: Drawing) -> str:
    """The text of a GeoJSON file (RFC 7946 in its structure; coordinates are plane, in the unit that it names).

    A feature is a Polygon or MultiPolygon: outer rings counter-clockwise, holes clockwise, y up.
    """
    style = drawing.style
    features = [
        {
            "type": "Feature",
            "properties": {
                "part": printable(name),
                f"area_{style.unit}2": float(f"{area:.6g}"),
                "fill": css(colour(c)),
            },
            "geometry": _geometry([_rings(face) for face in part.geoms]),
        }
        for c, (name, part, area) in enumerate(zip(drawing.components, drawing.parts, drawing.areas, strict=True))
        if not part.is_empty
    ]
    tree = {
        "type": "FeatureCollection",
        "name": printable(drawing.name),
        "unit": style.unit,
        "scale_mm": style.scale_mm,
        "section": "half" if style.half else "full",
        "empty": [printable(name) for name in drawing.empty],
        "from": {printable(key): printable(value) for key, value in drawing.facts.items()},
        "features": features,
    }
    return json.dumps(tree, ensure_ascii=False, allow_nan=False) + "\n"


def _geometry(faces: list[list[list[list[float]]]]) -> dict[str, Any]:
    if len(faces) == 1:
        return {"type": "Polygon", "coordinates": faces[0]}
    return {"type": "MultiPolygon", "coordinates": faces}


def _rings(face: Polygon) -> list[list[list[float]]]:
    return [[list(point) for point in ring.coords] for ring in (face.exterior, *face.interiors)]
