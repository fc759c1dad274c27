from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from epurecli.pictures.palette import colour
from epurecli.pictures.section import Side, heat, mirrored, overlay
from epurecli.sample.sheet import FRAME, INK, SHEET_WIDTH, Tile, contact_sheet

COMPONENTS = ("crown", "belt", "bead")


def design(seed: int = 0, shape: tuple[int, int, int] = (3, 64, 32)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def places(sheet: Image.Image, picture: np.ndarray) -> list[tuple[int, int]]:
    """Where a picture stands on the sheet, pixel for pixel: (row, column) of its corner."""
    page = np.array(sheet).astype(np.int64) @ (65536, 256, 1)  # (H, W) one number a pixel
    wanted = picture.astype(np.int64) @ (65536, 256, 1)
    height, width = wanted.shape
    windows = np.lib.stride_tricks.sliding_window_view(page, (height, width))
    probes = [(0, 0), (height - 1, width - 1), (height // 2, width // 2), (height // 3, width // 5)]
    maybe = np.all([windows[:, :, y, x] == wanted[y, x] for y, x in probes], axis=0)
    return [(int(y), int(x)) for y, x in np.argwhere(maybe) if np.array_equal(windows[y, x], wanted)]


def enlarged(picture: np.ndarray, factor: int) -> np.ndarray:
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def single(plane: np.ndarray, factor: int = 2) -> np.ndarray:
    """A lone component as the sheet shows it: ink on white."""
    return enlarged(np.repeat(255 - plane[:, :, None], 3, axis=2), factor)


def test_overlay_is_inks_on_white() -> None:
    image = np.zeros((3, 1, 4), dtype=np.uint8)
    image[0, 0, 0] = image[0, 0, 2] = image[1, 0, 2] = 255  # alone, gap, overlap of 0 and 1, a third of 2
    image[2, 0, 3] = 85
    alone, gap, both, third = overlay(image)[0].astype(int)
    first, second, last = (np.array(colour(c)) for c in range(3))
    assert alone.tolist() == first.tolist()
    assert gap.tolist() == [255, 255, 255]
    assert both.tolist() == np.rint(first * second / 255 / 2).tolist()
    assert third.tolist() == np.rint(255 - (255 - last) / 3).tolist()


def test_overlaps_are_darker_than_any_part() -> None:
    for a in range(7):
        for b in range(a):
            image = np.zeros((7, 1, 1), dtype=np.uint8)
            image[[a, b]] = 255
            assert (overlay(image)[0, 0] <= np.minimum(colour(a), colour(b))).all()
            assert overlay(image).sum() < 0.6 * min(sum(colour(a)), sum(colour(b)))


def test_a_soft_seam_is_no_overlap() -> None:
    image = np.array([102, 153, 0], dtype=np.uint8).reshape(3, 1, 1)  # 0.4 and 0.6 of a pixel
    parts = [1 - share * (1 - np.array(colour(c)) / 255) for c, share in enumerate((0.4, 0.6))]
    assert overlay(image)[0, 0].tolist() == np.rint(255 * parts[0] * parts[1]).tolist()


def test_fourteen_components_have_fourteen_colours() -> None:
    assert len({colour(c) for c in range(14)}) == 14
    assert len(colour(99)) == 3


@pytest.mark.parametrize("side", [Side.RIGHT, Side.LEFT, Side.TOP, Side.BOTTOM])
def test_the_section_is_mirrored_at_the_named_side(side: Side) -> None:
    half = design()
    full = mirrored(half, side)
    axis = -1 if side in (Side.RIGHT, Side.LEFT) else -2
    length = half.shape[axis]
    assert full.shape[axis] == 2 * length
    assert np.array_equal(full, np.flip(full, axis))
    at_start = side in (Side.RIGHT, Side.BOTTOM)  # the edge named is then the middle of the full section
    kept = range(length) if at_start else range(length, 2 * length)
    assert np.array_equal(np.take(full, kept, axis), half)


def test_without_a_side_nothing_is_mirrored() -> None:
    assert np.array_equal(mirrored(design(), Side.NONE), design())


def test_heat_darkens_with_the_largest_spread() -> None:
    spread = np.stack([np.linspace(0, 0.5, 20), np.zeros(20)])[:, None]  # (2, 1, 20)
    brightness = heat(spread).astype(int).sum(axis=-1)[0]
    assert brightness[0] == 3 * 255
    assert (np.diff(brightness) < 0).all()
    assert np.array_equal(heat(spread), heat(spread[:1]))
    assert np.array_equal(heat(spread), heat(spread[::-1]))
    assert np.array_equal(heat(np.full((1, 1, 1), 0.9)), heat(np.full((1, 1, 1), 0.5)))


def test_the_sheet_shows_the_full_section_four_times_as_large() -> None:
    tiles = [Tile(f"s{k}", design(k)) for k in range(7)]
    for side in (Side.RIGHT, Side.LEFT):
        sheet = contact_sheet(tiles, COMPONENTS, title="vae", mirror=side)
        found = [places(sheet, enlarged(overlay(mirrored(t.image, side)), 4)) for t in tiles]
        assert [len(f) for f in found] == [1] * 7
        assert found == sorted(found)  # in reading order
        assert all(len(places(sheet, single(plane))) == 1 for plane in tiles[3].image)


def test_truth_and_uncertainty_stand_beside_the_sample() -> None:
    spread = np.random.default_rng(3).random((3, 64, 32)) * 0.5
    sheet = contact_sheet([Tile("a", design(0), truth=design(1), spread=spread)], COMPONENTS, title="vae")
    pictures = [overlay(mirrored(design(k), Side.RIGHT)) for k in (1, 0)] + [heat(mirrored(spread, Side.RIGHT))]
    corners = [places(sheet, enlarged(picture, 4)) for picture in pictures]
    assert [len(c) for c in corners] == [1, 1, 1]
    (truth,), (sample,), (uncertainty,) = corners
    assert truth[0] == sample[0] == uncertainty[0]
    assert truth[1] < sample[1] < uncertainty[1]


def test_what_was_given_is_framed() -> None:
    given = np.array([False, True, False])
    image = design()
    sheet = contact_sheet([Tile("a", image, observed=given)], COMPONENTS, title="vae")
    page = np.array(sheet)
    for c in range(3):
        ((y, x),) = places(sheet, single(image[c]))
        around = page[y - FRAME : y + 128 + FRAME, x - FRAME : x + 64 + FRAME].copy()
        around[FRAME:-FRAME, FRAME:-FRAME] = INK  # leave the frame itself
        assert bool((around == INK).all()) == given[c]


def test_words_are_on_the_sheet() -> None:
    """Title, names, captions and what was given each change the page and nothing else of it moves."""
    base = {"name": "a", "image": design()}
    plain = contact_sheet([Tile(**base)], COMPONENTS, title="vae")
    for other in (
        contact_sheet([Tile(**base)], COMPONENTS, title="vae - seed 3"),
        contact_sheet([Tile(**base)], ("crown", "belt", "wire"), title="vae"),
        contact_sheet([Tile(**{**base, "name": "b"})], COMPONENTS, title="vae"),
        contact_sheet([Tile(**base, caption=("width_px 58",))], COMPONENTS, title="vae"),
    ):
        assert other.size == plain.size
        assert other.tobytes() != plain.tobytes()


def test_long_words_are_cut() -> None:
    short = contact_sheet([Tile("a", design())], COMPONENTS, title="vae")
    long = contact_sheet([Tile("a" * 120, design(), caption=("w" * 120,))], COMPONENTS, title="vae" * 50)
    assert long.width == short.width
    named = contact_sheet([Tile("a", design())], ("c" * 80, "d" * 80, "e"), title="vae")
    assert named.width < 1000


@pytest.mark.parametrize("side", [Side.RIGHT, Side.TOP, Side.NONE])
@pytest.mark.parametrize(
    "shape", [(1, 8, 8), (2, 9, 7), (3, 64, 32), (5, 64, 32), (17, 33, 20), (2, 600, 300), (4, 16, 128), (6, 128, 128)]
)
def test_any_number_of_components_and_any_size(shape: tuple[int, int, int], side: Side) -> None:
    names = tuple(f"part_{c}" for c in range(shape[0]))
    tiles = [
        Tile("a", design(0, shape), np.arange(shape[0]) % 2 == 0, design(1, shape), design(2, shape) / 600, ("x 1",))
        for _ in range(3)
    ]
    sheet = contact_sheet(tiles, names, title="vae", mirror=side)
    assert sheet.width <= SHEET_WIDTH
    assert sheet.height < 2000
    assert sheet.tobytes() == contact_sheet(tiles, names, title="vae", mirror=side).tobytes()


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one design"):
        contact_sheet([], COMPONENTS, title="vae")
