"""The contact sheet: a first look at the designs on one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from epurecli.pictures.crisp import crisp
from epurecli.pictures.palette import Colour, colour
from epurecli.pictures.section import SPREAD_FULL_SCALE, Side, heat, mirrored, overlay

PANEL = 256  # pixels of a section's longer side: 64 rows are enlarged 4 times
SHEET_WIDTH = 2200  # pixels to aim at
LEAST_WIDTH = 640  # room for the title
MARGIN, GAP, FRAME = 24, 8, 3
TEXT, SMALL, TITLE = 15, 13, 22  # font sizes
LINE = TEXT + 5  # line spacing
LABEL = 110  # pixels at most for a component's name
FEW = 6  # components that are drawn large
INK, GREY, PALE, WHITE = (20, 20, 20), (95, 95, 95), (205, 205, 205), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Tile:
    """One design on the sheet."""

    name: str
    image: np.ndarray  # (C, H, W) uint8
    observed: np.ndarray | None = None  # (C,) bool, True = given rather than generated
    truth: np.ndarray | None = None  # (C, H, W) uint8
    spread: np.ndarray | None = None  # (C, H, W) standard deviation of the draws
    caption: tuple[str, ...] = ()  # such as "width_px 58"
    draws: np.ndarray | None = None  # (S, C, H, W) uint8, a few of them


def contact_sheet(
    tiles: Sequence[Tile], components: Sequence[str], *, title: str, mirror: Side = Side.RIGHT
) -> Image.Image:
    """Draw the designs in a grid, with a legend on top.

    Each design: the full section (or some draws of it and their majority, the truth before them and the uncertainty
    behind them, where there are any), each component alone as it was written, what was given marked by a frame and in
    words, its name and conditions.
    """
    if not tiles:
        raise ValueError("tiles: expected at least one design")
    cells = [_cell(tile, components, mirror) for tile in tiles]
    width, height = max(c.width for c in cells), max(c.height for c in cells)
    columns = max(1, min(len(cells), (SHEET_WIDTH - MARGIN) // (width + MARGIN)))
    inner = max(columns * (width + MARGIN) - MARGIN, LEAST_WIDTH)
    head = _head(title, components, tiles, inner)
    rows = -(-len(cells) // columns)
    top = head.height + 2 * MARGIN
    sheet = Image.new("RGB", (inner + 2 * MARGIN, top + rows * (height + MARGIN)), WHITE)
    sheet.paste(head, (MARGIN, MARGIN))
    for k, cell in enumerate(cells):
        sheet.paste(cell, (MARGIN + k % columns * (width + MARGIN), top + k // columns * (height + MARGIN)))
    return sheet


def _cell(tile: Tile, components: Sequence[str], mirror: Side) -> Image.Image:
    panels = [] if tile.truth is None else [("truth", overlay(mirrored(tile.truth, mirror)))]
    if tile.draws is None:
        panels.append(("sampled", overlay(mirrored(tile.image, mirror))))
    else:
        panels += [(f"draw {k}", overlay(mirrored(draw, mirror))) for k, draw in enumerate(tile.draws, 1)]
        most = (255 * crisp(tile.image / np.float32(255))).astype(np.uint8)
        panels.append(("majority", overlay(mirrored(most, mirror))))
    if tile.spread is not None:
        panels.append(("uncertainty", heat(mirrored(tile.spread, mirror))))
    large = [(label, _scaled(pixels, PANEL)) for label, pixels in panels]
    small = _singles(tile, components)
    labels = SMALL + 5 if len(large) > 1 else 0  # one picture explains itself
    body = max(small.height, labels + large[0][1].height + 2)
    width = sum(picture.width + 2 + GAP for _, picture in large) + small.width
    words = [tile.name, *tile.caption]
    if tile.observed is not None and tile.observed.any():
        words.insert(1, "given: " + " + ".join(c for c, g in zip(components, tile.observed, strict=True) if g))
    lines = _wrapped(words, TEXT, width)
    cell = Image.new("RGB", (width, body + GAP + len(lines) * LINE), WHITE)
    draw = ImageDraw.Draw(cell)
    x = 0
    for label, picture in large:
        if labels:
            _text(draw, (x, 0), label, SMALL, picture.width, fill=GREY)
        _framed(cell, draw, picture, (x + 1, labels + 1), PALE, 1)
        x += picture.width + 2 + GAP
    cell.paste(small, (x, labels))
    for k, line in enumerate(lines):
        _text(draw, (0, body + GAP // 2 + k * LINE), line, TEXT, width)
    return cell


def _singles(tile: Tile, components: Sequence[str]) -> Image.Image:
    """Each component alone, at half a panel's scale in two lines, or smaller in three where there are many."""
    lines = 2 if len(components) <= FEW else 3
    pictures = [_scaled(255 - plane, PANEL // lines) for plane in tile.image]
    across = -(-len(components) // lines)
    longest = max(int(_font(SMALL).getlength(name)) for name in components) + SMALL
    step = max(pictures[0].width + 2 * FRAME, min(longest, LABEL)) + GAP
    drop = pictures[0].height + 2 * FRAME + SMALL + 6
    block = Image.new("RGB", (across * step, -(-len(components) // across) * drop), WHITE)
    draw = ImageDraw.Draw(block)
    for c, (component, picture) in enumerate(zip(components, pictures, strict=True)):
        left, top = c % across * step, c // across * drop
        given = tile.observed is not None and bool(tile.observed[c])
        _framed(block, draw, picture, (left + FRAME, top + FRAME), INK if given else PALE, FRAME if given else 1)
        below = top + picture.height + 2 * FRAME + 2
        draw.rectangle((left, below + 3, left + SMALL // 2, below + SMALL), fill=colour(c))
        _text(draw, (left + SMALL, below), component, SMALL, step - SMALL - 2)
    return block


@dataclass(frozen=True, slots=True)
class _Entry:
    """One item of the legend: a picture and what it means."""

    picture: Image.Image | None
    text: str


def _head(title: str, components: Sequence[str], tiles: Sequence[Tile], width: int) -> Image.Image:
    """Title and legend."""
    entries = [_Entry(Image.new("RGB", (15, 15), colour(c)), name) for c, name in enumerate(components)]
    entries.append(_Entry(None, "darker: parts overlap"))
    if any(tile.observed is not None and tile.observed.any() for tile in tiles):
        frame = Image.new("RGB", (15, 15), INK)
        frame.paste(WHITE, (3, 3, 12, 12))
        entries.append(_Entry(frame, "framed: given, the rest is sampled"))
    if any(tile.spread is not None for tile in tiles):
        ramp = heat(np.linspace(0, SPREAD_FULL_SCALE, 80)[None, None].repeat(15, axis=1))
        entries.append(_Entry(Image.fromarray(ramp), f"uncertainty: standard deviation 0 to {SPREAD_FULL_SCALE}"))
    places, x, y = [], 0, TITLE + 16
    for entry in entries:
        indent = 0 if entry.picture is None else entry.picture.width + 7
        need = indent + int(_font(TEXT).getlength(entry.text)) + 22
        if x and x + need > width:
            x, y = 0, y + TEXT + 10
        places.append((entry, x, y, indent))
        x += need
    head = Image.new("RGB", (width, y + TEXT + 10), WHITE)
    draw = ImageDraw.Draw(head)
    _text(draw, (0, 0), title, TITLE, width)
    for entry, x, y, indent in places:
        if entry.picture is not None:
            head.paste(entry.picture, (x, y))
        _text(draw, (x + indent, y), entry.text, TEXT, width - x - indent)
    return head


def _scaled(pixels: np.ndarray, side: int) -> Image.Image:
    """(H, W) or (H, W, 3) uint8 with its longer side at about `side`: whole pixels repeated; averaged if larger."""
    image = Image.fromarray(pixels)
    longer = max(image.size)
    if longer > side:
        return image.reduce(-(-longer // side))
    factor = side // longer
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def _framed(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, picture: Image.Image, at: tuple[int, int], line: Colour, width: int
) -> None:
    """Paste a picture and draw a frame around it that hides none of it."""
    sheet.paste(picture, at)
    left, top = at
    box = (left - width, top - width, left + picture.width - 1 + width, top + picture.height - 1 + width)
    draw.rectangle(box, outline=line, width=width)


def _text(draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, width: int, fill: Colour = INK) -> None:
    """One line of text, cut to `width` pixels."""
    font = _font(size)
    if font.getlength(text) > width:
        while text and font.getlength(text + "..") > width:
            text = text[:-1]
        text += ".."
    draw.text(at, text, font=font, fill=fill)


def _wrapped(parts: Sequence[str], size: int, width: int) -> list[str]:
    """Parts side by side, as many to a line as fit."""
    lines: list[str] = []
    for part in parts:
        joined = f"{lines[-1]}   {part}" if lines else part
        if lines and _font(size).getlength(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(part)
    return lines


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)
