"""The geometry of the built-in toy tyres: parameters in, five disjoint half cross-sections out.

A section is drawn in the plane (u, v): u is the distance from the centre plane (the right edge of the image), v the
depth below the top of the crown, both in pixels. On every image row the section is one interval of u, cut by four
boundaries into three layers:

    u:  0 ......... b3 |  carcass  | b2 |  belts or bead  | b1 |  tread or sidewall  | b0 ......... 32
        (air inside)   |  group_nc |    |   bt    or tpc  |    |  group_km  or fpu   |      (air outside)

* Crown, v < v_wide: the four boundaries are nested superellipses  (u / a_k)^p + ((v_wide - v) / h_k)^p = 1  whose
  half-axes shrink by the layers' thicknesses, so that belts and carcass follow the crown's curvature. Belts end at
  u = belt_edge; beyond it tread lies on the carcass.
* Flank, v >= v_wide: the outer contour runs from the widest point to the bead,  u = a - (a - u_bead) s(x)  with
  x = (v - v_wide) / (H - v_wide),  s(x) = w (3 x^2 - 2 x^3) + (1 - w) x^1.5;  layers keep their normal thickness.
* Bead: over the last rows the bead strip (tpc) grows out of the border between sidewall and carcass, then wraps the
  carcass's foot.

Being cut from one interval per row, the parts are disjoint and their union is one object.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COMPONENTS = ("group_nc", "group_km", "bt", "fpu", "tpc")
HEIGHT, WIDTH = 64, 32
UNIFORMS = 16  # random numbers per design; a multiple of 4, the words in one Philox block

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shape:
    """Parameters of `n` sections, lengths in pixels; every field is (n, 1) so that it broadcasts over rows."""

    half_width: Floats  # a: outer half-axis of the crown = largest half-width
    height: Floats  # H: from crown to bead
    wide_depth: Floats  # v_wide: depth of the widest point
    exponent: Floats  # p: 2 = an ellipse, more = a squarer shoulder
    tread_crown: Floats  # tread thickness at the centre plane
    tread_side: Floats  # and at the shoulder
    belt: Floats  # thickness of the belts
    belt_edge: Floats  # half-width of the belts
    carcass: Floats  # thickness of the carcass
    shoulder_depth: Floats  # where the tread ends and the sidewall starts
    sidewall: Floats  # sidewall thickness near the bead
    bead_radius: Floats  # u_bead: distance of the outer contour from the centre plane at the bead
    bead_length: Floats  # rows of the bead strip
    bead_bulge: Floats  # how far the bead strip stands out
    foot: Floats  # rows in which the bead strip wraps under the carcass
    bend: Floats  # w: 0 = a straight flank, 1 = S-shaped


def shape_from_uniforms(uniform: Floats) -> Shape:
    """Parameters from uniform numbers (n, UNIFORMS) in [0, 1). Proportions depend on the size: larger is thicker."""
    column = iter(uniform.T[:, :, None])

    def between(low: float | Floats, high: float | Floats) -> Floats:
        return low + (high - low) * next(column)

    half_width = between(24.0, 32.5)
    height = between(44.0, 58.0) + 0.4 * (half_width - 28.25)
    height = np.clip(height, 44.0, 58.0)
    size = np.sqrt(half_width * height) / 38.0
    wide_depth = height * between(0.40, 0.54)
    tread_crown = size * between(3.8, 7.4)
    belt = np.maximum(size * between(1.8, 2.8), 1.8)
    carcass = size * between(2.8, 5.2)
    half_drop = half_width * between(0.20, 0.55)
    return Shape(
        half_width=half_width,
        height=height,
        wide_depth=wide_depth,
        exponent=between(2.0, 2.9),
        tread_crown=tread_crown,
        tread_side=tread_crown * between(0.55, 0.85),
        belt=belt,
        belt_edge=half_width * between(0.55, 0.80),
        carcass=carcass,
        shoulder_depth=wide_depth * between(0.78, 1.02),
        sidewall=0.35 * carcass + size * between(1.0, 2.4),
        bead_radius=half_width - half_drop,
        bead_length=height * between(0.14, 0.22),
        bead_bulge=size * between(1.2, 2.6),
        foot=size * between(2.0, 3.4),
        bend=between(0.1, 0.8),
    )


def _crown(v: Floats, shape: Shape, side: Floats | float, top: Floats | float) -> Floats:
    """u(v) of the crown's superellipse shrunk by `side` at the shoulder and `top` at the centre plane; 0 above it."""
    p = shape.exponent
    rise = np.clip(shape.wide_depth - v, 0.0, None) / (shape.wide_depth - top)
    return (shape.half_width - side) * np.clip(1.0 - rise**p, 0.0, None) ** (1.0 / p)


def _smooth(x: Floats) -> Floats:
    """Smoothstep, clamped to [0, 1]."""
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _boundaries(v: Floats, shape: Shape) -> tuple[Floats, Floats, Floats, Floats]:
    """b0 >= b1 >= b2 >= b3 on rows at depth v (n, HEIGHT); see the module's drawing."""
    s = shape
    flank = v >= s.wide_depth
    bead_depth = s.height - s.bead_length

    x = np.clip((v - s.wide_depth) / (s.height - s.wide_depth), 0.0, 1.0)
    drop = s.half_width - s.bead_radius
    root = np.sqrt(x)
    fall = s.bend * x * x * (3.0 - 2.0 * x) + (1.0 - s.bend) * x * root
    slope = drop / (s.height - s.wide_depth) * (s.bend * 6.0 * x * (1.0 - x) + (1.0 - s.bend) * 1.5 * root)
    along = np.sqrt(1.0 + slope * slope)  # horizontal extent of a layer of unit thickness
    bulge = s.bead_bulge * _smooth((v - bead_depth - 3.0) / (s.bead_length - 3.0))

    shoulder_layer = s.tread_side + 0.8 * s.belt
    cover = shoulder_layer + (s.sidewall - shoulder_layer) * _smooth(1.6 * x)
    flank_outer = s.half_width - drop * fall
    flank_cover = flank_outer - cover * along
    flank_inner = flank_cover - s.carcass * along

    crown_top = s.tread_crown + s.belt
    b0 = np.where(flank, flank_outer + bulge, _crown(v, s, 0.0, 0.0))
    b2 = np.where(flank, flank_cover, _crown(v, s, shoulder_layer, crown_top))
    b3 = np.where(flank, flank_inner, _crown(v, s, shoulder_layer + s.carcass, crown_top + s.carcass))
    tread_base = np.minimum(_crown(v, s, s.tread_side, s.tread_crown), s.belt_edge)
    # The bead strip replaces the sidewall within three rows; it starts thick enough not to fall apart into pixels.
    wedge = np.where(v < bead_depth, 0.0, np.clip(0.4 + (v - bead_depth) / 4.0, 0.0, 1.0))
    b1 = np.where(flank, b2 + wedge * (b0 - b2), tread_base)
    return b0, np.clip(b1, b2, b0), b2, b3


def rasterise(shape: Shape) -> NDArray[np.uint8]:
    """Draw sections (n, 5, HEIGHT, WIDTH), exactly 0 or 255. A pixel belongs to the layer that holds its centre."""
    top = np.floor(31.5 - shape.height / 2.0)  # centred, on whole rows
    v = np.arange(HEIGHT) + 0.5 - top  # (n, HEIGHT)
    inside = (v > 0.0) & (v < shape.height)

    column = np.arange(WIDTH, dtype=np.uint8)
    layer = np.zeros((len(v), HEIGHT, WIDTH), np.uint8)
    for boundary in _boundaries(v, shape):
        first = np.clip(np.ceil(WIDTH - 0.5 - boundary + 1e-9), 0, WIDTH)  # the leftmost pixel nearer than the boundary
        first = np.where(inside, first, WIDTH).astype(np.uint8)
        layer += column >= first[:, :, None]

    foot = inside & (v >= shape.height - shape.foot)
    tread = v < shape.shoulder_depth
    crown = v < shape.wide_depth
    component = np.zeros((len(v), HEIGHT, 5), np.uint8)  # 1 + component of each layer, per row; layers 0 and 4 are air
    component[:, :, 1] = np.where(foot, 5, np.where(tread, 2, 4))
    component[:, :, 2] = np.where(foot | ~crown, 5, 3)
    component[:, :, 3] = np.where(foot, 5, 1)

    images = np.empty((len(v), len(COMPONENTS), HEIGHT, WIDTH), np.uint8)
    masks = [(layer == k) for k in (1, 2, 3)]
    for index in range(len(COMPONENTS)):
        picked = component == index + 1
        part = masks[0] & picked[:, :, 1, None]
        for k in (2, 3):
            part |= masks[k - 1] & picked[:, :, k, None]
        np.multiply(part, 255, out=images[:, index], casting="unsafe", dtype=np.uint8)
    return images
