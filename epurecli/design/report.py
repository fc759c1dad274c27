"""Designs that answer a brief, on one page: pictures, figures against what was asked, and what is traded for what."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epurecli.design.brief import Brief
from epurecli.evaluate.page import STYLE
from epurecli.evaluate.pictures import png_of
from epurecli.evaluate.plot import number
from epurecli.pictures.palette import css, line_colour
from epurecli.pictures.section import Side, mirrored, overlay
from epurecli.version import __version__

if TYPE_CHECKING:
    import pandas as pd

_OWN = """
.cards { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; padding: .5rem; border: 1px solid var(--line); border-radius: 4px; background: var(--soft); }
figure img { display: block; image-rendering: pixelated; width: 192px; height: 192px; background: #fff; }
figcaption { font-size: .85em; width: 192px; }
svg .found { fill: var(--real); }
svg .path { fill: none; stroke: var(--real); stroke-opacity: .5; }
svg .wanted { fill: var(--ink); fill-opacity: .15; stroke: var(--ink); stroke-dasharray: 3 2; }
"""
_SHOWN = 300  # other designs drawn behind


def page(images: NDArray[np.uint8], table: pd.DataFrame, background: pd.DataFrame, brief: Brief) -> str:
    """The whole page; style and pictures are inside it, nothing is fetched.

    Args:
        images: (B, C, H, W), the best first.
        table: a row a design; see `Designed`.
        background: figures of all acceptable designs.
    """
    asked = [name for name in background.columns if f"{name}_asked" in table]
    cards = "".join(_card(image, name, row, asked) for image, (name, row) in zip(images, table.iterrows(), strict=True))
    sections = [
        "<h1>epure: designs for a brief</h1>",
        f"<p>Asked: {escape(brief.text)}. {len(table)} of {len(background):,} acceptable designs, chosen to be good "
        "and to differ. After each figure: the interval that holds nine of ten designs like those of the data.</p>",
        f'<div class="cards">{cards}</div>',
        "<h2>Figures</h2>",
        _table(table, list(background.columns)),
        "<h2>All figures at once</h2>",
        f'<div class="scroll">{parallel(table, background, brief)}</div>',
    ]
    pairs = [(a, b) for i, a in enumerate(asked) for b in asked[i + 1 :]][:6]
    if pairs:
        sections.append("<h2>What is traded for what</h2>")
        sections.append(f'<div class="plots">{"".join(scatter(table, background, *pair) for pair in pairs)}</div>')
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>epure: designs</title><style>{STYLE}{_OWN}</style></head>\n<body>\n"
        + "\n".join(sections)
        + f"\n<footer><p>epure {escape(__version__)}</p></footer></body></html>\n"
    )


def _card(image: NDArray[np.uint8], name: object, row: pd.Series, asked: Sequence[str]) -> str:
    source = b64encode(png_of(overlay(mirrored(image, Side.RIGHT)))).decode()
    said = "".join(f"<br>{escape(column)} {number(float(row[column]))}" for column in asked)
    return (
        f'<figure><img alt="{escape(str(name))}" src="data:image/png;base64,{source}">'
        f"<figcaption><b>{escape(str(name))}</b>{said}<br>{int(row['distance_px'])} px from the nearest training design"
        "</figcaption></figure>"
    )


def _table(table: pd.DataFrame, columns: Sequence[str]) -> str:
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    asked = [str(table[f"{name}_asked"].iloc[0]) if f"{name}_asked" in table else "" for name in columns]
    wanted = "".join(f"<td>{escape(text)}</td>" for text in asked)
    rows = [f'<tr><th class="text" scope="row">asked</th>{wanted}</tr>']
    for name, row in table.iterrows():
        cells = []
        for column in columns:
            low, high = float(row[f"{column}_low"]), float(row[f"{column}_high"])
            spread = f' <span class="spread">{number(low)} to {number(high)}</span>' if high > low else ""
            cells.append(f"<td>{number(float(row[column]))}{spread}</td>")
        rows.append(f'<tr><th class="text" scope="row">{escape(str(name))}</th>{"".join(cells)}</tr>')
    head = f'<thead><tr><th class="text">design</th>{heads}</tr></thead>'
    return f'<div class="scroll"><table>{head}<tbody>{"".join(rows)}</tbody></table></div>'


def parallel(table: pd.DataFrame, background: pd.DataFrame, brief: Brief, height: int = 260) -> str:
    """Parallel coordinates: an axis a figure, a line a design; what was asked as a box, other designs in grey."""
    columns = list(background.columns)
    step, left, top, bottom = 130, 60, 30, height - 40
    width = left * 2 + step * max(1, len(columns) - 1)
    ends = {name: _ends([*background[name], *table[name], *(_window(brief, name) or ())]) for name in columns}

    def y(name: str, value: float) -> float:
        low, high = ends[name]
        return bottom - (bottom - top) * (value - low) / (high - low)

    def line(row: pd.Series) -> str:
        return " ".join(f"{left + step * i:.0f},{y(name, float(row[name])):.1f}" for i, name in enumerate(columns))

    some = background.iloc[:: -(-len(background) // _SHOWN) or 1]
    parts = [f'<svg width="{width}" height="{height}" role="img" aria-label="all figures of each design">']
    parts += [f'<polyline class="path" points="{line(row)}"/>' for _, row in some.iterrows()]
    for i, name in enumerate(columns):
        x, window = left + step * i, _window(brief, name)
        if window:
            above, below = (min(max(y(name, v), top - 4), bottom + 4) for v in (window[1], window[0]))
            parts.append(
                f'<rect class="wanted" x="{x - 6}" width="12" y="{above - 2:.1f}" height="{below - above + 4:.1f}"/>'
            )
        parts.append(f'<line class="axis" x1="{x}" x2="{x}" y1="{top}" y2="{bottom}"/>')
        low, high = ends[name]
        parts.append(f'<text x="{x}" y="{top - 8}" text-anchor="middle">{number(high)}</text>')
        parts.append(f'<text x="{x}" y="{bottom + 14}" text-anchor="middle">{number(low)}</text>')
        parts.append(f'<text x="{x}" y="{bottom + 30}" text-anchor="middle">{escape(name)}</text>')
    for k, (name, row) in enumerate(table.iterrows()):
        colour = css(line_colour(k))
        parts.append(f'<polyline points="{line(row)}" fill="none" stroke="{colour}" stroke-width="2">')
        parts.append(f"<title>{escape(str(name))}</title></polyline>")
    return "".join(parts) + "</svg>"


def scatter(table: pd.DataFrame, background: pd.DataFrame, across: str, up: str, size: int = 320) -> str:
    """Two figures of each design; other designs in grey, intervals as bars."""
    left, bottom, top, right = 52, size - 40, 10, size - 10
    (x0, x1), (y0, y1) = (_ends([*background[name], *table[name]]) for name in (across, up))

    def x(value: float) -> float:
        return left + (right - left) * (value - x0) / (x1 - x0)

    def y(value: float) -> float:
        return bottom - (bottom - top) * (value - y0) / (y1 - y0)

    title = escape(f"{up} against {across}")
    parts = [f'<svg width="{size}" height="{size}" role="img" aria-label="{title}">']
    some = background.iloc[:: -(-len(background) // _SHOWN) or 1]
    parts += [
        f'<circle class="found" cx="{x(a):.1f}" cy="{y(b):.1f}" r="2"/>'
        for a, b in zip(some[across], some[up], strict=True)
    ]
    for k, (name, row) in enumerate(table.iterrows()):
        colour = css(line_colour(k))
        a, b = float(row[across]), float(row[up])
        low, high = (y(min(max(float(row[f"{up}_{end}"]), y0), y1)) for end in ("low", "high"))
        parts.append(f'<line x1="{x(a):.1f}" x2="{x(a):.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{colour}"/>')
        parts.append(
            f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="5" fill="{colour}"><title>{escape(str(name))}</title></circle>'
        )
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    parts.append(f'<line class="axis" x1="{left}" x2="{left}" y1="{top}" y2="{bottom}"/>')
    for value, anchor in ((x0, "start"), (x1, "end")):
        parts.append(f'<text x="{x(value):.0f}" y="{bottom + 14}" text-anchor="{anchor}">{number(value, 3)}</text>')
    for value, place in ((y0, bottom), (y1, top + 9)):
        parts.append(f'<text x="{left - 4}" y="{place}" text-anchor="end">{number(value, 3)}</text>')
    parts.append(f'<text x="{(left + right) / 2:.0f}" y="{size - 6}" text-anchor="middle">{title}</text></svg>')
    return "".join(parts)


def _window(brief: Brief, name: str) -> tuple[float, float] | None:
    """What is asked of a figure, as an interval; None where nothing is."""
    if name in brief.target:
        return brief.target[name], brief.target[name]
    low, high = brief.range.get(name, (-np.inf, np.inf))
    low, high = max(low, brief.at_least.get(name, -np.inf)), min(high, brief.at_most.get(name, np.inf))
    return (low, high) if np.isfinite([low, high]).any() else None


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis."""
    finite = [float(v) for v in values if np.isfinite(v)]
    low, high = min(finite), max(finite)
    room = 0.05 * (high - low) or 1.0
    return low - room, high + room
