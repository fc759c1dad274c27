"""A small data set like a real one: three disjoint parts that touch, of sizes that vary and are written down."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from epurecli.evaluate import Designs, Reference, fit_reference

COMPONENTS = ("crown", "carcass", "sidewall")
COLUMNS = ("width_px", "height_px", "weight")
HEIGHT, WIDTH = 32, 16


def draw_sections(count: int, seed: int) -> Designs:
    """Half sections against the right edge: a crown on a carcass, and a sidewall left of the carcass.

    Widths 8 to 15 and heights 16 to 28, so that 2 * width + 1 and rows + 1 are the sizes; the weight is no size.
    """
    rng = np.random.default_rng(seed)
    image = np.zeros((count, 3, HEIGHT, WIDTH), dtype=bool)
    width, height = rng.integers(8, 16, count), rng.integers(16, 29, count)
    top, crown, wall = rng.integers(1, 4, count), rng.integers(3, 8, count), rng.integers(2, 5, count)
    for i in range(count):
        left, joint = WIDTH - width[i], top[i] + crown[i]
        image[i, 0, top[i] : joint, left:] = True
        image[i, 1, joint : top[i] + height[i], left + wall[i] : WIDTH - 2] = True
        image[i, 2, joint : top[i] + height[i] - 4, left : left + wall[i]] = True
    condition = np.stack([2 * width + 1, height + 1, image.sum((1, 2, 3)) / 7], 1).astype(float)
    return Designs(image, condition)


@pytest.fixture(scope="session")
def draw() -> Callable[[int, int], Designs]:
    return draw_sections


@pytest.fixture(scope="session")
def train() -> Designs:
    return draw_sections(400, seed=1)


@pytest.fixture(scope="session")
def test_designs() -> Designs:
    return draw_sections(300, seed=2)


@pytest.fixture(scope="session")
def reference(train: Designs, test_designs: Designs) -> Reference:
    return fit_reference(test_designs, train, COMPONENTS, COLUMNS, np.random.default_rng(0))
