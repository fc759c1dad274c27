"""PNGs of every kind become the same grey levels; what is no good PNG is named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.data.images import ImageFault, png_size, read_grey, write_grey

RAMP = (np.arange(64 * 32) % 256).astype(np.uint8).reshape(64, 32)
MASK = ((np.indices((64, 32)).sum(axis=0) % 3 == 0) * 255).astype(np.uint8)


def test_round_trip(tmp_path: Path):
    write_grey(tmp_path / "a.png", RAMP)
    assert np.array_equal(read_grey(tmp_path / "a.png", (64, 32)), RAMP)
    assert png_size(tmp_path / "a.png") == (64, 32)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_every_mode_reads_the_same(tmp_path: Path, mode: str):
    source = MASK if mode in ("1", "P") else RAMP
    image = Image.fromarray(RAMP.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(source).convert(mode)
    assert image.mode == mode
    image.save(tmp_path / "a.png")
    assert np.array_equal(read_grey(tmp_path / "a.png"), source)


def test_transparency_is_background(tmp_path: Path):
    pixels = np.full((64, 32, 4), 255, np.uint8)
    pixels[:10, :, 3] = 0
    pixels[10:20, :, 3] = 128
    Image.fromarray(pixels).save(tmp_path / "a.png")
    grey = read_grey(tmp_path / "a.png")
    assert [int(grey[row, 0]) for row in (0, 15, 40)] == [0, 128, 255]
    palette = Image.fromarray(MASK).convert("P")
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))  # a white entry made transparent
    assert read_grey(tmp_path / "p.png")[0, 0] == 0


def _fault(path: Path, size: tuple[int, int] | None = (64, 32)) -> str:
    with pytest.raises(ImageFault) as caught:
        read_grey(path, size)
    assert caught.value.hint
    return caught.value.what


def test_faults_say_what_is_wrong(tmp_path: Path):
    path = tmp_path / "a.png"
    assert "cannot be read" in _fault(path)
    path.write_bytes(b"")
    assert "0 bytes" in _fault(path)
    path.write_bytes(b"GIF89a" + bytes(40))
    assert "not a PNG" in _fault(path)
    write_grey(path, np.random.default_rng(0).integers(0, 256, (64, 32), np.uint8))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in _fault(path)
    broken = bytearray(whole)
    broken[len(whole) // 2] ^= 0xFF
    path.write_bytes(bytes(broken))
    assert "damaged" in _fault(path)
    write_grey(path, RAMP[:32])
    assert "32 x 32 pixels (height x width), the set's images are 64 x 32" in _fault(path)


def test_a_decompression_bomb_is_never_unpacked(tmp_path: Path):
    """The header alone decides: this file claims 3.6 gigapixels and holds none."""
    body = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    for size in ((64, 32), None):
        assert "60000 x 60000" in _fault(tmp_path / "bomb.png", size)
