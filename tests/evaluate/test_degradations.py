"""Each way of spoiling designs must move the metrics that are there to see it, and no metric may be left untested."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from epurecli.evaluate import Better, Designs, Inpainted, Metric, Reference, Report, evaluate

COUNT, DRAWS = 300, 4
Spoil = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image ^ (rng.random(image.shape) < 0.01)


def shuffled_components(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.stack([image[rng.permutation(len(image)), i] for i in range(image.shape[1])], 1)


def mode_collapse(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return image[rng.integers(4, size=len(image))]


def moved(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.roll(image, 3, axis=2)


def lost_part(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    out = image.copy()
    out[::2, 1] = False
    return out


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.where(image, 0.6, 0.0)


SPOILS: dict[Spoil, set[tuple[str, str]]] = {
    noise: {
        ("lineage", "iou wasserstein"),
        ("lineage", "dice wasserstein"),
        ("lineage", "relative count error"),
        ("validity", "stray pixels"),
        ("validity", "overlap"),
        ("validity", "gap pixels"),
        ("validity", "one object"),
        ("distribution", "frechet (shape)"),
        ("distribution", "kernel (shape)"),
        ("distribution", "precision"),
        ("distribution", "density"),
    },
    shuffled_components: {
        ("lineage", "iou wasserstein"),
        ("lineage", "dice wasserstein"),
        ("validity", "overlap"),
        ("validity", "gap pixels"),
        ("distribution", "frechet (pixels)"),
        ("distribution", "kernel (pixels)"),
        ("distribution", "frechet (shape)"),
        ("distribution", "kernel (shape)"),
        ("distribution", "precision"),
        ("distribution", "density"),
        ("distribution", "coverage"),
        ("novelty", "nearest training design"),
    },
    mode_collapse: {
        ("lineage", "centre of mass wasserstein"),
        ("distribution", "frechet (pixels)"),
        ("distribution", "kernel (pixels)"),
        ("distribution", "frechet (shape)"),
        ("distribution", "kernel (shape)"),
        ("distribution", "recall"),
        ("distribution", "coverage"),
        ("diversity", "vendi"),
        ("novelty", "duplicates"),
    },
    moved: {
        ("lineage", "centre of mass wasserstein"),
        ("distribution", "frechet (pixels)"),
        ("distribution", "kernel (pixels)"),
        ("distribution", "frechet (shape)"),
        ("distribution", "kernel (shape)"),
        ("distribution", "precision"),
        ("novelty", "nearest training design"),
    },
    lost_part: {
        ("lineage", "centre of mass wasserstein"),
        ("validity", "empty components"),
        ("distribution", "frechet (pixels)"),
        ("distribution", "kernel (pixels)"),
        ("distribution", "frechet (shape)"),
        ("distribution", "kernel (shape)"),
        ("distribution", "precision"),
    },
    blur: {("validity", "undecided pixels")},
}
COPIES = {("novelty", "exact copies"), ("novelty", "nearest training design")}


def clearly_worse(spoilt: Metric, sound: Metric) -> bool:
    """Worse in the metric's own sense, and by more than its interval."""
    assert spoilt.floor is not None
    match sound.better:
        case Better.LOWER:
            lost = spoilt.value - sound.value
        case Better.HIGHER:
            lost = sound.value - spoilt.value
        case Better.FLOOR:
            lost = abs(spoilt.value - spoilt.floor) - abs(sound.value - spoilt.floor)
    margin = max((np.ptp(m.ci) / 2 for m in (spoilt, sound) if m.ci), default=0.1 * abs(sound.value))
    return bool(lost > margin)


@pytest.fixture(scope="module")
def judge(reference: Reference, draw: Callable[[int, int], Designs]) -> Callable[[Spoil | None], Report]:
    sound = draw(COUNT, 3).image

    @cache
    def judged(spoil: Spoil | None) -> Report:
        image = sound if spoil is None else spoil(sound, np.random.default_rng(4))
        return evaluate(image, reference)

    return judged


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda f: f.__name__)
def test_spoiling_moves_the_metrics_that_are_there_to_see_it(
    spoil: Spoil, judge: Callable[[Spoil | None], Report]
) -> None:
    sound, spoilt = judge(None), judge(spoil)
    assert {key for key in SPOILS[spoil] if not clearly_worse(spoilt[key], sound[key])} == set()


def test_every_metric_of_a_set_is_moved_by_some_spoiling(judge: Callable[[Spoil | None], Report]) -> None:
    assert {m.key for m in judge(None).metrics} == set().union(*SPOILS.values(), COPIES)


def test_fresh_real_designs_score_the_floor(judge: Callable[[Spoil | None], Report]) -> None:
    for metric in judge(None).metrics:
        assert metric.floor is not None
        allowed = max(0.03, 0.25 * abs(metric.floor), np.ptp(metric.ci) if metric.ci else 0.0)
        assert metric.value == pytest.approx(metric.floor, abs=allowed), metric


def test_copies_of_the_training_set_look_perfect_except_to_novelty(reference: Reference, train: Designs) -> None:
    report = evaluate(train.image[:COUNT], reference)
    assert report["novelty", "exact copies"].value == 1.0
    assert report["novelty", "nearest training design"].value == 0.0
    assert report["novelty", "nearest training design"].floor > 0.5
    assert report["novelty", "exact copies"].floor < 0.9
    distance = report["distribution", "frechet (pixels)"]
    assert distance.value == pytest.approx(distance.floor, rel=0.3)


@pytest.mark.slow
def test_requests_that_were_ignored_cost_every_conditioning_figure(
    reference: Reference, draw: Callable[[int, int], Designs]
) -> None:
    obeyed = draw(COUNT, 5)
    ignored = Designs(obeyed.image, np.roll(obeyed.condition, 1, axis=0))
    good, bad = (evaluate(obeyed.image, reference, conditional=c) for c in (obeyed, ignored))
    found = [m for m in good.metrics if m.group == "conditioning"]
    assert len(found) == 5
    for metric in found:
        assert metric.floor == metric.value
        assert clearly_worse(bad[metric.key], metric), metric


@pytest.mark.slow
def test_inpainting_worse_than_looking_up_is_seen(reference: Reference, test_designs: Designs) -> None:
    rng = np.random.default_rng(6)
    truth = test_designs.image[:80]
    mask = np.ones((80, 3), bool)
    mask[np.arange(80), np.arange(80) % 3] = False

    def completions(like: np.ndarray) -> Report:
        draws = np.where(mask[:, None, :, None, None], truth[:, None], like)
        return evaluate(test_designs.image, reference, inpainted=Inpainted(draws, truth, mask))

    near = np.stack([truth ^ (rng.random(truth.shape) < 0.02) for _ in range(DRAWS)], 1)
    others = np.stack([test_designs.image[rng.permutation(300)[:80]] for _ in range(DRAWS)], 1)
    good, bad = completions(near), completions(others)
    for name in ("iou", f"best of {DRAWS} iou", "majority iou", "iou of crown", "iou of carcass", "iou of sidewall"):
        metric = good["inpainting", name]
        assert clearly_worse(bad["inpainting", name], metric), metric
        assert bad["inpainting", name].value < metric.floor, metric
    assert good["inpainting", "observed untouched"].value == 1.0
    same = completions(np.repeat(truth[:, None], DRAWS, 1))
    assert same["inpainting", "iou"].value == 1.0
    assert same["inpainting", "spread"].value == 0.0 < good["inpainting", "spread"].value
    touched = Inpainted(others, truth, mask)
    report = evaluate(test_designs.image, reference, inpainted=touched)
    assert report["inpainting", "observed untouched"].value < 0.1
