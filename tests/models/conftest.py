"""Designs that tests of single models share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from epurecli.types import Batch


@pytest.fixture
def random_parts() -> Callable[[int], Batch]:
    """Designs of three parts, each pixel owned by one of them or by none, at random conditions."""

    def made(count: int) -> Batch:
        rng = torch.Generator().manual_seed(0)
        owner = torch.randint(0, 4, (count, 1, 64, 32), generator=rng)
        image = (owner == torch.arange(3).view(1, 3, 1, 1)).float()
        return Batch(image, torch.randn(count, 2, generator=rng))

    return made


@pytest.fixture
def batch(random_parts: Callable[[int], Batch]) -> Batch:
    """Six of them."""
    return random_parts(6)
