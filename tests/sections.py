"""For the tests of outlines and their bench: label maps, and the way from polygons back to pixels by other means."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import shapely
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from epurecli.data import toy
from epurecli.data.toy_shape import HEIGHT, UNIFORMS, WIDTH, Shape, _boundaries, shape_from_uniforms
from epurecli.outline.cracks import find_arcs
from epurecli.outline.drawing import Drawing
from epurecli.pictures.crisp import owners

Labels = NDArray[np.uint8]
NAMES = ("crown", "belt", "wall")


def generated(count: int, start: int = 0) -> Labels:
    """(count, 64, 32) of the toy generator."""
    images, _ = toy.draw(0, start, count)
    return np.stack([owners(image.astype(np.float32) / 255) for image in images]).astype(np.uint8)


def drawn_by_hand(count: int, seed: int = 0) -> Labels:
    """(count, 64, 32) as somebody with a brush might draw five parts: strokes over one another, dots, stray pixels."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((count, HEIGHT, WIDTH), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for image in labels:
        for part in rng.permutation(np.repeat(np.arange(1, 6), rng.integers(0, 3, 5))):
            steps = rng.normal(0, 2.5, (int(rng.integers(3, 20)), 2)).cumsum(0) + rng.uniform((0, 0), (HEIGHT, WIDTH))
            path = np.concatenate([np.linspace(a, b, 8) for a, b in pairwise(steps)])
            radius = rng.uniform(0.6, 4)
            near = ((y[..., None] - path[:, 0]) ** 2 + (x[..., None] - path[:, 1]) ** 2).min(-1) < radius**2
            image[near] = part
        stray = rng.random(image.shape) < rng.choice([0, 0, 0.01, 0.1])
        image[stray] = rng.integers(0, 6, stray.sum())
    return labels


@st.composite
def label_maps(draw: st.DrawFn) -> Labels:
    """Small maps of up to three parts: noise, blocks, checkerboards, whatever shrinks to the smallest that fails."""
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    rows = draw(st.lists(st.lists(st.integers(0, 3), min_size=width, max_size=width), min_size=height, max_size=height))
    block = draw(st.sampled_from([1, 1, 2, 3]))
    labels = np.array(rows, np.uint8).repeat(block, 0).repeat(block, 1)
    if draw(st.booleans()):
        labels = np.where(np.add.outer(*map(np.arange, labels.shape)) % 2, labels, draw(st.integers(0, 3)))
    return labels.astype(np.uint8)


def mirrored(labels: Labels) -> Labels:
    return np.concatenate([labels, labels[:, ::-1]], 1)


def drawn_back(drawing: Drawing, shape: tuple[int, int]) -> Labels:
    """The owner of each pixel of an image of this shape: the part that holds its centre, by GEOS.

    255 where two parts do.
    """
    left, _, _, top = drawing.frame
    pixel = drawing.style.pixel
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    inside = [shapely.contains_xy(part, left + x * pixel, top - y * pixel) for part in drawing.parts]
    count = np.sum(inside, 0)
    return np.where(count > 1, 255, np.sum([(c + 1) * one for c, one in enumerate(inside)], 0)).astype(np.uint8)


def faces(labels: Labels, part: int) -> int:
    """In how many pieces a part is, pixels that touch at a corner only being two."""
    return ndimage.label(labels == part)[1]


# --- the generator's own smooth borders -------------------------------------------------------------------------------


def finely_generated(count: int, finer: int) -> Labels:
    """(count, 64 finer, 32 finer) what `generated` draws, on a grid that is `finer` times as fine."""
    uniform = np.random.Generator(np.random.Philox(key=0)).random((count, UNIFORMS))
    return np.concatenate([_fine(shape_from_uniforms(uniform[i : i + 1]), finer) for i in range(count)])


def _fine(shape: Shape, finer: int) -> Labels:
    depth = (np.arange(HEIGHT * finer) + 0.5) / finer - np.floor(31.5 - shape.height / 2)
    out = WIDTH - (np.arange(WIDTH * finer) + 0.5) / finer  # of each column from the axis
    inside = (depth > 0) & (depth < shape.height)
    borders = [np.where(inside, border, 0.0) for border in _boundaries(depth, shape)]
    layer = sum((border[:, :, None] >= out + 1e-9).astype(int) for border in borders)
    foot, crown = inside & (depth >= shape.height - shape.foot), depth < shape.wide_depth
    part = np.zeros((*depth.shape, 5), np.uint8)
    part[:, :, 1] = np.where(foot, 5, np.where(depth < shape.shoulder_depth, 2, 4))
    part[:, :, 2] = np.where(foot | ~crown, 5, 3)
    part[:, :, 3] = np.where(foot, 5, 1)
    return np.take_along_axis(part, layer, 2)


def true_borders(labels: Labels, fine: Labels) -> list[np.ndarray]:
    """The borders of a fine map where the half section in pixels has them: x from the axis, y up."""
    bottom = int(np.flatnonzero(labels.any(1))[-1]) + 1
    finer = fine.shape[0] / labels.shape[0]
    return [(arc.corners / finer - (labels.shape[1], bottom)) * (1, -1) for arc in find_arcs(fine)]


def offset(lines: list[np.ndarray], others: list[np.ndarray]) -> float:
    """Mean distance of points on lines, a tenth of a pixel apart, to the nearest of the others."""
    along = [
        shapely.line_interpolate_point(line, np.arange(0.05, line.length, 0.1))
        for line in map(shapely.LineString, lines)
    ]
    tree = shapely.STRtree([shapely.LineString(pair) for line in others for pair in pairwise(line)])
    _, found = tree.query_nearest(np.concatenate(along), return_distance=True, all_matches=False)
    return float(found.mean())
