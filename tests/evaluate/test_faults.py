"""Lineage and validity on designs whose faults were counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from epurecli.evaluate.lineage import lineage, mean_wasserstein, pair_overlaps
from epurecli.evaluate.metric import Metric
from epurecli.evaluate.validity import gap_pixels, overlap_share, stray_pixels, validity


def design(*rows: str) -> np.ndarray:
    """(1, 2, H, W): `a` and `b` are components, `x` is both, anything else background."""
    return np.array([[[[c in own for c in row] for row in rows] for own in ("ax", "bx")]])


def named(metrics: tuple[Metric, ...]) -> dict[str, float]:
    return {m.name: m.value for m in metrics}


SOUND = design("aaabbb", "aaabbb")
OVERLAP = design("aaxbbb", "aaxbbb")  # 2 of 12 pixels claimed twice


def test_pair_overlaps_by_hand() -> None:
    iou, dice = pair_overlaps(np.concatenate([SOUND, OVERLAP, design("......", "......")]))
    np.testing.assert_allclose(iou, [[0.0], [2 / 12], [0.0]])
    np.testing.assert_allclose(dice, [[0.0], [4 / 14], [0.0]])


def test_mean_wasserstein_is_the_shift_of_a_shifted_sample() -> None:
    values = np.random.default_rng(0).normal(size=(50, 2))
    assert mean_wasserstein(values, values[::-1] + np.array([1.0, 3.0])) == pytest.approx(2.0)


def test_lineage_against_disjoint_parts() -> None:
    got = named(lineage(np.repeat(OVERLAP, 20, 0), np.repeat(SOUND, 20, 0)))
    assert got["iou wasserstein"] == pytest.approx(2 / 12)
    assert got["dice wasserstein"] == pytest.approx(4 / 14)
    # Only b's centre moves: its columns 3, 4, 5 become 2, 3, 4, 5. Four coordinates are averaged.
    assert got["centre of mass wasserstein"] == pytest.approx(0.5 / 4)
    assert got["relative count error"] == 0.0


def test_relative_count_error_counts_missing_and_surplus_objects() -> None:
    three, none = design("a.b.a.", "......"), design("......", "......")
    got = named(lineage(np.concatenate([SOUND, three, none, SOUND] * 5), np.repeat(SOUND, 20, 0)))
    assert got["relative count error"] == pytest.approx((0 + 2 + 1 + 0) / 4)


def test_a_single_component_has_no_pairs() -> None:
    one = np.repeat(SOUND[:, :1], 20, 0)
    assert set(named(lineage(one, one))) == {"centre of mass wasserstein", "relative count error"}


def test_stray_pixels_are_those_outside_the_largest_object_of_their_part() -> None:
    assert stray_pixels(SOUND).tolist() == [0]
    assert stray_pixels(design("aaa..a", "aaabbb", "bb..bb")).tolist() == [1 + 2]
    # A part on a slope touches itself at corners; that is no fault.
    assert stray_pixels(design("aa....", "..aa..", "....aa")).tolist() == [0]


def test_overlap_is_a_share_of_the_design() -> None:
    assert overlap_share(np.concatenate([SOUND, OVERLAP, design("......", "......")])).tolist() == [0.0, 2 / 12, 0.0]


@pytest.mark.parametrize(
    ("rows", "pixels"),
    [
        (("aaabbb", "aaabbb"), 0),
        (("aa.bbb", "aa.bbb"), 2),  # a slit between parts, open at both ends
        (("a..bbb", "a..bbb"), 4),  # two wide
        (("a...bb", "a...bb"), 0),  # too wide to be a slit
        (("aa.aaa", "aa.aaa"), 0),  # between a part and itself: its own shape
        (("aaa...", "......", "bbb..."), 3),  # across rows
        (("aaaaa.", "a...a.", "a...a.", "a...a.", "aaaaa."), 9),  # a hole of any size
    ],
)
def test_gap_pixels_by_hand(rows: tuple[str, ...], pixels: int) -> None:
    assert gap_pixels(design(*rows)).tolist() == [pixels]


def test_validity_reports_every_fault() -> None:
    halves = np.concatenate([SOUND, design("aaa...", "aaa...")] * 10)
    got = named(validity(halves, halves.astype(float)))
    assert got == {
        "empty components": 0.25,  # b, in every second design
        "stray pixels": 0.0,
        "overlap": 0.0,
        "gap pixels": 0.0,
        "one object": 1.0,
        "undecided pixels": 0.0,
    }
