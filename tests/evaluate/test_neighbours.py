from __future__ import annotations

import numpy as np
import pytest

from epurecli.evaluate import neighbours
from epurecli.evaluate.neighbours import differing_pixels, duplicates, manifold, nearest_pixels, novelty, radii


def ruler(*lengths: int) -> np.ndarray:
    """(N, 1, 1, 64) bars: two differ by as many pixels as their lengths do."""
    return (np.arange(64) < np.array(lengths)[:, None]).reshape(len(lengths), 1, 1, 64)


def test_differing_pixels_equals_counting_them() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((7, 2, 5, 4)) < 0.5, rng.random((9, 2, 5, 4)) < 0.2
    expected = (first[:, None] != second[None]).sum((2, 3, 4))
    np.testing.assert_array_equal(differing_pixels(first, second), expected)


def test_nearest_and_novelty_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "_ROWS", 3)  # several blocks
    train, samples = ruler(10, 20, 40), ruler(10, 12, 33, 33, 64, 20, 21)
    nearest = nearest_pixels(samples, train)
    assert nearest.tolist() == [0, 2, 7, 7, 24, 0, 1]
    assert duplicates(samples).tolist() == [False, False, True, True, False, False, False]
    got = {m.name: m.value for m in novelty(samples, nearest)}
    assert got == pytest.approx({"nearest training design": 41 / 7, "exact copies": 2 / 7, "duplicates": 2 / 7})


def test_radii_skip_the_design_itself_but_not_its_twin() -> None:
    assert radii(ruler(0, 1, 3, 6, 10, 15, 21)).tolist() == [15, 14, 12, 9, 10, 14, 20]
    assert radii(ruler(5, 5, 5, 5, 5, 5, 30)).tolist() == [0, 0, 0, 0, 0, 0, 25]


def test_manifold_by_hand() -> None:
    real = ruler(0, 1, 2, 3, 4, 5, 40, 41, 42, 43, 44, 45)  # two clusters; radii 5, 4, 3, 3, 4, 5 in each
    samples = ruler(0, 1, 2, 3, 4, 5, 20, 21)  # one cluster, and two designs far from everything
    got = {m.name: m.value for m in manifold(samples, real, radii(real))}
    # Balls that hold 0..5: those whose distance is within 5, 4, 3, 3, 4, 5 of the centre.
    inside = sum(abs(s - c) <= r for s in range(6) for c, r in zip(range(6), (5, 4, 3, 3, 4, 5), strict=True))
    assert got["precision"] == pytest.approx(6 / 8)
    assert got["density"] == pytest.approx(inside / (5 * 8))
    assert got["coverage"] == pytest.approx(6 / 12)
    # The 5th nearest of sample 20 (after 21, 5, 4, 3) is 2, that of 21 (after 20, 5, 4, 3) too: they reach 38 and 40.
    assert got["recall"] == pytest.approx(7 / 12)


def test_manifold_agrees_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    samples, real = rng.random((50, 1, 6, 6)) < 0.4, rng.random((40, 1, 6, 6)) < 0.5
    whole = manifold(samples, real, radii(real))
    monkeypatch.setattr(neighbours, "_ROWS", 16)
    assert manifold(samples, real, radii(real)) == whole
