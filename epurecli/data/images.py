"""PNG files to grey uint8 arrays and back, one at a time. The header is read first, so no bomb is ever unpacked."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epurecli.data.ink import LIGHT, Ink, Pixels
from epurecli.files import open_regular

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
        with open_regular(path) as stream:
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


def read_grey(path: Path, size: tuple[int, int] | None = None, ink: Ink = LIGHT) -> NDArray[np.uint8]:
    """Read a PNG of any mode as ink on paper, (H, W) uint8.

    Args:
        size: the (height, width) that the image must have; None accepts any.
        ink: what counts as ink; by default what is light and opaque.

    Raises:
        ImageFault: unreadable, truncated, damaged, or of another size.
    """
    return ink.read(read_pixels(path, size))


def padded_size(size: tuple[int, int]) -> tuple[int, int]:
    """The next (height, width) of whole eighths: the networks halve an image three times."""
    height, width = size
    return -(-height // 8) * 8, -(-width // 8) * 8


def pad(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) in the middle of paper of `size`, which is as large or larger."""
    more = [whole - part for whole, part in zip(size, image.shape, strict=True)]
    return np.pad(image, [(extra // 2, extra - extra // 2) for extra in more])


def read_pixels(path: Path, size: tuple[int, int] | None = None, *, padded: bool = False) -> Pixels:
    """Decode a PNG of any mode; its chunks' checksums must be right.

    Args:
        padded: also accept a size that becomes `size` when it is padded to whole eighths.

    Raises:
        ImageFault: as `read_grey`.
    """
    found = png_size(path)
    if size is not None and found != size and not (padded and padded_size(found) == size):
        raise ImageFault(
            f"is {found[0]} x {found[1]} pixels (height x width), the set's images are {size[0]} x {size[1]}",
            "export all components of all designs in one size",
        )
    try:
        data = path.read_bytes()
        _check_chunks(data)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            image.load()
            return _pixels(image)
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise ImageFault(f"is damaged or truncated ({error})", "export or copy the image again") from None


def _check_chunks(data: bytes) -> None:
    """Raise ValueError unless every chunk's CRC is right and the last chunk is there: the decoder skips some."""
    at = len(_SIGNATURE)
    while at + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise ValueError("it ends within a chunk")
        if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise ValueError(f"the checksum of chunk {data[at + 4 : at + 8].decode('latin-1')!r} is wrong")
        if data[at + 4 : at + 8] == b"IEND":
            return
        at = end + 4
    raise ValueError("its last chunk is missing")


def _pixels(image: Image.Image) -> Pixels:
    """The channels of a decoded PNG."""
    if image.mode.startswith("I"):  # 16 bit
        deep = np.asarray(image).astype(np.uint16)
        return Pixels(deep, deep, None, 65535)
    clear = "transparency" in image.info or image.mode in ("RGBA", "LA", "PA")
    if image.mode in ("1", "L") and not clear:
        grey = np.asarray(image.convert("L")).astype(np.uint16)
        return Pixels(grey, grey, None, 255)
    if image.mode == "LA":
        grey, alpha = (np.asarray(image.getchannel(c)).astype(np.uint16) for c in "LA")
        return Pixels(grey, grey, alpha if alpha.min() < 255 else None, 255)
    colours = np.asarray(image.convert("RGBA")).astype(np.uint16)
    alpha = colours[..., 3]
    return Pixels(colours[..., :3].min(-1), colours[..., :3].max(-1), alpha if alpha.min() < 255 else None, 255)


def write_grey(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (H, W) uint8 as an 8-bit grey PNG."""
    Image.fromarray(image).save(path, format="PNG")
