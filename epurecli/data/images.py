"""PNG files to grey uint8 arrays and back, one at a time. The header is read first, so no bomb is ever unpacked."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 4096  # pixels; far above any design, far below what would exhaust memory
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class ImageFault(Exception):
    """One image that cannot be used: `what` is wrong with it and a `hint` what to do."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def png_size(path: Path) -> tuple[int, int]:
    """(height, width) from the PNG header, without decoding.

    Raises:
        ImageFault: no PNG, no file, or a size that no design has.
    """
    try:
        with path.open("rb") as stream:
            header = stream.read(24)
    except OSError as error:
        raise ImageFault(
            f"cannot be read: {error.strerror or error}", "check that the file exists and is readable"
        ) from None
    if not header:
        raise ImageFault("is empty (0 bytes)", "export the image again")
    if header[:8] != _SIGNATURE or header[12:16] != b"IHDR":
        raise ImageFault("is not a PNG file", "export the image as PNG")
    if len(header) < 24:
        raise ImageFault("is truncated within its header", "export or copy the image again")
    width, height = struct.unpack(">II", header[16:24])
    if not (0 < height <= MAX_SIDE and 0 < width <= MAX_SIDE):
        raise ImageFault(
            f"claims to be {height} x {width} pixels (height x width)",
            f"images may have at most {MAX_SIDE} pixels a side",
        )
    return height, width


def read_grey(path: Path, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read a PNG of any mode as grey (H, W) uint8. Transparent pixels count as black, that is as background.

    Args:
        size: the (height, width) that the image must have; None accepts any.

    Raises:
        ImageFault: unreadable, truncated, or of another size.
    """
    found = png_size(path)
    if size is not None and found != size:
        raise ImageFault(
            f"is {found[0]} x {found[1]} pixels (height x width), the set's images are {size[0]} x {size[1]}",
            "export all components of all designs in one size",
        )
    try:
        with Image.open(path, formats=("PNG",)) as image:
            image.load()
            return _grey(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error) as error:
        raise ImageFault(f"is damaged or truncated ({error})", "export or copy the image again") from None


def _grey(image: Image.Image) -> NDArray[np.uint8]:
    """Grey levels 0..255 of a decoded PNG, times its opacity."""
    if image.mode.startswith("I"):  # 16 bit
        deep = np.asarray(image).astype(np.uint32)
        return ((deep * 255 + 32767) // 65535).astype(np.uint8)
    if "transparency" in image.info:
        image = image.convert("RGBA")
    grey = np.asarray(image.convert("L"))
    if image.mode in ("RGBA", "LA"):
        alpha = image.getchannel("A")
        if alpha.getextrema()[0] < 255:
            product = grey.astype(np.uint32) * np.asarray(alpha)
            grey = ((product + 127) // 255).astype(np.uint8)
    return grey


def write_grey(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W) uint8 as an 8-bit grey PNG."""
    Image.fromarray(image).save(path, format="PNG")
