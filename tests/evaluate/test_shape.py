from __future__ import annotations

import numpy as np
import pytest

from epurecli.evaluate import shape


def picture(*rows: str) -> np.ndarray:
    """(1, H, W) bits drawn in text."""
    return np.array([[[c == "#" for c in row] for row in rows]])


def test_objects_counts_edges_and_corners_differently() -> None:
    mask = picture("##...", "..#..", "..##.", "....#")
    edges, corners = shape.objects(mask), shape.objects(mask, corners=True)
    assert edges.count.tolist() == [3]
    assert edges.largest.tolist() == [3]
    assert corners.count.tolist() == [1]
    assert corners.largest.tolist() == [6]


def test_objects_keeps_designs_of_a_stack_apart() -> None:
    # The same pixel set in consecutive images would be one object if planes were joined.
    full, empty = np.ones((1, 4, 4), bool), np.zeros((1, 4, 4), bool)
    found = shape.objects(np.concatenate([full, full, empty, full]))
    assert found.count.tolist() == [1, 1, 0, 1]
    assert found.largest.tolist() == [16, 16, 0, 16]


def test_objects_agrees_across_chunk_borders(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.random.default_rng(0).random((11, 12, 7)) < 0.4
    whole = shape.objects(mask)
    monkeypatch.setattr(shape, "_CHUNK", 4)
    parts = shape.objects(mask)
    np.testing.assert_array_equal(parts.count, whole.count)
    np.testing.assert_array_equal(parts.largest, whole.largest)


def test_holes_are_enclosed_background_only() -> None:
    closed = picture(".....", ".###.", ".#.#.", ".###.")
    leaking_corner = picture(".....", ".##..", ".#.#.", ".###.")
    at_the_border = picture("#.#", "###")
    assert np.argwhere(shape.hole_pixels(closed)).tolist() == [[0, 2, 2]]
    assert not shape.hole_pixels(leaking_corner).any()
    assert not shape.hole_pixels(at_the_border).any()


def test_bounding_box_and_centre_of_a_rectangle_and_of_nothing() -> None:
    mask = np.zeros((2, 10, 8), bool)
    mask[0, 2:7, 3:5] = True
    box = shape.bounding_box(mask)
    assert [v.tolist() for v in (box.top, box.left, box.height, box.width)] == [[2, 0], [3, 0], [5, 0], [2, 0]]
    np.testing.assert_allclose(shape.centre(mask), [[4.0, 3.5], [0.0, 0.0]])


def test_descriptors_of_a_rectangle() -> None:
    bits = np.zeros((1, 1, 10, 8), bool)
    bits[0, 0, 2:7, 3:5] = True
    one = dict(zip(shape.DESCRIPTORS, shape.descriptors(bits)[0, :10], strict=True))
    expected = {
        "area": 10,
        "row": 4,
        "column": 3.5,
        "row spread": np.sqrt(2),  # of 0..4: (25 - 1) / 12
        "column spread": 0.5,
        "perimeter": 14,
        "top": 2,
        "left": 3,
        "height": 5,
        "width": 2,
    }
    assert one == pytest.approx(expected)


def test_descriptors_describe_the_union_last() -> None:
    bits = np.zeros((1, 2, 6, 6), bool)
    bits[0, 0, 0:2, 0:3] = True
    bits[0, 1, 2:6, 0:3] = True
    areas = shape.descriptors(bits).reshape(3, 10)[:, 0]
    assert areas.tolist() == [6, 12, 18]
