from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from epurecli.evaluate.distribution import diversity, frechet, kernel_distance, median_bandwidth, vendi
from epurecli.evaluate.features import fit_pixel_features, fit_shape_features
from epurecli.evaluate.interval import jackknife, mean_and_interval, two_sample


def normal(count: int, features: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def exactly(values: np.ndarray, mean: float, deviation: float) -> np.ndarray:
    """One feature with just this mean and sample deviation."""
    return mean + deviation * (values - values.mean()) / values.std(ddof=1)


def test_frechet_of_two_lines_and_two_planes() -> None:
    values = np.random.default_rng(0).normal(size=(200, 1))
    # In one dimension (m1 - m2)^2 + (s1 - s2)^2.
    assert frechet(exactly(values, 1, 2), exactly(values, 4, 3)) == pytest.approx(9 + 1)
    # A rotated copy: S1 = diag(4, 1), S2 = diag(1, 4) commute, so the trace term is 2 (2 - 1)^2.
    plane = np.random.default_rng(1).normal(size=(500, 2))
    plane = (plane - plane.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(plane, rowvar=False))).T
    assert frechet(plane * [2, 1], plane * [1, 2]) == pytest.approx(2.0)
    assert frechet(plane, plane) == pytest.approx(0.0, abs=1e-9)


def test_kernel_distance_equals_the_textbook_sums() -> None:
    first, second = normal(37, 3, 0), normal(23, 3, 1) + 0.5
    value, _ = kernel_distance(first, second, 1.3)

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-(cdist(a, b) ** 2) / (2 * 1.3**2))

    own = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (first, second)]
    assert value == pytest.approx(sum(own) - 2 * kernel(first, second).mean(), rel=1e-4)


def test_kernel_distance_is_unbiased_and_its_interval_holds() -> None:
    trials = [kernel_distance(normal(60, 4, 2 * i), normal(90, 4, 2 * i + 1), 2.0) for i in range(200)]
    values = np.array([value for value, _ in trials])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert (values < 0).any()
    inside = np.mean([low <= 0 <= high for _, (low, high) in trials])
    assert inside > 0.85
    value, (low, high) = kernel_distance(normal(300, 4, 0), normal(300, 4, 1) + 0.5, 2.0)
    assert 0 < low < value < high


def test_median_bandwidth_of_known_points() -> None:
    assert median_bandwidth(np.array([[0.0], [1.0], [3.0]], np.float32)) == pytest.approx(2.0)
    assert median_bandwidth(np.zeros((4, 2), np.float32)) == 1.0


def test_vendi_counts_different_designs() -> None:
    far = np.eye(6, dtype=np.float32) * 1e3
    assert vendi(np.repeat(far[:1], 30, 0), 1.0) == pytest.approx(1.0)
    assert vendi(np.repeat(far[:4], 10, 0), 1.0) == pytest.approx(4.0)
    uneven = np.repeat(far[:2], [30, 10], 0)
    assert vendi(uneven, 1.0) == pytest.approx(np.exp(-0.75 * np.log(0.75) - 0.25 * np.log(0.25)))


def test_diversity_does_not_depend_on_how_many_designs_there_are() -> None:
    few, many = (diversity(normal(count, 8, 0), 4.0) for count in (500, 1500))
    assert few.ci is None
    assert many.ci is not None
    assert many.value == pytest.approx(few.value, rel=0.1)
    assert diversity(np.eye(620, dtype=np.float32) * 1e3, 1.0).value == pytest.approx(500)


def test_pixel_features_are_the_exact_principal_components() -> None:
    rng = np.random.default_rng(0)
    parts = rng.random((12, 2, 8, 6)) < 0.5
    parts[:, :, :2] = False  # pixels that never vary
    bits = parts[rng.integers(12, size=200)] ^ (rng.random((200, 2, 8, 6)) < 0.02)
    bits[:, :, :2] = False
    features = fit_pixel_features(bits, np.random.default_rng(1), count=6)
    flat = bits.reshape(200, -1).astype(float)
    _, deviation, axes = np.linalg.svd(flat - flat.mean(0), full_matrices=False)
    np.testing.assert_allclose(np.linalg.norm(features(bits), axis=0), deviation[:6], rtol=1e-3)
    np.testing.assert_allclose(np.abs(features(bits)), np.abs((flat - flat.mean(0)) @ axes[:6].T), atol=0.05)


def test_features_cope_with_fewer_designs_than_components() -> None:
    bits = np.random.default_rng(0).random((11, 1, 8, 8)) < 0.5
    assert fit_pixel_features(bits, np.random.default_rng(1))(bits).shape == (11, 11)


def test_shape_features_are_standardised_and_keep_what_never_varied() -> None:
    bits = np.zeros((40, 1, 20, 20), bool)
    for i in range(40):
        bits[i, 0, 2 : 4 + i % 13, 5:15] = True  # the left edge is column 5 in every one
    features = fit_shape_features(bits)
    values = features(bits)
    np.testing.assert_allclose(values.mean(0), 0.0, atol=1e-5)
    assert values[:, 0].std() == pytest.approx(1.0, abs=1e-5)
    moved = np.roll(bits, 3, axis=3)
    np.testing.assert_allclose((features(moved) - values)[:, 7], 3.0, atol=1e-5)


def test_intervals_of_means_and_shares() -> None:
    mean, (low, high) = mean_and_interval([1.0, 3.0, np.nan, 5.0])
    assert mean == 3.0
    assert high - mean == pytest.approx(mean - low) == pytest.approx(4.302653 * 2 / np.sqrt(3))
    share, (low, high) = mean_and_interval(np.ones(500, bool))
    assert (share, high) == (1.0, 1.0)
    assert 0.99 < low < 1.0  # five hundred of five hundred do not prove a certainty
    assert np.isnan(mean_and_interval([np.nan, np.nan])[0])


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    means = np.random.default_rng(0).normal(size=10)
    everything = means.mean()
    left_out = [np.delete(means, i).mean() for i in range(10)]
    low, high = jackknife(everything, left_out)
    assert (high - low) / 2 == pytest.approx(2.262157 * means.std(ddof=1) / np.sqrt(10))


def test_two_sample_varies_both_samples() -> None:
    still, varied = np.zeros((50, 1)), np.random.default_rng(0).normal(size=(50, 1))

    def difference(a: np.ndarray, b: np.ndarray) -> float:
        return float(a.mean() - b.mean())

    widths = [np.ptp(two_sample(difference, a, b)[1]) for a, b in ((still, still), (varied, still), (still, varied))]
    assert widths[0] == 0
    assert widths[1] == pytest.approx(widths[2])
    assert widths[1] > 0


def test_intervals_do_not_depend_on_designs_coming_in_turns() -> None:
    # Every second design of another kind: groups taken in turns would hold one kind each and vary ten times too much.
    sorted_, turns = np.repeat([0.0, 1.0], 200)[:, None], np.tile([0.0, 1.0], 200)[:, None]
    still = np.zeros((400, 1))
    for values in (sorted_, turns):
        _, (low, high) = two_sample(lambda a, b: float(a.mean() - b.mean()), values, still)
        assert high - low < 4 * 2.26 * 0.5 / np.sqrt(400)
