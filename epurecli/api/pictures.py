"""How designs look in a notebook: on any background, in a cell of bounded size."""

from __future__ import annotations

import base64
import html as escape
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epurecli.pictures.section import Side, mirrored, overlay

if TYPE_CHECKING:
    from PIL.Image import Image

GAP = 4  # pixels between sections
ACROSS = 8
MOST_BYTES = 60_000  # of a picture in a page; as text it is a third longer
ROWS = 8  # of the table
STYLE = "border:1px solid currentColor;background:#fff;max-width:100%"  # white paper, whatever the page's colour


def strip(images: NDArray[np.uint8], scale: int) -> Image:
    """Full sections in rows of eight, each pixel enlarged `scale` times."""
    from PIL import Image

    sections = [overlay(mirrored(image, Side.RIGHT)).repeat(scale, 0).repeat(scale, 1) for image in images]
    across = min(ACROSS, len(sections)) or 1
    down = -(-len(sections) // across)
    height, width = sections[0].shape[:2] if sections else (1, 1)
    page = np.full((down * (height + GAP) - GAP if down else 1, across * (width + GAP) - GAP, 3), 255, np.uint8)
    for k, section in enumerate(sections):
        top, left = k // across * (height + GAP), k % across * (width + GAP)
        page[top : top + height, left : left + width] = section
    return Image.fromarray(page)


def png(image: Image) -> bytes:
    """The bytes of a PNG file."""
    file = io.BytesIO()
    image.save(file, format="PNG", optimize=True)
    return file.getvalue()


def html(
    title: str,
    images: NDArray[np.uint8],
    names: Sequence[str],
    columns: Sequence[str],
    values: NDArray[np.float64],
) -> str:
    """A cell for a notebook: a title, a picture of the first designs, their conditions. Below 100 kB.

    Args:
        images: (B, C, H, W).
        values: (B, D) conditions in raw units, NaN where a design has none.
    """
    shown = min(len(images), 3 * ACROSS)
    data = b""
    while shown:
        data = png(strip(images[:shown], 2))
        if len(data) <= MOST_BYTES:
            break
        shown //= 2
    parts = [f"<div><p>{escape.escape(title[:1000])}</p>"]
    if shown:
        source = base64.b64encode(data).decode()
        parts.append(
            f'<img alt="{shown} of {len(images)} designs" style="{STYLE}" src="data:image/png;base64,{source}">'
        )
    if np.isfinite(values).any():
        parts.append(_table(names, columns, values))
    return "".join(parts) + "</div>"


def facts_html(facts: Mapping[str, str]) -> str:
    """Names and what is said of them, as a table for a notebook."""
    rows = (f"<tr><th>{key}</th><td>{escape.escape(value[:500])}</td></tr>" for key, value in facts.items())
    return f"<table>{''.join(rows)}</table>"


def _table(names: Sequence[str], columns: Sequence[str], values: NDArray[np.float64]) -> str:
    head = _row("th", ("", *columns[:ROWS]))
    body = [
        _row("td", (name, *(f"{value:.5g}" for value in row[:ROWS])))
        for name, row in zip(names[:ROWS], values[:ROWS], strict=True)
    ]
    more = len(names) - ROWS
    tail = f"<p>and {more:,} more</p>" if more > 0 else ""
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>{tail}"


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}>{escape.escape(cell[:60])}</{tag}>" for cell in cells) + "</tr>"
