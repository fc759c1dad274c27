"""A document -> requests that the sampler knows: the same that `Run.sample` and `Run.complete` build."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.data.dataset import Dataset
from epurecli.data.partial import Observed
from epurecli.errors import UsageError
from epurecli.listener import SILENT
from epurecli.pictures.crisp import planes
from epurecli.sample.conditions import Value, from_values
from epurecli.sample.request import SampleOptions, build_request
from epurecli.sample.sampler import Request
from epurecli.studio.messages import UNSAID, Document, Wish
from epurecli.types import Mode

Labels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """What the canvas says."""

    given: NDArray[np.bool_]  # (C,)
    images: NDArray[np.uint8]  # (C, H, W) the given components, 0 or 255; the others 0
    fixed: NDArray[np.bool_]  # (H, W) pixels of given components
    wishes: NDArray[np.bool_]  # (H, W) pixels that are painted and of no given component
    paint: Labels  # (H, W)


def drawing_of(document: Document, components: tuple[str, ...], size: tuple[int, int]) -> Drawing:
    """Raises: UsageError: a canvas of another size or other parts; a given part that is empty."""
    parts, pixels = len(components), size[0] * size[1]
    if len(document.paint) != pixels or (document.like is not None and len(document.like) != pixels):
        raise UsageError(f"the drawing has {len(document.paint)} pixels; the model draws {size[0]} x {size[1]}")
    if len(document.states) != parts:
        raise UsageError(f"the drawing has {len(document.states)} parts; the model has {parts}")
    paint = document.paint.reshape(size)
    if ((paint > parts) & (paint != UNSAID)).any() or (document.like is not None and document.like.max() > parts):
        raise UsageError(f"the drawing has a part that is none of 0 to {parts}")
    given = np.array([state in ("given", "none") for state in document.states])
    drawn = planes(paint, parts)  # (C, H, W)
    for name, state, plane in zip(components, document.states, drawn, strict=True):
        if state == "given" and not plane.any():
            raise UsageError(f"{name} is given but empty", "free it, or confirm that the design has none")
        if state == "none" and plane.any():
            raise UsageError(f"{name} is said to be absent but is drawn")
    fixed = drawn[given].any(0)
    return Drawing(given, np.where(given[:, None, None], drawn, False).astype(np.uint8) * 255, fixed,
                   (paint != UNSAID) & ~fixed, paint)  # fmt: skip


def values_of(brief: tuple[Wish, ...], columns: tuple[str, ...], known: tuple[str, ...]) -> dict[str, Value]:
    """The conditions that are asked for, by name: a number, or a range as a tuple.

    Args:
        columns: of the brief.
        known: of the model; others do not reach it.

    Raises: UsageError: a brief of other columns, or a range from high to low.
    """
    if len(brief) != len(columns):
        raise UsageError(f"the brief has {len(brief)} conditions; expected {len(columns)}")
    asked: dict[str, Value] = {}
    for name, wish in zip(columns, brief, strict=True):
        if name in known and wish.mode != "free":
            asked[name] = wish.value if wish.mode == "target" else (wish.low, wish.high)
    return asked


def free_request(trained: TrainedModel, asked: dict[str, Value], seed: int, count: int) -> Request:
    """Whole designs, such as `Run.sample(count, seed=seed, **asked)` draws."""
    mode, table = Mode.UNCONDITIONAL, None
    columns = trained.scaler.columns
    if asked or Mode.UNCONDITIONAL not in trained.model.modes:
        mode = Mode.CONDITIONAL
        table = from_values(asked, columns, count, seed) if asked else np.full((count, len(columns)), np.nan)
    options = SampleOptions(mode=mode, count=count, seed=seed, conditions=table, crisp=False)
    return build_request(trained, options, _no_data, SILENT)


def completing_request(
    trained: TrainedModel, drawing: Drawing, asked: dict[str, Value], seed: int, count: int
) -> Request:
    """The same parts given `count` times: each completion has the conditions that are left open drawn for itself.

    `Run.complete` of so many copies of the design, with one draw each, is the same.
    """
    table = from_values(asked, trained.scaler.columns, count, seed) if asked else None
    names = tuple(f"draw_{number:05d}" for number in range(count))
    copies = Observed(names, np.repeat(drawing.images[None], count, 0), np.repeat(drawing.given[None], count, 0))
    options = SampleOptions(mode=Mode.INPAINTING, seed=seed, conditions=table, partial=copies, draws=1, crisp=False)
    return build_request(trained, options, _no_data, SILENT)


def _no_data() -> Dataset:
    raise UsageError("this model draws only at conditions that are given", "set at least one of the brief's conditions")
