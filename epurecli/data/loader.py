"""The batches of an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from epurecli.data.dataset import Dataset
from epurecli.types import Batch


def epoch_rows(
    indices: ArrayLike, batch_size: int, rng: torch.Generator | None, drop_last: bool = False, skip: int = 0
) -> Iterator[NDArray[np.int64]]:
    """One pass over `indices`, a batch's worth at a time.

    Args:
        rng: shuffles, by one draw of a permutation; None keeps the order.
        drop_last: leave out a last batch that is not full.
        skip: leave out this many batches at the start (a run resumed in mid-epoch); the order is the same.
    """
    order = np.asarray(indices, np.int64)
    if rng is not None:
        order = order[torch.randperm(len(order), generator=rng, device=rng.device).cpu().numpy()]
    stop = len(order) - len(order) % batch_size if drop_last else len(order)
    for start in range(skip * batch_size, stop, batch_size):
        yield order[start : start + batch_size]


def epoch_batches(
    dataset: Dataset,
    indices: ArrayLike,
    batch_size: int,
    rng: torch.Generator | None,
    device: str | torch.device = "cpu",
) -> Iterator[Batch]:
    """The same as batches of the data set."""
    for rows in epoch_rows(indices, batch_size, rng):
        yield dataset.batch(rows, device)
