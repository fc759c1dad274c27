"""What can be said of a design without asking a model: whether it holds together, its sizes, what it resembles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.api.run import Run
from epurecli.api.run_data import open_run_data
from epurecli.data.dataset import Dataset
from epurecli.errors import DataError, NotFound
from epurecli.evaluate.conditioning import Measure, learn_measures
from epurecli.evaluate.validity import faults
from epurecli.listener import SILENT
from epurecli.pictures.crisp import labels_of, planes

BINS = 24
HELD_OUT = 60
_SAMPLE = 1000  # training designs that conventions of measuring are learnt from
_BITS = np.array([bin(byte).count("1") for byte in range(256)], np.uint8)

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """What of the training designs is held in memory."""

    packed: NDArray[np.uint64]  # (M, K) their bits
    measures: tuple[Measure, ...]
    columns: tuple[str, ...]
    table: NDArray[np.float64]  # (M, D)
    held_out: NDArray[np.uint8]  # (N, H, W) some of the designs that training did not see

    @classmethod
    def of(cls, data: Dataset) -> Training:
        """Read once; 1.3 kB a design of 64 x 32 pixels and five parts."""
        rows = data.whole(data.train)
        bits = data.raw_images(rows) >= 128
        some = slice(None, None, max(1, len(rows) // _SAMPLE))
        columns, table = data.scaler.columns, data.conditions[rows]
        measures = learn_measures(bits[some], table[some], columns) if columns and len(rows) else ()
        test = data.whole(data.test)[:HELD_OUT]
        held_out = labels_of(data.raw_images(test))
        return cls(_packed(bits), measures, columns, table, held_out)

    def histograms(self) -> dict[str, dict[str, Any]]:
        """Counts of the training designs along each condition."""
        found = {}
        for name, values in zip(self.columns, self.table.T, strict=True):
            whole, span = bool((values == np.round(values)).all()), float(np.ptp(values))
            bins: Any = np.arange(values.min(), values.max() + 2) - 0.5 if whole and span <= 2 * BINS else BINS
            counts, edges = np.histogram(values, bins)
            found[name] = {"counts": counts.tolist(), "low": edges[0], "high": edges[-1], "whole": whole}
        return found

    def nearest(self, bits: Bits) -> NDArray[np.intp]:
        """(N,) pixels, over all parts, by which each design differs from the nearest training design."""
        return np.array([_ones(self.packed ^ row).min() for row in _packed(bits)], np.intp)


def _packed(bits: Bits) -> NDArray[np.uint64]:
    flat = np.packbits(bits.reshape(len(bits), -1), axis=1)
    return np.ascontiguousarray(np.pad(flat, ((0, 0), (0, -flat.shape[1] % 8)))).view(np.uint64)


def _ones(words: NDArray[np.uint64]) -> NDArray[np.intp]:
    """(M, K) -> (M,) bits that are set."""
    count = getattr(np, "bitwise_count", None)  # since NumPy 2
    each = _BITS[words.view(np.uint8)] if count is None else count(words)
    total: NDArray[np.intp] = np.sum(each, axis=1, dtype=np.intp)
    return total


def facts_of(
    labels: NDArray[np.uint8], parts: int, training: Training | None, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any] | None:
    """Facts of N designs, a list a name; None where `stop` said so meanwhile.

    Args:
        labels: (N, H, W).
    """
    bits = planes(labels, parts)
    there = np.asarray(bits.any((2, 3)), bool)  # a part may be absent on purpose
    found = faults(bits, there)
    facts: dict[str, Any] = {
        "objects": found.objects.tolist(),
        "stray": found.stray.tolist(),
        "gaps": found.gap.tolist(),
        "valid": found.valid.tolist(),
        "areas": bits.sum((2, 3)).tolist(),
        "measured": {},
        "nearest": None,
    }
    if training is None:
        return facts
    facts["measured"] = {m.name: m(bits).tolist() for m in training.measures}
    nearest = []
    for design in bits:
        if stop():
            return None
        nearest.append(int(training.nearest(design[None])[0]))
    facts["nearest"] = nearest
    return facts


def training_of(run: Run) -> tuple[Training | None, str]:
    """The training designs of a run, or why there are none."""
    try:
        return Training.of(open_run_data(run.trained, None, SILENT)), ""
    except (NotFound, DataError, OSError) as error:
        return None, str(error)
