"""One call from images to a report: every metric, each with what real designs score in its place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.errors import DataError
from epurecli.evaluate import inpainting as inpaint
from epurecli.evaluate import shape
from epurecli.evaluate.conditioning import Measure, conditioning, learn_measures
from epurecli.evaluate.distribution import distances, diversity, median_bandwidth
from epurecli.evaluate.features import Floats32, PixelFeatures, ShapeFeatures, fit_pixel_features, fit_shape_features
from epurecli.evaluate.images import Bits, Designs, Floats, Inpainted, as_bits, check_sets
from epurecli.evaluate.lineage import lineage
from epurecli.evaluate.metric import Histogram, Metric, Report, with_floor
from epurecli.evaluate.neighbours import manifold, nearest_pixels, novelty, radii
from epurecli.evaluate.validity import validity

_BINS = 24


@dataclass(frozen=True, slots=True)
class Reference:
    """The real designs and everything fitted on them; one serves any number of models."""

    test: Bits  # (M, C, H, W)
    test_condition: Floats  # (M, D) raw units
    train: Bits  # (K, C, H, W) in random order, so that its head is a fair subset
    train_condition: Floats  # (K, D)
    raw_train: NDArray[np.generic]  # (K, C, H, W) before thresholding
    components: tuple[str, ...]
    measures: tuple[Measure, ...]
    pixel: PixelFeatures
    shape: ShapeFeatures
    test_pixel: Floats32  # (M, F)
    test_shape: Floats32
    pixel_bandwidth: float
    shape_bandwidth: float
    test_radius: Floats32  # (M,) px to the 5th nearest other test design
    test_nearest: NDArray[np.intp]  # (M,) px to the nearest training design


def fit_reference(
    test: Designs,
    train: Designs,
    components: Sequence[str],
    condition_names: Sequence[str],
    rng: np.random.Generator,
) -> Reference:
    """Check the real designs and fit what the metrics need, on the training ones only.

    Args:
        test: designs that no model has seen; what samples are compared with.
        train: the training designs; fit the features, tell the floors and what a copy is.
        components: C names.
        condition_names: D names.
        rng: order of the training designs and start of the principal components.

    Raises:
        DataError: arrays that do not fit together; see `as_bits`, `check_sets`, `learn_measures`.
    """
    order = rng.permutation(len(train.image))
    raw_train, train_condition = train.image[order], train.condition[order]
    test_bits, train_bits = as_bits(test.image, "test designs"), as_bits(raw_train, "training designs")
    check_sets(test=test_bits, train=train_bits)
    if len(components) != test_bits.shape[1]:
        raise DataError(f"{len(components)} component names for designs of {test_bits.shape[1]} components")
    if test.condition.shape != (len(test_bits), len(condition_names)):
        raise DataError(f"test conditions {test.condition.shape}, expected {(len(test_bits), len(condition_names))}")
    pixel, outline = fit_pixel_features(train_bits, rng), fit_shape_features(train_bits)
    test_pixel, test_shape = pixel(test_bits), outline(test_bits)
    return Reference(
        test=test_bits,
        test_condition=test.condition,
        train=train_bits,
        train_condition=train_condition,
        raw_train=raw_train,
        components=tuple(components),
        measures=learn_measures(train_bits, train_condition, condition_names),
        pixel=pixel,
        shape=outline,
        test_pixel=test_pixel,
        test_shape=test_shape,
        pixel_bandwidth=median_bandwidth(test_pixel),
        shape_bandwidth=median_bandwidth(test_shape),
        test_radius=radii(test_bits),
        test_nearest=nearest_pixels(test_bits, train_bits),
    )


def evaluate(
    samples: NDArray[np.generic],
    reference: Reference,
    *,
    conditional: Designs | None = None,
    inpainted: Inpainted | None = None,
    model: str = "samples",
    seed: int | None = None,
) -> Report:
    """Judge a model's output.

    Args:
        samples: (N, C, H, W) designs judged as a set.
        reference: from `fit_reference`.
        conditional: designs with the conditions (raw units) that were asked for.
        inpainted: completions of test designs.
        model: name in the tables.
        seed: training seed.

    Raises:
        DataError: arrays that do not fit together.
    """
    bits = as_bits(samples, "samples")
    check_sets(samples=bits, test=reference.test)
    counts = {"samples": len(bits), "test": len(reference.test), "train": len(reference.train)}
    notes, answers = [], ()  # answers first: what does not fit together is then refused at once
    if conditional is not None:
        counts["conditional"] = len(conditional.image)
        answers += _conditioning(conditional, reference)
        if not reference.measures:
            notes.append("No condition column is a size of the drawn design: nothing to measure.")
    if inpainted is not None:
        counts["inpainted"] = len(inpainted.truth)
        answers += _inpainting(inpainted, reference)
    count = min(len(bits), len(reference.train))
    if count < len(bits):
        notes.append(f"Floors use all {count} training designs; the set judged has {len(bits)}.")
    real, raw_real = reference.train[:count], reference.raw_train[:count]
    as_a_set = with_floor(_as_a_set(bits, samples, reference), _as_a_set(real, raw_real, reference))
    nearest = nearest_pixels(bits, reference.train)
    new = with_floor(novelty(bits, nearest), novelty(reference.test, reference.test_nearest))
    metrics = (*as_a_set, *new, *answers)
    return Report(model, seed, counts, metrics, _histograms(bits, nearest, reference), tuple(notes))


def _as_a_set(bits: Bits, raw: NDArray[np.generic], reference: Reference) -> tuple[Metric, ...]:
    """Metrics of a set of designs against the test designs."""
    pixel, outline = reference.pixel(bits), reference.shape(bits)
    return (
        *lineage(bits, reference.test),
        *validity(bits, raw),
        *distances(pixel, reference.test_pixel, "pixels", "px", reference.pixel_bandwidth),
        *distances(outline, reference.test_shape, "shape", "1", reference.shape_bandwidth),
        *manifold(bits, reference.test, reference.test_radius),
        diversity(pixel, reference.pixel_bandwidth),
    )


def _conditioning(conditional: Designs, reference: Reference) -> tuple[Metric, ...]:
    bits = as_bits(conditional.image, "conditional designs")
    check_sets(conditional=bits, test=reference.test)
    expected = (len(bits), reference.train_condition.shape[1])
    if conditional.condition.shape != expected:
        raise DataError(f"requested conditions {conditional.condition.shape}, expected {expected}: one row a design")

    def against(bits: Bits, requested: Floats) -> tuple[Metric, ...]:
        return conditioning(bits, requested, reference.train_condition, reference.measures)

    return with_floor(against(bits, conditional.condition), against(reference.test, reference.test_condition))


def _inpainting(inpainted: Inpainted, reference: Reference) -> tuple[Metric, ...]:
    draws, truth = inpaint.check(inpainted)
    check_sets(**{"inpainting truth": truth, "test": reference.test})
    mask, names, judged = inpainted.mask, reference.components, inpainted.judged
    count = min(draws.shape[1], len(reference.train))
    found = inpaint.nearest_completions(truth, mask, reference.train, count)
    answers = (inpaint.inpainting(drawn, truth, mask, names, judged) for drawn in (draws, found))
    return with_floor(*answers)


def _histograms(bits: Bits, nearest: NDArray[np.intp], reference: Reference) -> tuple[Histogram, ...]:
    """What the report plots; bins depend on the real designs alone, so that models share them."""

    def drawn(designs: Bits, nearest: NDArray[np.intp]) -> dict[tuple[str, str], NDArray[np.generic]]:
        box = shape.bounding_box(designs.any(1))
        area = designs.sum((2, 3))
        rows = {(f"area of {name}", "px"): area[:, i] for i, name in enumerate(reference.components)}
        rows |= {("height of the section", "px"): box.height, ("width of the section", "px"): box.width}
        return rows | {("distance to the nearest training design", "px"): nearest}

    real = drawn(reference.test, reference.test_nearest)
    generated = drawn(bits, nearest)
    return tuple(_histogram(name, unit, real[name, unit], generated[name, unit]) for name, unit in real)


def _histogram(name: str, unit: str, real: NDArray[np.generic], generated: NDArray[np.generic]) -> Histogram:
    """Integer bin widths (counts of pixels would alias otherwise); the outer bins take what lies beyond."""
    low, high = int(real.min()), int(real.max())
    width = max(1, -(-(high - low + 1) * 3 // (2 * _BINS)))  # the real range fills two thirds
    start = max(0, low - width * (_BINS // 6))
    edges = start + width * np.arange(_BINS + 1)

    def shares(values: NDArray[np.generic]) -> tuple[float, ...]:
        count, _ = np.histogram(np.clip(values, edges[0], edges[-1] - 1), edges)
        return tuple((count / len(values)).tolist())

    return Histogram(name, unit, tuple(edges.astype(float).tolist()), shares(real), shares(generated))
