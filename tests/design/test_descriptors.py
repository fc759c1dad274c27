"""Descriptors against counting, and their gradients."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from epurecli.design.descriptors import NAMES, SIZES, descriptors, places
from epurecli.evaluate import shape


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 5]), st.floats(0.05, 0.9))
def test_bits_give_what_counting_gives(seed: int, components: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    owner = np.where(rng.random((3, 12, 9)) < share, rng.integers(1, components + 1, (3, 12, 9)), 0)
    bits = owner[:, None] == np.arange(1, components + 1)[:, None, None]
    ours = descriptors(torch.from_numpy(bits).double()).reshape(3, components + 1, len(NAMES)).numpy()
    told = shape.descriptors(bits).reshape(3, components + 1, len(shape.DESCRIPTORS))
    same = {"area": "area", "row": "row", "column": "column", "perimeter": "perimeter"}
    for own, other in same.items():
        np.testing.assert_allclose(ours[..., NAMES.index(own)], told[..., shape.DESCRIPTORS.index(other)], atol=1e-5)
    for own in ("row spread", "column spread"):  # a root that is smooth at zero
        np.testing.assert_allclose(ours[..., NAMES.index(own)], told[..., shape.DESCRIPTORS.index(own)], atol=2e-3)
    parts = np.concatenate([bits, bits.any(1, keepdims=True)], 1)
    np.testing.assert_allclose(ours[..., NAMES.index("rows")], parts.any(3).sum(2), atol=1e-6)
    np.testing.assert_allclose(ours[..., NAMES.index("columns")], parts.any(2).sum(2), atol=1e-6)


def test_gradients_are_those_of_differences() -> None:
    soft = torch.rand(2, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.4
    assert torch.autograd.gradcheck(descriptors, soft.requires_grad_(), eps=1e-7, atol=1e-5)


def test_places_name_what_stands_there() -> None:
    bits = torch.zeros(1, 2, 6, 5)
    bits[0, 1, :, :2] = 1
    seen = descriptors(bits)[0, places(SIZES, 2)].reshape(3, len(SIZES))
    assert seen.tolist() == [[0, 0, 0], [12, 6, 2], [12, 6, 2]]
