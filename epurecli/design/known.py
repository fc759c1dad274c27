"""The designs that there are: their figures, and what is usual among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.data.dataset import Dataset
from epurecli.data.labels import Labels
from epurecli.evaluate import shape
from epurecli.evaluate.neighbours import nearest_pixels
from epurecli.evaluate.validity import claimed_twice, gap_pixels, stray_pixels

Bits = NDArray[np.bool_]
_USUAL = 99  # percentile of real designs
_LOOKED_AT = 1000  # designs that tell what is usual
_STRAY = 2  # pixels outside the main object of a part, which are forgiven in any data


@dataclass(frozen=True, slots=True, eq=False)
class Faults:
    """What speaks against building each of B designs."""

    objects: NDArray[np.intp]  # of the union
    stray: NDArray[np.intp]  # pixels outside the main object of their part
    gaps: NDArray[np.intp]  # background pixels between or within parts
    overlap: NDArray[np.intp]  # pixels of two parts
    rough: NDArray[np.intp]  # pixels that differ from most of the nine around them, over parts: ragged borders


@dataclass(frozen=True, slots=True, eq=False)
class KnownDesigns:
    """Training designs of a run's data, and the limits within which nearly all real designs stay."""

    bits: Bits  # (M, C, H, W)
    columns: tuple[str, ...]
    values: NDArray[np.float64]  # (M, K) raw units, NaN where a design has none
    limits: tuple[int, ...]  # of `Faults`, in its order
    furthest: int  # pixels: real designs that no training read are rarely further from the nearest training design

    def valid(self, bits: Bits) -> NDArray[np.bool_]:  # (B, C, H, W) -> (B,)
        """Whether designs have no more faults than real ones."""
        if not len(bits):
            return np.zeros(0, bool)
        return (_stacked(faults(bits)) <= self.limits).all(1)

    def distance(self, bits: Bits) -> NDArray[np.intp]:  # (B, C, H, W) -> (B,)
        """Pixels to the nearest training design."""
        return nearest_pixels(bits, self.bits) if len(bits) else np.zeros(0, np.intp)


def faults(bits: Bits) -> Faults:
    """Faults of designs (B, C, H, W)."""
    union = shape.objects(bits.any(1), corners=True).count
    return Faults(union, stray_pixels(bits), gap_pixels(bits), claimed_twice(bits), rough_pixels(bits))


def rough_pixels(bits: Bits) -> NDArray[np.intp]:  # (B, C, H, W) -> (B,)
    """Pixels of each part that a majority of three by three would change; beyond the frame lies what it shows."""
    around = np.pad(bits, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint8)
    lines = around[..., :-2, :] + around[..., 1:-1, :] + around[..., 2:, :]
    count = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    return ((count >= 5) != bits).sum((1, 2, 3))


def _stacked(found: Faults) -> NDArray[np.intp]:  # -> (B, 5)
    return np.stack([found.objects, found.stray, found.gaps, found.overlap, found.rough], 1)


def known_designs(dataset: Dataset, labels: Labels) -> KnownDesigns:
    """The training and validation designs of a data set that lack no component; its test designs tell what is usual."""
    rows = np.sort(dataset.whole(np.concatenate([dataset.train, dataset.validation])))
    test = dataset.whole(dataset.test)
    bits = dataset.raw_images(rows) >= 128
    some = bits[:: -(-len(bits) // _LOOKED_AT)]
    usual = np.percentile(_stacked(faults(some)), _USUAL, axis=0, method="higher").astype(int)
    limits = tuple(int(v) for v in np.maximum(usual, (1, _STRAY, 0, 0, 0)))
    others = dataset.raw_images(test[:_LOOKED_AT]) >= 128
    far = nearest_pixels(others, bits) if len(others) else np.array([bits[0].size])
    furthest = int(np.percentile(far, _USUAL, method="higher"))
    return KnownDesigns(bits, labels.columns, labels.values[rows], limits, furthest)
