"""Small SVG drawings for the report page; text and numbers only, no library, no file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from epurecli.evaluate.album import LossCurve
from epurecli.evaluate.summary import Curve, Row
from epurecli.pictures.palette import css, line_colour


def colour(model: int) -> str:
    """The colour of the model at that place. Grey is kept for real designs."""
    return css(line_colour(model))


def number(value: float | None, significant: int = 4) -> str:
    """Significant digits, without an exponent where the number can be read without one."""
    if value is None or math.isnan(value):
        return "–"
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.{significant - 1}e}"
    digits = significant - 1 - math.floor(math.log10(abs(value))) if value else 0
    text = f"{value:.{max(0, digits)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def strip(row: Row, width: int = 150) -> str:
    """One line a model: its mean as a dot, its interval as a bar; the floor as an upright line through all."""
    points = [x for cell in row.cells for x in (cell.mean, *(cell.interval or ()))]
    points = [x for x in (*points, row.floor) if x is not None and not math.isnan(x)]
    if not points:
        return ""
    low, high = min(points), max(points)
    reach = (high - low) or 1.0

    def x(value: float) -> str:
        return f"{5 + (width - 10) * (value - low) / reach:.1f}"

    step = 10 if len(row.cells) <= 4 else 7
    height = step * len(row.cells) + 4
    parts = [f'<svg class="strip" width="{width}" height="{height}" role="img" aria-label="{escape(_said(row))}">']
    if row.floor is not None and not math.isnan(row.floor):
        at = x(row.floor)
        parts.append(f'<line class="floor" x1="{at}" x2="{at}" y1="0" y2="{height}"/>')
    for i, cell in enumerate(row.cells):
        if math.isnan(cell.mean):
            continue
        y = 7 + step * i
        if cell.interval and not math.isnan(cell.interval[0]):
            ends = f'x1="{x(cell.interval[0])}" x2="{x(cell.interval[1])}" y1="{y}" y2="{y}"'
            parts.append(f'<line {ends} stroke="{colour(i)}" stroke-width="2"/>')
        parts.append(f'<circle cx="{x(cell.mean)}" cy="{y}" r="3" fill="{colour(i)}"/>')
    return "".join(parts) + "</svg>"


def _said(row: Row) -> str:
    return f"{row.name}: floor {number(row.floor)}, models {', '.join(number(c.mean) for c in row.cells)}"


def histogram(curve: Curve, width: int = 360, height: int = 170) -> str:
    """Shares per bin: real designs as a grey area, each model as an outline."""
    left, bottom, top = 34, height - 34, 8
    tallest = max((*curve.real, *(s for shares in curve.generated for s in shares), 1e-9))
    first, last = curve.edges[0], curve.edges[-1]

    def x(value: float) -> float:
        return left + (width - left - 8) * (value - first) / (last - first)

    def outline(shares: Sequence[float]) -> str:
        points = [f"{x(first):.1f},{bottom}"]
        for share, start, end in zip(shares, curve.edges, curve.edges[1:], strict=False):
            y = bottom - (bottom - top) * share / tallest
            points += [f"{x(start):.1f},{y:.1f}", f"{x(end):.1f},{y:.1f}"]
        return " ".join([*points, f"{x(last):.1f},{bottom}"])

    title = escape(f"{curve.name} ({curve.unit})")
    middle = (first + last) / 2
    ticks = "".join(
        f'<text x="{x(at):.1f}" y="{bottom + 13}" text-anchor="{anchor}">{number(at)}</text>'
        for at, anchor in ((first, "start"), (middle, "middle"), (last, "end"))
    )
    models = "".join(
        f'<polyline points="{outline(shares)}" fill="none" stroke="{colour(i)}" stroke-width="1.5"/>'
        for i, shares in enumerate(curve.generated)
    )
    return (
        f'<svg class="histogram" width="{width}" height="{height}" role="img" aria-label="{title}">'
        f'<polygon class="real" points="{outline(curve.real)}"/>{models}'
        f'<line class="axis" x1="{left}" x2="{width - 8}" y1="{bottom}" y2="{bottom}"/>{ticks}'
        f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{100 * tallest:.0f}%</text>'
        f'<text x="{(left + width) / 2:.0f}" y="{height - 6}" text-anchor="middle">{title}</text></svg>'
    )


def losses(curves: Sequence[LossCurve], width: int = 420, height: int = 220) -> str:
    """The losses of one stage over its epochs; a logarithmic axis where they fall to a third or less."""
    left, bottom, top, right = 56, height - 34, 26, width - 8
    values = [v for curve in curves for v in curve.values if math.isfinite(v)]
    epochs = [e for curve in curves for e in curve.epochs]
    if not values:
        return ""
    steep = min(values) > 0 and max(values) > 3 * min(values)
    scale: Callable[[float], float] = math.log10 if steep else float
    low, high = scale(min(values)), scale(max(values))
    first, last = min(epochs), max(epochs)

    def x(epoch: float) -> float:
        return left + (right - left) * (epoch - first) / ((last - first) or 1)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (scale(value) - low) / ((high - low) or 1)

    title = escape(f"{curves[0].stage}: loss in {curves[0].unit}" + (" (logarithmic)" if steep else ""))
    parts = [f'<svg class="losses" width="{width}" height="{height}" role="img" aria-label="{title}">']
    at = left
    for i, curve in enumerate(curves):
        points = [(x(e), y(v)) for e, v in zip(curve.epochs, curve.values, strict=True) if math.isfinite(v)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour(i)}" stroke-width="2"/>')
        parts.append(f'<rect x="{at}" y="6" width="10" height="10" fill="{colour(i)}"/>')
        parts.append(f'<text x="{at + 14}" y="15">{escape(curve.name)}</text>')
        at += 26 + 7 * len(curve.name)
    for value, place in ((min(values), bottom), (max(values), top + 8)):
        parts.append(f'<text x="{left - 4}" y="{place}" text-anchor="end">{number(value, 3)}</text>')
    for epoch, anchor in ((first, "start"), (last, "end")):
        parts.append(f'<text x="{x(epoch):.1f}" y="{bottom + 13}" text-anchor="{anchor}">{number(epoch)}</text>')
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 6}" text-anchor="middle">epoch · {title}</text></svg>')
    return "".join(parts)
