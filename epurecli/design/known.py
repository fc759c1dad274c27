"""The designs that there are: their figures, and what is usual among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from epurecli.data.dataset import Dataset
from epurecli.data.labels import Labels
from epurecli.evaluate.neighbours import nearest_pixels
from epurecli.evaluate.validity import STRAY_ALLOWED, faults

Bits = NDArray[np.bool_]
_USUAL = 99  # percentile of real designs
_LOOKED_AT = 1000  # designs that tell what is usual


@dataclass(frozen=True, slots=True, eq=False)
class KnownDesigns:
    """Training designs of a run's data, and the limits within which nearly all real designs stay."""

    bits: Bits  # (M, C, H, W)
    columns: tuple[str, ...]
    values: NDArray[np.float64]  # (M, K) raw units, NaN where a design has none
    limits: tuple[int, ...]  # of `faults_of`
    furthest: int  # pixels: real designs that no training read are rarely further from the nearest training design

    def valid(self, bits: Bits) -> NDArray[np.bool_]:  # (B, C, H, W) -> (B,)
        """Whether designs have no more faults than real ones."""
        if not len(bits):
            return np.zeros(0, bool)
        return (faults_of(bits) <= self.limits).all(1)

    def distance(self, bits: Bits) -> NDArray[np.intp]:  # (B, C, H, W) -> (B,)
        """Pixels to the nearest training design."""
        return nearest_pixels(bits, self.bits) if len(bits) else np.zeros(0, np.intp)


def rough_pixels(bits: Bits) -> NDArray[np.intp]:  # (B, C, H, W) -> (B,)
    """Pixels of each part that a majority of three by three would change; beyond the frame lies what it shows."""
    around = np.pad(bits, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge").astype(np.uint8)
    lines = around[..., :-2, :] + around[..., 1:-1, :] + around[..., 2:, :]
    count = lines[..., :-2] + lines[..., 1:-1] + lines[..., 2:]
    return ((count >= 5) != bits).sum((1, 2, 3))


def faults_of(bits: Bits) -> NDArray[np.intp]:  # (B, C, H, W) -> (B, 6)
    """What speaks against building each design: objects, empty parts, stray, gap, overlapping and rough pixels."""
    found = faults(bits)
    return np.stack([found.objects, found.empty, found.stray, found.gap, found.overlap, rough_pixels(bits)], 1)


def known_designs(dataset: Dataset, labels: Labels) -> KnownDesigns:
    """The training and validation designs of a data set that lack no component; its test designs tell what is usual."""
    rows = np.sort(dataset.whole(np.concatenate([dataset.train, dataset.validation])))
    test = dataset.whole(dataset.test)
    bits = dataset.raw_images(rows) >= 128
    some = bits[:: -(-len(bits) // _LOOKED_AT)]
    usual = np.percentile(faults_of(some), _USUAL, axis=0, method="higher").astype(int)
    limits = tuple(int(v) for v in np.maximum(usual, (1, 0, STRAY_ALLOWED, 0, 0, 0)))
    others = dataset.raw_images(test[:_LOOKED_AT]) >= 128
    far = nearest_pixels(others, bits) if len(others) else np.array([bits[0].size])
    furthest = int(np.percentile(far, _USUAL, method="higher"))
    return KnownDesigns(bits, labels.columns, labels.values[rows], limits, furthest)
