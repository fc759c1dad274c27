"""What the sampler makes and the writer takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from epurecli.errors import NumericalError
from epurecli.pictures.section import SPREAD_FULL_SCALE


@dataclass(frozen=True, slots=True)
class Drawn:
    """One block of results, as numpy arrays."""

    names: Sequence[str]  # (B,) file prefixes: sample_00000, or the input design's prefix
    images: np.ndarray  # (B, C, H, W) in [0, 1]; for inpainting the mean of the draws
    mask: np.ndarray | None = None  # (B, C) bool, True = observed
    observed: np.ndarray | None = None  # (B, C, H, W) uint8: where the mask is True these bytes are written as they are
    spread: np.ndarray | None = None  # (B, C, H, W) standard deviation of the draws, per pixel
    draws: np.ndarray | None = None  # (B, S, C, H, W) in [0, 1]; written as well
    truth: np.ndarray | None = None  # (B, C, H, W) uint8; shown on the contact sheet
    conditions: np.ndarray | None = None  # (B, D) raw units; NaN = not given
    examples: np.ndarray | None = None  # (at most B, 3, C, H, W) in [0, 1]: draws of the first designs, for the sheet

    def __len__(self) -> int:
        return len(self.names)


def join(parts: Sequence[Drawn]) -> Drawn:
    """Blocks of one request as one block."""
    if len(parts) == 1:
        return parts[0]
    joined: dict = {"names": [name for part in parts for name in part.names]}
    for field in fields(Drawn):
        values = [getattr(part, field.name) for part in parts]
        if field.name == "examples":  # the first blocks have them
            values = [value for value in values if value is not None] or [None]
        if field.name != "names" and values[0] is not None:
            joined[field.name] = np.concatenate(values)
    return Drawn(**joined)


def as_bytes(drawn: Drawn, components: Sequence[str]) -> dict[str, np.ndarray]:
    """The block as uint8 planes: `images`, and `uncertainty` (0 to 0.5 as 0 to 255) and `draws` where there are any.

    Observed components come byte for byte as they were given.

    Raises: NumericalError: values that are not finite; names the design.
    """
    pixels = {"images": _bytes(drawn.images, drawn, components, "image")}
    if drawn.spread is not None:
        pixels["uncertainty"] = _bytes(drawn.spread / SPREAD_FULL_SCALE, drawn, components, "uncertainty")
    if drawn.draws is not None:
        pixels["draws"] = draws_as_bytes(drawn.draws, drawn, components)
    if drawn.mask is not None:
        pixels["images"] = np.where(drawn.mask[:, :, None, None], drawn.observed, pixels["images"])
    return pixels


def draws_as_bytes(draws: np.ndarray, drawn: Drawn, components: Sequence[str]) -> np.ndarray:
    """Draws (K, S, C, H, W) of the first K designs of a block as uint8, observed components as they were given."""
    levels = np.stack([_bytes(draw, drawn, components, "draw") for draw in draws.swapaxes(0, 1)], axis=1)
    if drawn.mask is None:
        return levels
    count = len(draws)
    return np.where(drawn.mask[:count, None, :, None, None], drawn.observed[:count, None], levels)


def _bytes(values: np.ndarray, drawn: Drawn, components: Sequence[str], what: str) -> np.ndarray:
    """(B, C, H, W) floats in [0, 1] as uint8; what is uint8 stays."""
    if values.dtype == np.uint8:
        return values
    finite = np.isfinite(values).all(axis=(-2, -1))  # (B, C)
    if not finite.all():
        b, c = np.argwhere(~finite)[0]
        raise NumericalError(
            f"the {what} of {drawn.names[b]}, component {components[c]}, has values that are not finite",
            "the checkpoint is probably of a training that diverged: try --which best, or another run",
        )
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
