from __future__ import annotations

import numpy as np
import pytest

from epurecli.errors import DataError
from epurecli.evaluate import Inpainted
from epurecli.evaluate.inpainting import check, inpainting, iou, nearest_completions, spread

NAMES = ("left", "right")


def bars(*widths: tuple[int, int]) -> np.ndarray:
    """(N, 2, 1, 12) bars: component 0 from the left, component 1 from the right."""
    image = np.zeros((len(widths), 2, 1, 12), bool)
    for picture, (left, right) in zip(image, widths, strict=True):
        picture[0, :, :left] = True
        picture[1, :, 12 - right :] = True
    return image


def named(draws: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return {m.name: m.value for m in inpainting(draws, truth, mask, NAMES)}


def test_iou_by_hand_and_of_two_empty_parts() -> None:
    one, other = bars((4, 0))[0], bars((6, 0))[0]
    assert iou(one, other).tolist() == [pytest.approx(4 / 6), 1.0]


def test_figures_by_hand() -> None:
    truth = bars((4, 6), (4, 6))
    mask = np.array([[True, False], [False, True]])  # hidden: right of the first, left of the second
    draws = np.stack([bars((4, 3), (4, 6), (4, 6)), bars((2, 6), (2, 6), (1, 6))])  # (2, 3, 2, 1, 12)
    got = named(draws, truth, mask)
    assert got["iou"] == pytest.approx(((0.5 + 1 + 1) / 3 + (0.5 + 0.5 + 0.25) / 3) / 2)
    assert got["best of 3 iou"] == pytest.approx((1.0 + 0.5) / 2)
    assert got["majority iou"] == pytest.approx((1.0 + 0.5) / 2)  # two of three draws set it: widths 6 and 2
    assert got["iou of right"] == pytest.approx((0.5 + 1 + 1) / 3)
    assert got["iou of left"] == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    assert got["observed untouched"] == 1.0
    # Pairs differ by 3, 3, 0 pixels of a mean area 5; by 0, 1, 1 of a mean area 5 / 3.
    assert got["spread"] == pytest.approx((2 / 5 + (2 / 3) / (5 / 3)) / 2)


def test_best_is_one_draw_not_the_best_part_of_each() -> None:
    truth = bars((4, 4))
    mask = np.zeros((1, 2), bool)
    draws = np.stack([bars((4, 1), (2, 4))])
    assert named(draws, truth, mask)["best of 2 iou"] == pytest.approx(max((1 + 0.25) / 2, (0.5 + 1) / 2))


def test_one_changed_observed_pixel_is_seen_and_hidden_ones_are_not() -> None:
    truth = np.repeat(bars((4, 6)), 20, 0)
    mask = np.tile([True, False], (20, 1))
    draws = np.repeat(truth[:, None], 2, 1)
    draws[3, 1, 0, 0, 0] = False
    draws[4, 0, 1] = False
    assert named(draws, truth, mask)["observed untouched"] == pytest.approx(19 / 20)


def test_spread_is_zero_for_equal_draws_and_unbiased_in_their_number() -> None:
    rng = np.random.default_rng(0)
    draws = rng.random((400, 12, 1, 4, 4)) < 0.5
    mask = np.zeros((400, 1), bool)
    few, many = np.nanmean(spread(draws[:, :2], ~mask)), np.nanmean(spread(draws, ~mask))
    assert few == pytest.approx(1.0, abs=0.05)  # 16 pixels differ with probability 1/2, the area is 8
    assert many == pytest.approx(1.0, abs=0.05)
    assert spread(np.repeat(draws[:, :1], 3, 1), ~mask).tolist() == [0.0] * 400
    assert np.isnan(spread(np.zeros((1, 2, 1, 4, 4), bool), ~mask[:1])).all()


def test_looking_up_takes_the_hidden_part_of_the_nearest_observed_one() -> None:
    train = bars((2, 1), (5, 2), (9, 3), (6, 4))
    truth = bars((5, 9), (9, 3))
    mask = np.array([[True, False], [False, True]])
    found = nearest_completions(truth, mask, train, 2)
    assert found.shape == (2, 2, 2, 1, 12)
    # First: left bars of 5 and 6 are nearest to 5. Second: right bars of 3, then 2 or 4.
    assert sorted(found[0, :, 1].sum((1, 2)).tolist()) == [2, 4]
    assert 9 in found[1, :, 0].sum((1, 2)).tolist()
    assert named(found, truth, mask)["observed untouched"] == 1.0


def test_what_does_not_belong_together_is_refused() -> None:
    truth = bars((4, 6), (4, 6))
    with pytest.raises(DataError, match=r"\(2, 3, 2, 1, 12\).*\(2, 3\)"):
        check(Inpainted(np.repeat(truth[:, None], 3, 1), truth, np.zeros((2, 3), bool)))
    with pytest.raises(DataError, match="mask of int64"):
        check(Inpainted(truth[:, None], truth, np.zeros((2, 2), np.int64)))
    with pytest.raises(DataError, match="design 1 has no hidden component"):
        check(Inpainted(truth[:, None], truth, np.array([[True, False], [True, True]])))


def test_what_the_truth_lacks_is_not_judged() -> None:
    """Neither given nor known: whatever is drawn in its place counts in no figure, and is no change either."""
    truth = np.concatenate([bars((4, 6), (4, 6)), bars((3, 3), (3, 3))], 1)  # four parts; the last two may lack
    mask = np.array([[True, False, False, True], [False, True, True, True]])
    lacking = np.array([[False, False, True, False], [False, False, False, False]])
    rng = np.random.default_rng(0)
    found = []
    for _ in range(2):
        draws = np.repeat(truth[:, None], 3, 1)
        draws[:, 0, 1] = False
        draws[0, :, 2] = rng.random((3, 1, 12)) < 0.5
        asked = Inpainted(draws, truth, mask, lacking)
        assert asked.judged.tolist() == [[False, True, False, False], [True, False, False, False]]
        found.append({m.name: m.value for m in inpainting(*check(asked), mask, ("a", "b", "c", "d"), asked.judged)})
    assert found[0] == found[1]
    assert set(found[0]) >= {"iou of a", "iou of b"}
    assert not set(found[0]) & {"iou of c", "iou of d"}
    with pytest.raises(DataError, match="design 0 has no hidden component"):
        check(Inpainted(draws, truth, mask, ~mask))
