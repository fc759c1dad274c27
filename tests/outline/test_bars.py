"""The bars that outlines were built for, on many designs. `tests/bench/bench_outline.py` prints the figures."""

from __future__ import annotations

import io

import ezdxf.recover
import numpy as np
import pytest
import shapely
from sections import Labels, drawn_back, drawn_by_hand, finely_generated, generated, mirrored, offset, true_borders

from epurecli.data.toy import COMPONENTS
from epurecli.outline import dxf
from epurecli.outline.drawing import Style, draw

MIDPOINTS = 1e-9  # vertices that may go nowhere: marching squares


@pytest.mark.slow
@pytest.mark.parametrize(("make", "count"), [(generated, 1000), (drawn_by_hand, 500)])
def test_many_designs(make, count: int) -> None:
    for number, labels in enumerate(make(count)):
        full: Labels = mirrored(labels)
        drawing = draw(labels, COMPONENTS, f"{number}", Style(scale_mm=3.5))
        assert shapely.coverage_is_valid(drawing.parts)
        np.testing.assert_array_equal(drawn_back(drawing, full.shape), full)
        assert sum(drawing.areas) == pytest.approx((full > 0).sum() * 3.5**2, rel=1e-3)
        if number % 10 == 0:
            _, auditor = ezdxf.recover.read(io.BytesIO(dxf.document(drawing).encode()))
            assert not auditor.errors
            assert not auditor.fixes


@pytest.mark.slow
def test_borders_are_nearer_to_the_true_ones_than_pixels_are() -> None:
    """Of the toy generator, sampled 8 times finer. Most of what is left, pixels do not tell: where rows were cut."""
    found: dict[float, list[float]] = {0.0: [], MIDPOINTS: [], 1.0: []}
    for labels, fine in zip(generated(60), finely_generated(60, 8), strict=True):
        truth = true_borders(labels, fine)
        for smooth, offsets in found.items():
            drawing = draw(labels, COMPONENTS, "t", Style(half=True, smooth=smooth))
            offsets.append(offset([line.points for line in drawing.borders], truth))
    stairs, midpoints, ours = (float(np.mean(offsets)) for offsets in found.values())
    assert ours <= 0.12
    assert ours < 0.75 * midpoints < 0.75 * stairs


def test_the_fine_map_is_the_generator_s_own() -> None:
    np.testing.assert_array_equal(finely_generated(40, 1), generated(40))
