from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from epurecli.pictures.crisp import changed_owners, crisp


@given(arrays(np.float32, array_shapes(min_dims=3, max_dims=5, max_side=6), elements=st.floats(0, 1, width=32)))
def test_parts_cannot_overlap(images: np.ndarray) -> None:
    result = crisp(images)
    assert result.shape == images.shape
    assert result.dtype == images.dtype
    assert set(np.unique(result)) <= {0, 1}
    assert result.sum(axis=-3).max() <= 1


@pytest.mark.parametrize(
    ("values", "owner"),
    [
        ((0.2, 0.1), None),  # background 0.7
        ((0.4, 0.35), 0),  # background 0.25: below a half, and yet the likeliest
        ((0.3, 0.6), 1),
        ((0.9, 0.8), 0),  # more than 1 in all: no background
        ((0.5, 0.0), None),  # a tie goes to the background
        ((0.5, 0.5), 0),  # a tie goes to the first component
        ((0.0, 0.0), None),
    ],
)
def test_each_pixel_goes_to_its_likeliest_owner(values: tuple[float, float], owner: int | None) -> None:
    result = crisp(np.array(values).reshape(2, 1, 1))
    assert result.ravel().tolist() == [float(owner == c) for c in range(2)]


def test_disjoint_parts_stay_as_they_are() -> None:
    owner = np.random.default_rng(0).integers(0, 4, size=(7, 1, 16, 8))
    images = (owner == np.arange(1, 4)[:, None, None]).astype(np.float64)  # (7, 3, 16, 8)
    assert np.array_equal(crisp(images), images)


def test_a_lone_plane_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(\.\.\., C, H, W\), got \(4, 4\)"):
        crisp(np.zeros((4, 4)))


def test_changed_owners_counts_pixels_and_forgives_ties() -> None:
    images = np.zeros((2, 3, 2, 4), np.float32)
    images[:, 0] = 0.9
    other = images.copy()
    assert changed_owners(images, other, 0.0) == 0
    other[0, :, 0, 0], other[1, :, 1, 3] = (0, 0.9, 0), (0, 0, 0)  # to another part, to the background
    assert changed_owners(images, other, 1e-4) == 2
    images[0, :, 0, 0] = 0.45003, 0.45, 0  # the two parts claim this one alike
    assert changed_owners(images, other, 1e-4) == 1
    assert changed_owners(images, other, 1e-5) == 2


@given(arrays(np.float32, (2, 3, 4), elements=st.floats(0, 1, width=32)), st.integers(0, 2**32 - 1))
def test_without_a_tie_changed_owners_are_the_pixels_whose_crisp_design_differs(images: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).random(images.shape, np.float32)
    differ = int((crisp(images) != crisp(other)).any(-3).sum())
    ties = differ - changed_owners(images, other, 0.0)  # a draw between equal claims is the only other difference
    claims = np.sort(np.concatenate([np.clip(1 - images.sum(0, keepdims=True), 0, None), images]), axis=0)
    assert 0 <= ties <= int((claims[-1] == claims[-2]).sum())
