"""What counts as ink in a set of pictures: white or black, or what is not transparent, and how bright full ink is.

People keep designs as white on black, black on white, ink on transparent paper, masks of 0 and 1, 16-bit files that
hold 0..255, and palettes in colour. One answer holds for a whole set, so that two of its pictures never differ in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["light", "dark", "alpha"]
Choice = Literal["auto", "light", "dark", "alpha"]

_FAINT = 0.5  # of the format's range: a set whose fullest ink is below is stretched
_BLANK, _FULL = 0.05, 0.95  # brightest pixel, mean


@dataclass(frozen=True, slots=True, eq=False)
class Pixels:
    """A decoded picture: channels as they are stored."""

    low: NDArray[np.uint16]  # (H, W) the darkest of the colour channels
    high: NDArray[np.uint16]  # (H, W) the brightest; the same as `low` where the picture is grey
    alpha: NDArray[np.uint16] | None  # (H, W); None: opaque
    most: int  # the largest level that the format holds: 255 or 65,535


@dataclass(frozen=True, slots=True)
class Ink:
    """How the pictures of a set are read."""

    kind: Kind = "light"
    full8: int = 255  # the level of full ink in 8-bit files; of paper, where ink is dark
    full16: int = 65535  # in 16-bit ones

    def read(self, pixels: Pixels) -> NDArray[np.uint8]:  # (H, W)
        """Ink of 0..255. Levels beyond full ink count as full."""
        full = self._full(pixels)
        if self.kind == "alpha" and pixels.alpha is not None:
            level, full = pixels.alpha.astype(np.uint32), pixels.most
        elif self.kind == "dark":
            level = full - np.minimum(pixels.low, full).astype(np.uint32)
        else:
            level = np.minimum(pixels.high, full).astype(np.uint32)
        if self.kind != "alpha" and pixels.alpha is not None:
            level = (level * pixels.alpha + pixels.most // 2) // pixels.most
        return ((level * 255 + full // 2) // full).astype(np.uint8)

    def exceeds(self, pixels: Pixels) -> bool:
        """Whether a picture has levels that the set, as it was looked at, has not."""
        return self.kind != "alpha" and int(pixels.high.max(initial=0)) > self._full(pixels)

    def _full(self, pixels: Pixels) -> int:
        return self.full8 if pixels.most == 255 else self.full16

    @property
    def sentence(self) -> str | None:
        """What was taken for what; None where that is the plain way."""
        parts = []
        if self.kind == "dark":
            parts.append("dark ink on light paper (data.ink: dark)")
        elif self.kind == "alpha":
            parts.append("whatever is not transparent is ink (data.ink: alpha)")
        if self.full8 != 255:
            parts.append(f"8-bit levels end at {self.full8}, which is taken for full ink")
        if self.full16 != 65535:
            parts.append(f"16-bit levels end at {self.full16}, which is taken for full ink")
        return "; ".join(parts) or None


LIGHT = Ink()


def find_ink(pictures: Iterable[Pixels], choice: Choice = "auto") -> Ink:
    """How a set is to be read, by some of its pictures.

    Dark ink: most of the pictures is light, and so are their edges. Alpha: pictures are transparent where there is no
    ink, and the ink is dark, or as dark as the paper.
    """
    pictures = list(pictures)
    tops = {255: 0, 65535: 0}
    means, edges, clear, dark_in_clear = [], [], 0, 0
    for picture in pictures:
        tops[picture.most] = max(tops[picture.most], int(picture.high.max(initial=0)))
    full = {most: _full(top, most) for most, top in tops.items()}
    for picture in pictures:
        level = np.minimum(picture.low / full[picture.most], 1)
        if picture.alpha is not None and picture.alpha.min() < picture.most:
            clear += 1
            shown = picture.alpha > picture.most // 2
            dark_in_clear += bool(shown.any() and np.median(picture.high[shown]) < full[picture.most] / 2)
            continue
        means.append(level.mean())
        edges.append(np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]]).mean())
    kind: Kind = "light"
    if choice != "auto":
        kind = choice
    elif clear * 2 > len(pictures):
        kind = "alpha" if dark_in_clear * 2 > clear else "light"
    elif means and (np.mean(means) > 0.65 or (np.mean(means) > 0.5 and np.mean(edges) > 0.75)):
        kind = "dark"
    if kind == "alpha":
        return Ink("alpha")
    return Ink(kind, full[255], full[65535])


def _full(top: int, most: int) -> int:
    """The level of full ink, where the brightest of a set is `top`."""
    return top if 0 < top < _FAINT * most else most


def oddity(image: NDArray[np.uint8]) -> str | None:
    """What is strange about a picture that was read, in a word."""
    if image.max(initial=0) < _BLANK * 255:
        return "blank"
    if image.mean() > _FULL * 255:
        return "full"
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    if image.mean() > 0.65 * 255 and edge.mean() > 0.9 * 255:
        return "inverted"
    return None
