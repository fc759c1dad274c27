"""Every crack is in one arc, and an arc parts the same two owners all along."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from sections import Labels, label_maps

from epurecli.outline.cracks import find_arcs

Crack = tuple[tuple[int, int], tuple[int, int]]


def cracks(labels: Labels) -> dict[Crack, tuple[int, int]]:
    """(start, end) of each crack, rightwards or downwards, with the owners on the left and right hand (y down)."""
    height, width = labels.shape
    owner = {(x, y): int(labels[y, x]) for y in range(height) for x in range(width)}
    found = {}
    for y in range(height + 1):
        for x in range(width + 1):
            here, left, above = (owner.get(p, 0) for p in ((x, y), (x - 1, y), (x, y - 1)))
            if x < width and here != above:
                found[(x, y), (x + 1, y)] = above, here
            if x < width and y < height and here != left:
                found[(x, y), (x, y + 1)] = here, left
    return found


@given(label_maps())
def test_each_crack_is_walked_once_with_its_owners(labels: Labels) -> None:
    expected = cracks(labels)
    walked = {}
    for arc in find_arcs(labels):
        for start, end in pairwise(map(tuple, arc.corners.tolist())):
            forward = start < end
            key = (start, end) if forward else (end, start)
            assert key not in walked
            walked[key] = (arc.left, arc.right) if forward else (arc.right, arc.left)
    assert walked == expected


@given(label_maps())
def test_arcs_end_at_junctions_and_on_the_axis_only(labels: Labels) -> None:
    degree: dict[tuple[int, int], int] = {}
    for ends in cracks(labels):
        for corner in ends:
            degree[corner] = degree.get(corner, 0) + 1
    for arc in find_arcs(labels):
        first, *inner, last = map(tuple, arc.corners.tolist())
        assert {degree[corner] for corner in inner} <= {2}
        if arc.closed:
            assert first == last
            assert degree[first] == 2
        else:
            assert degree[first] != 2
            assert degree[last] != 2
        assert arc.on_axis == tuple(end[0] == labels.shape[1] and degree[end] == 1 for end in (first, last))


def test_a_checkerboard_meets_in_junctions() -> None:
    labels = np.array([[1, 0], [0, 1]], np.uint8)
    middle = [arc for arc in find_arcs(labels) if [1, 1] in arc.corners.tolist()]
    assert sum(arc.corners.tolist().count([1, 1]) for arc in middle) == 4


def test_nothing_has_no_arcs() -> None:
    assert find_arcs(np.zeros((5, 4), np.uint8)) == []
