"""What people ask for in a model's terms: its conditions and its components, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.config import RunConfig
from epurecli.data.partial import Observed
from epurecli.errors import UsageError
from epurecli.sample.conditions import Value, from_values
from epurecli.sample.names import parse_component

if TYPE_CHECKING:
    import pandas as pd


def observed_of(designs: Designs, config: RunConfig, *, whole: bool = False) -> Observed:
    """What is given of designs, and what is known of the rest, in the model's order of components.

    Raises: UsageError: another size; components that it does not know, or (`whole`) that are lacking.
    """
    components = config.data.component_dirs
    size = tuple(config.model.image_size)
    if designs.images.shape[2:] != size:
        sizes = ["x".join(map(str, pair)) for pair in (designs.images.shape[2:], size)]
        raise UsageError(f"the images are {sizes[0]} (height x width); the model was trained on {sizes[1]}")
    places = [parse_component(name, components) for name in designs.components]
    if whole and (designs.partial or len(set(places)) < len(components)):
        raise UsageError("parts of the designs are missing", "complete them first: Run.complete")
    known = designs.images if designs.truth is None or whole else designs.truth
    shown = np.where(designs.given[:, :, None, None], designs.images, known)
    images = np.zeros((len(designs), len(components), *size), np.uint8)
    mask = np.zeros(images.shape[:2], bool)
    images[:, places] = shown
    mask[:, places] = designs.given if designs.partial else True
    return Observed(designs.names, images, mask)


def conditions_of(
    columns: Sequence[str],
    count: int | None,
    seed: int,
    given: Mapping[str, Value] | pd.DataFrame | None,
    values: Mapping[str, Value],
) -> NDArray[np.float64] | None:
    """Conditions that are asked for, (M, D) raw units, NaN where one is left open; None where nothing is.

    Args:
        columns: the D conditions' names.
        count, given, values: as `Run.sample` takes them.

    Raises: UsageError: unknown, given twice, or not what a condition can be.
    """
    named: dict[str, Value] = {str(key): value for key, value in (given.items() if given is not None else ())}
    twice = sorted(named.keys() & values.keys())
    if twice:
        raise UsageError(f"condition {twice[0]!r} is given twice")
    named |= values
    return from_values(named, columns, count, seed) if named else None
