"""What is given of designs, as a model takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from epurecli.api.designs import Designs
from epurecli.data.partial import Observed
from epurecli.errors import UsageError
from epurecli.sample.names import parse_component


def observed_of(designs: Designs, components: Sequence[str], size: tuple[int, ...]) -> Observed:
    """What is given of designs, and what is known of the rest, in the model's order of components.

    Args:
        size: (height, width) of the model's images.

    Raises: UsageError: no such component; images of another size.
    """
    if designs.images.shape[2:] != size:
        sizes = ["x".join(map(str, pair)) for pair in (designs.images.shape[2:], size)]
        raise UsageError(f"the images are {sizes[0]} (height x width); the model was trained on {sizes[1]}")
    places = [parse_component(name, components) for name in designs.components]
    whole = designs.images if designs.truth is None else designs.truth
    shown = np.where(designs.given[:, :, None, None], designs.images, whole)
    images = np.zeros((len(designs), len(components), *size), np.uint8)
    mask = np.zeros(images.shape[:2], bool)
    images[:, places] = shown
    mask[:, places] = designs.given if designs.partial else True
    return Observed(designs.names, images, mask)
