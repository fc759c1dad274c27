"""Drawings: back to the same pixels, parts that fit, areas as pixels have them, smooth where that goes."""

from __future__ import annotations

import re

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from sections import NAMES, Labels, drawn_back, drawn_by_hand, faces, generated, label_maps, mirrored

from epurecli.data.toy import COMPONENTS
from epurecli.errors import UsageError
from epurecli.outline.drawing import Drawing, Style, draw

STYLES = st.builds(
    Style,
    scale_mm=st.sampled_from([None, 3.5, 0.001, 7000.0]),
    half=st.booleans(),
    smooth=st.sampled_from([0.0, 0.3, 1.0, 1.0]),
)


def outlined(labels: Labels, style: Style | None = None) -> Drawing:
    return draw(labels, NAMES, "design", style or Style())


def pixel_areas(labels: Labels, style: Style, count: int) -> np.ndarray:
    shown = labels if style.half else mirrored(labels)
    return np.array([(shown == c + 1).sum() for c in range(count)]) * style.pixel**2


def check(drawing: Drawing, labels: Labels, area: float) -> None:
    """What holds for every drawing. `area`: how many pixels a part's may be off."""
    style = drawing.style
    shown = labels if style.half else mirrored(labels)
    np.testing.assert_array_equal(drawn_back(drawing, shown.shape), shown)
    assert shapely.is_valid(drawing.parts).all()
    assert shapely.coverage_is_valid(drawing.parts)
    for c, part in enumerate(drawing.parts):
        assert shapely.get_num_geometries(part) == faces(shown, c + 1)
    off = np.array(drawing.areas) - pixel_areas(labels, style, len(drawing.parts))
    assert np.abs(off).max() <= area * style.pixel**2


@settings(max_examples=150, deadline=None)
@given(label_maps(), STYLES)
def test_any_map_is_drawn_back(labels: Labels, style: Style) -> None:
    loose = 0.0 < style.smooth < 1.0  # too little room to make good what corners lose
    check(outlined(labels, style), labels, area=2.0 * labels.size if loose else 1e-3)


@settings(max_examples=50, deadline=None)
@given(label_maps(), st.sampled_from([0.0, 1.0]))
def test_the_full_section_is_the_half_and_its_mirror_image(labels: Labels, smooth: float) -> None:
    full, half = outlined(labels, Style(smooth=smooth)), outlined(labels, Style(half=True, smooth=smooth))
    for whole, part in zip(full.parts, half.parts, strict=True):
        image = shapely.transform(part, lambda points: points * (-1, 1))
        assert shapely.symmetric_difference(whole, shapely.union(part, image)).area < 1e-9


@settings(max_examples=50, deadline=None)
@given(label_maps(), st.booleans())
def test_borders_are_the_edges_of_the_parts_each_once(labels: Labels, half: bool) -> None:
    drawing = outlined(labels, Style(half=half))
    lines = [shapely.LineString(line.points) for line in drawing.borders]
    once = shapely.union_all(lines) if lines else shapely.LineString()
    assert once.length == pytest.approx(sum(line.length for line in lines))
    edges = shapely.union_all([part.boundary for part in drawing.parts])
    if half:  # the axis is no border between two parts
        edges = shapely.difference(edges, shapely.LineString([(0, -99), (0, 99)]))
    assert shapely.symmetric_difference(edges, once).length == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "pieces"),
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 0]], (2, 0, 0)),  # touches itself at a corner
        ([[1, 2, 1, 2], [2, 1, 2, 1]], (4, 4, 0)),
        ([[0, 0, 0], [0, 3, 0], [0, 0, 0]], (0, 0, 1)),  # an island of a pixel
        ([[1, 1, 1], [1, 2, 1], [1, 1, 1]], (1, 1, 0)),  # in another part
        (
            [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0]],
            (1, 0, 0),
        ),  # a hole that touches the edge at a corner
        ([[1, 1], [1, 1]], (1, 0, 0)),  # all one part
        ([[0, 0], [0, 0]], (0, 0, 0)),  # nothing
        ([[1]], (1, 0, 0)),
        ([[3, 2, 1]], (1, 1, 1)),
        ([[0, 1], [0, 0], [0, 1]], (2, 0, 0)),  # twice on the axis
    ],
)
def test_corner_cases(labels: list[list[int]], pieces: tuple[int, ...]) -> None:
    image = np.array(labels, np.uint8)
    half = outlined(image, Style(half=True))
    assert tuple(len(part.geoms) for part in half.parts) == pieces
    assert half.empty == tuple(name for name, count in zip(NAMES, pieces, strict=True) if not count)
    for style in (Style(half=True), Style(), Style(smooth=0)):
        check(outlined(image, style), image, area=1e-3)


def test_stairs_are_the_edges_of_pixels() -> None:
    labels = generated(1)[0]
    drawing = draw(labels, COMPONENTS, "t", Style(smooth=0))
    rows = len(labels) - np.flatnonzero(labels.any(1)).max() - 1
    for c, part in enumerate(drawing.parts):
        y, x = np.nonzero(mirrored(labels) == c + 1)
        pixels = shapely.union_all(shapely.box(x - 32, 63 - y - rows, x - 31, 64 - y - rows))
        assert shapely.equals(part, pixels)


def test_coordinates() -> None:
    """x from the axis, y from the lowest edge upwards, mm."""
    labels = np.zeros((10, 6), np.uint8)
    labels[2:7, 3:] = 1
    drawing = outlined(labels, Style(scale_mm=2.0, smooth=0))
    assert drawing.parts[0].bounds == (-6, 0, 6, 10)
    assert drawing.frame == (-12, -6, 12, 14)
    assert outlined(labels, Style(scale_mm=2.0, half=True, smooth=0)).parts[0].bounds == (-6, 0, 0, 10)


def test_slanted_borders_are_straight() -> None:
    """Where midpoints of the cracks keep the rhythm of the staircase, and a surface net its waves."""
    y, x = np.mgrid[:40, :40] + 0.5
    drawing = outlined(((y > 0.4 * x + 8) & (y < 0.4 * x + 20)).astype(np.uint8), Style(half=True))
    across, up = shapely.get_coordinates(drawing.parts[0]).T
    off = drawing.frame[3] - up - (0.4 * (across + 40) + 8)  # from the upper edge, which was drawn at 0
    inner = off[(np.abs(off) < 2) & (across > -34) & (across < -6)]
    assert 5 < len(inner) < 30  # of 41 cracks
    assert np.abs(inner).max() < 0.12  # midpoints: 0.3


def test_discs_are_round() -> None:
    y, x = np.mgrid[:40, :40] + 0.5
    disc = outlined(((x - 20) ** 2 + (y - 20) ** 2 < 15**2).astype(np.uint8), Style(half=True)).parts[0]
    assert disc.length == pytest.approx(2 * np.pi * 15, rel=0.01)  # the pixels' edges: 120
    radius = np.hypot(*(shapely.get_coordinates(disc) - shapely.get_coordinates(disc.centroid)).T)
    assert radius.std() < 0.12


def test_the_axis_leaves_no_trace() -> None:
    """A disc on the axis is the same as one that lies beside it, whole."""
    y, x = np.mgrid[:24, :40] + 0.5
    whole = ((x - 12) ** 2 + (y - 12) ** 2 < 8.3**2).astype(np.uint8)
    beside = shapely.transform(outlined(whole, Style(half=True)).parts[0], lambda points: points + np.array([28, 0]))
    across = outlined(whole[:, :12]).parts[0]
    assert shapely.symmetric_difference(beside, across).area < 0.1  # a corner in the axis: 0.5


@settings(max_examples=50, deadline=None)
@given(label_maps())
def test_stairs_have_no_vertex_too_many(labels: Labels) -> None:
    for line in outlined(labels, Style(half=True, smooth=0)).borders:
        steps = np.diff(line.points, axis=0)
        if (line.points[0] == line.points[-1]).all():
            steps = np.concatenate([steps, steps[:1]])
        assert (steps[1:, 0].astype(bool) != steps[:-1, 0].astype(bool)).all()


def test_generated_and_drawn_designs() -> None:
    """The bars of the issue; `bench_outline.py` has 1,000 and 500."""
    for labels in (*generated(30), *drawn_by_hand(20)):
        drawing = draw(labels, COMPONENTS, "t", Style(scale_mm=3.5))
        check(drawing, labels, area=1e-3)
        assert sum(drawing.areas) == pytest.approx(2 * (labels > 0).sum() * 3.5**2, rel=1e-3)


def test_a_border_depends_on_its_own_cracks_alone() -> None:
    labels = np.zeros((20, 20), np.uint8)
    labels[3:9, 3:9] = 1
    beside = labels.copy()
    beside[12:17, 2:15] = 2
    one, other = (shapely.get_coordinates(outlined(image, Style(half=True)).parts[0]) for image in (labels, beside))
    np.testing.assert_allclose(one + np.array([0, 8]), other, atol=1e-4)


def test_fewer_vertices_change_no_pixel_however_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tolerance that makes lines run close by pixel centres, those that would pass one are not taken."""
    monkeypatch.setattr("epurecli.outline.simplify.TOLERANCE", 0.45)
    for labels in (*generated(15), *drawn_by_hand(15)):
        check(draw(labels, COMPONENTS, "t", Style()), labels, area=1e-3)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-9])
def test_scales_that_are_none(scale: float) -> None:
    with pytest.raises(UsageError, match="expected the edge of a pixel in mm"):
        Style(scale_mm=scale)


@pytest.mark.parametrize("smooth", [-0.1, 1.1, float("nan")])
def test_smoothness_from_0_to_1(smooth: float) -> None:
    with pytest.raises(UsageError, match=re.escape("expected 0 (the pixels' edges) to 1")):
        Style(smooth=smooth)
