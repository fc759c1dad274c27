from __future__ import annotations

import numpy as np
import pytest

from epurecli.errors import DataError
from epurecli.evaluate.images import as_bits, check_sets, undecided


def test_every_accepted_type_gives_the_same_bits() -> None:
    bits = np.random.default_rng(0).random((5, 2, 4, 3)) < 0.5
    for image in (bits, bits.astype(np.uint8) * 255, bits.astype(np.float32), np.where(bits, 0.5, 0.499)):
        np.testing.assert_array_equal(as_bits(image, "x"), bits)
    grey = np.array([127, 128], np.uint8).reshape(1, 1, 1, 2)
    assert as_bits(grey, "x").ravel().tolist() == [False, True]


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (np.zeros((3, 4, 5)), r"4 axes.*\(3, 4, 5\)"),
        (np.ones((2, 1, 4, 4), np.uint8), "only 0 and 1"),
        (np.full((2, 1, 4, 4), -3.0), "-3"),
        (np.full((2, 1, 4, 4), np.nan), "nan"),
        (np.zeros((2, 1, 4, 4), np.int64), "int64"),
    ],
)
def test_arrays_that_are_no_images_are_refused_by_name(image: np.ndarray, said: str) -> None:
    with pytest.raises(DataError, match=f"drawn by hand.*{said}"):
        as_bits(image, "drawn by hand")


def test_undecided_counts_what_the_threshold_decides() -> None:
    image = np.array([0.0, 0.05, 0.3, 0.6, 0.95, 1.0]).reshape(1, 1, 2, 3)
    assert undecided(image).tolist() == [pytest.approx(2 / 6)]
    assert undecided((image * 255).astype(np.uint8)).tolist() == [pytest.approx(2 / 6)]
    assert undecided(image > 0.5).tolist() == [0.0]


def test_sets_must_be_large_enough_and_of_one_shape() -> None:
    with pytest.raises(DataError, match="ours: 9 designs"):
        check_sets(ours=np.zeros((9, 1, 2, 2), bool))
    with pytest.raises(DataError, match=r"ours.*\(2, 4, 4\).*theirs.*\(3, 4, 4\)"):
        check_sets(ours=np.zeros((20, 2, 4, 4), bool), theirs=np.zeros((20, 3, 4, 4), bool))
