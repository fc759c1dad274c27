"""A drawing as DXF (R2010, mm): a layer for each part, the borders, the axis."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from epurecli.errors import UsageError
from epurecli.outline.drawing import Drawing, Style
from epurecli.pictures.palette import colour
from epurecli.text import printable

VERSION = "R2010"
MILLIMETRES = 4  # $INSUNITS
BORDERS, AXIS = "BORDERS", "AXIS"
APPLICATION = "EPURE"  # under which facts stand as extended data
MOST_BYTES = 250  # of a string of extended data
_FORBIDDEN = re.compile(r"[<>/\\\":;?*|=,`^\n]")  # in the name of a layer


def document(drawing: Drawing) -> str:
    """The text of a DXF file.

    Layers: one for each part, with its outer edges and holes as closed polylines; BORDERS with each border once, for
    whoever wants no line twice; AXIS with the axis. Polylines are straight between vertices: many programs lose
    splines. Those of parts carry, as extended data of EPURE, the part's name and where the design comes from.

    Raises: UsageError: ezdxf is missing, or the scale is not known.
    """
    ezdxf = require(drawing.style)
    file = ezdxf.new(VERSION, units=MILLIMETRES)
    file.appids.add(APPLICATION)
    file.linetypes.add("CENTER", [50.8, 31.75, -6.35, 6.35, -6.35], description="Center ____ _ ____ _ ____")
    facts = {
        "design": drawing.name,
        "section": "half" if drawing.style.half else "full",
        "scale_mm": f"{drawing.style.pixel:.10g}",
        **drawing.facts,
    }
    for key, value in facts.items():
        file.header.custom_vars.append(_line(key), _line(value))
    space = file.modelspace()
    layers = layer_names(drawing.components)
    for c, (layer, name, part) in enumerate(zip(layers, drawing.components, drawing.parts, strict=True)):
        file.layers.add(layer).rgb = colour(c)
        data = [(1000, _line(f"{key}={value}")) for key, value in {"part": name, **facts}.items()]
        for face in part.geoms:
            for ring in (face.exterior, *face.interiors):
                _polyline(space, ring.coords[:], layer).set_xdata(APPLICATION, data)
    file.layers.add(BORDERS, color=8)
    for line in drawing.borders:
        _polyline(space, [tuple(point) for point in line.points.tolist()], BORDERS)
    file.layers.add(AXIS, color=1, linetype="CENTER")
    _, bottom, _, top = drawing.frame
    space.add_line((0, bottom), (0, top), dxfattribs={"layer": AXIS})
    text = io.StringIO()
    file.write(text)
    return text.getvalue()


def layer_names(components: Sequence[str]) -> list[str]:
    """A layer's name for each component: nothing in it that DXF forbids, and all differ whatever their case."""
    taken = {BORDERS.lower(), AXIS.lower(), "0", "defpoints"}
    names = []
    for component in components:
        plain = _FORBIDDEN.sub("_", printable(component)).strip() or "_"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def _polyline(space: Any, points: Sequence[tuple[float, ...]], layer: str) -> Any:
    """Closed if it ends where it starts; that point stands in the file once."""
    closed = points[0] == points[-1]
    return space.add_lwpolyline(points[: -1 if closed else None], close=closed, dxfattribs={"layer": layer})


def _line(text: str) -> str:
    """One line that extended data and header variables can hold."""
    plain = printable(text).replace("\n", " ").encode()[:MOST_BYTES]
    return plain.decode(errors="ignore")


def require(style: Style) -> Any:
    """The package ezdxf. Raises: UsageError: it is missing, or the scale is not known."""
    if style.scale_mm is None:
        raise UsageError(
            "a DXF is in mm: it needs the edge of a pixel", "such as --scale 3.5 (in Python scale_mm=3.5) for 3.5 mm"
        )
    try:
        import ezdxf
    except ImportError:
        raise UsageError("DXF needs the ezdxf package", "pip install 'epurecli[cad]'") from None
    return ezdxf
