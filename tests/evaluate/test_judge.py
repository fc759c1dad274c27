from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from epurecli.errors import DataError
from epurecli.evaluate import Designs, Inpainted, Reference, evaluate, fit_reference

NAMES, COLUMNS = ("crown", "carcass", "sidewall"), ("width_px", "height_px", "weight")


def test_judging_loads_no_network_and_no_model() -> None:
    said = "import sys, epurecli.evaluate; print([m for m in sys.modules if m == 'torch' or 'epurecli.models' in m])"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_same_images_in_any_type_give_the_same_report(reference: Reference, draw: Callable) -> None:
    bits = draw(60, 9).image
    first = evaluate(bits, reference, model="m", seed=3)
    assert evaluate((bits * 255).astype(np.uint8), reference, model="m", seed=3) == first
    assert evaluate(bits.astype(np.float32), reference, model="m", seed=3) == first
    assert (first.model, first.seed) == ("m", 3)
    assert first.counts == {"samples": 60, "test": 300, "train": 400}


def test_floors_are_of_as_many_real_designs(reference: Reference, draw: Callable) -> None:
    few, more, most = (evaluate(draw(n, 9).image, reference) for n in (40, 390, 900))
    key = ("distribution", "frechet (pixels)")  # biased upwards in small samples, so the floor must be as well
    assert few[key].floor > 1.5 * more[key].floor
    assert few.notes == more.notes == ()
    assert most.notes == ("Floors use all 400 training designs; the set judged has 900.",)


def test_floor_of_novelty_is_the_test_designs(reference: Reference, draw: Callable) -> None:
    report = evaluate(draw(40, 9).image, reference)
    assert report["novelty", "nearest training design"].floor == pytest.approx(reference.test_nearest.mean())


def test_the_order_of_the_training_designs_is_not_the_files_order(train: Designs, test_designs: Designs) -> None:
    # A folder sorted by size would make the floor's subset unlike the rest.
    by_size = np.argsort(train.condition[:, 0], kind="stable")
    ordered = Designs(train.image[by_size], train.condition[by_size])
    found = fit_reference(test_designs, ordered, NAMES, COLUMNS, np.random.default_rng(0))
    widths = found.train_condition[:50, 0]
    assert np.ptp(widths) == np.ptp(train.condition[:, 0])
    np.testing.assert_array_equal(found.measures[0](found.train), found.train_condition[:, 0])


def test_histograms_hold_every_design_and_real_ones_alone_set_the_bins(reference: Reference, draw: Callable) -> None:
    near = evaluate(draw(50, 9).image, reference)
    far = evaluate(np.ones((50, 3, 32, 16), bool), reference)
    for one, two in zip(near.histograms, far.histograms, strict=True):
        assert (one.name, one.edges, one.real) == (two.name, two.edges, two.real)
        for shares in (one.real, one.generated, two.generated):
            assert sum(shares) == pytest.approx(1.0)
    assert far.histograms[0].generated[-1] == 1.0  # beyond the last bin counts as in it


def test_sets_of_conditions_without_sizes_are_judged_all_the_same(train: Designs, test_designs: Designs) -> None:
    weights = [Designs(d.image, d.condition[:, 2:]) for d in (test_designs, train)]
    found = fit_reference(*weights, NAMES, COLUMNS[2:], np.random.default_rng(0))
    report = evaluate(weights[0].image, found, conditional=weights[0])
    assert not [m for m in report.metrics if m.group == "conditioning"]
    assert report.notes == ("No condition column is a size of the drawn design: nothing to measure.",)


def test_what_does_not_fit_together_is_refused(reference: Reference, train: Designs, test_designs: Designs) -> None:
    rng = np.random.default_rng(0)
    image = test_designs.image
    with pytest.raises(DataError, match="2 component names for designs of 3"):
        fit_reference(test_designs, train, NAMES[:2], COLUMNS, rng)
    with pytest.raises(DataError, match=r"test conditions \(300, 3\), expected \(300, 2\)"):
        fit_reference(test_designs, train, NAMES, COLUMNS[:2], rng)
    with pytest.raises(DataError, match=r"samples.*\(3, 32, 15\)"):
        evaluate(image[..., 1:], reference)
    with pytest.raises(DataError, match=r"requested conditions \(300, 1\), expected \(300, 3\)"):
        evaluate(image, reference, conditional=Designs(image, test_designs.condition[:, :1]))
    narrow = image[:20, :, :, 1:]
    with pytest.raises(DataError, match="inpainting truth"):
        evaluate(image, reference, inpainted=Inpainted(narrow[:, None], narrow, np.zeros((20, 3), bool)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_untrained_models_blank_designs_are_judged_like_any_others(reference: Reference, value: float) -> None:
    blank = np.full((40, 3, 32, 16), value)
    truth, mask = reference.test[:20], np.tile([True, False, False], (20, 1))
    conditional = Designs(blank, reference.test_condition[:40])
    report = evaluate(blank, reference, conditional=conditional, inpainted=Inpainted(blank[:20, None], truth, mask))
    assert all(np.isfinite(m.value) for m in report.metrics)
    assert report["validity", "empty components"].value == 1.0 - value
    assert report["distribution", "coverage"].value == 0.0
