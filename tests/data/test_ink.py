"""One design drawn in every way that people keep drawings: the same ink is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epurecli.data.check import check
from epurecli.data.dataset import open_dataset
from epurecli.data.describe import infer_config
from epurecli.data.images import ImageFault, read_grey

Save = Callable[[np.ndarray], Image.Image]


def palette(ink: tuple[int, int, int], paper: tuple[int, int, int]) -> Save:
    def save(a: np.ndarray) -> Image.Image:
        image = Image.fromarray((a > 127).astype(np.uint8)).convert("P")
        image.putpalette([*paper, *ink, *[0] * 762])
        return image

    return save


def clear(grey: int) -> Save:
    """Ink of one grey on transparent paper of the same."""
    return lambda a: Image.merge("LA", [Image.new("L", a.shape[::-1], grey), Image.fromarray(a)])


WAYS: dict[str, Save] = {
    "white on black": Image.fromarray,
    "black on white": lambda a: Image.fromarray(255 - a),
    "one bit": lambda a: Image.fromarray(a > 127),
    "one bit, black on white": lambda a: Image.fromarray(a <= 127),
    "mask of 0 and 1": lambda a: Image.fromarray((a > 127).astype(np.uint8)),
    "mask of 0 and 1, inverted": lambda a: Image.fromarray((a <= 127).astype(np.uint8)),
    "16 bit": lambda a: Image.fromarray(a.astype(np.uint16) * 257),
    "16 bit that ends at 255": lambda a: Image.fromarray(a.astype(np.uint16)),
    "16 bit, black on white": lambda a: Image.fromarray(65535 - a.astype(np.uint16) * 257),
    "black on transparent": clear(0),
    "white on transparent": clear(255),
    "red on black, palette": palette((255, 0, 0), (0, 0, 0)),
    "dark blue on black, palette": palette((0, 0, 90), (0, 0, 0)),
    "blue on white, palette": palette((0, 0, 255), (255, 255, 255)),
    "colour": lambda a: Image.merge("RGB", [Image.fromarray(a)] * 3),
    "colour on transparent": lambda a: Image.merge(
        "RGBA", [Image.new("L", a.shape[::-1], 0)] * 3 + [Image.fromarray(a)]
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_reads_the_same(folder: Path, cache: Path, way: str) -> None:
    for path in folder.rglob("*.png"):
        image = (np.asarray(Image.open(path)) > 127).astype(np.uint8) * 255
        Image.fromarray(image).save(path)
    before = open_dataset(infer_config(folder), cache_dir=cache).images.copy()
    for path in folder.rglob("*.png"):
        WAYS[way](np.asarray(Image.open(path))).save(path)
    found = open_dataset(infer_config(folder), cache_dir=cache)
    assert np.array_equal(found.images, before)
    assert not found.warnings
    plain = way in ("white on black", "one bit", "16 bit", "colour", "white on transparent", "red on black, palette")
    assert any("images" in note for note in found.notes) != plain  # what is not plain is said


def test_the_answer_can_be_given(folder: Path, cache: Path) -> None:
    config = infer_config(folder)
    light = open_dataset(config, cache_dir=cache).images
    dark = open_dataset(config.model_copy(update={"ink": "dark"}), cache_dir=cache).images
    assert np.array_equal(dark, 255 - light)


def test_pictures_that_differ_from_the_rest_are_named(folder: Path, image: Callable[..., Path]) -> None:
    Image.new("L", (32, 64)).save(image(1))
    Image.new("L", (32, 64), 255).save(image(2))
    Image.fromarray(255 - np.asarray(Image.open(image(3, "group_km")))).save(image(3, "group_km"))
    found = check(folder)
    assert found.ok
    text = "\n".join(found.warnings)
    assert "bt/toy_0000001_bt.png: nearly blank" in text
    assert "bt/toy_0000002_bt.png: nearly full" in text
    assert "group_km/toy_0000003_group_km.png" in text


def test_levels_that_no_other_picture_has(folder: Path, image: Callable[..., Path]) -> None:
    """Of 80 masks of 0 and 1 one was saved as 0 and 255, and not looked at when the set was judged."""
    for path in folder.rglob("*.png"):
        if path != image(3):
            Image.fromarray((np.asarray(Image.open(path)) > 127).astype(np.uint8)).save(path)
    found = check(folder)
    said = [str(problem) for problem in found.problems] + list(found.warnings)
    assert said, "80 pictures were read without a word"


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray((np.indices((16, 8)).sum(0) % 2 * 255).astype(np.uint8)).save(path)
    whole = path.read_bytes()
    for bit in range(8 * 8, 8 * len(whole)):  # after the signature
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bytes(broken))
        with pytest.raises(ImageFault):
            read_grey(path, (16, 8))
