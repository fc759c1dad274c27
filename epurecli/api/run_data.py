"""Data for a trained model: its own, or a folder that somebody names; and whether it belongs to the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.checkpoint import TrainedModel
from epurecli.data.dataset import Dataset
from epurecli.data.source import open_data
from epurecli.errors import UsageError
from epurecli.listener import QUIET, Listener


def open_run_data(trained: TrainedModel, directory: Path | None, listener: Listener = QUIET) -> Dataset:
    """A folder of designs, read as the run's own data was; default: that data itself. A change since training is said.

    Raises:
        NotFound, DataError: of the data; components or conditions that it lacks.
        UsageError: images of another size.
    """
    data = open_data(directory, trained.config.data, listener)
    size = tuple(trained.config.model.image_size)
    if tuple(data.image_size) != size:
        sizes = ["x".join(map(str, pair)) for pair in (data.image_size, size)]
        raise UsageError(f"the images are {sizes[0]} (height x width); the model was trained on {sizes[1]}")
    known = trained.facts["data"]
    if directory is None and known.get("digest") != data.digest:
        listener.warn("the data has changed since training: its test designs may be some that the model was trained on")
    return data


def designs_in(data: Dataset, rows: NDArray[np.int64]) -> Designs:
    """Some designs of a data set, with all components that they have."""
    return Designs(
        images=data.raw_images(rows),
        components=data.components,
        names=tuple(data.prefixes[i] for i in rows),
        columns=data.scaler.columns,
        values=data.conditions[rows],
        given=data.there(rows),
    )
