from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from epurecli.pictures.crisp import crisp


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
