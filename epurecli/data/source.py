"""Where designs come from: a folder that somebody names, or the data that a run was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from epurecli.config.schema import DataConfig
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.pack import OnProgress


def data_section(directory: Path) -> dict[str, Any]:
    """The `data:` section of a config for a folder, everything read from the folder itself.

    Raises: NotFound, DataError.
    """
    from epurecli.data.describe import infer_config

    return infer_config(directory).model_dump(mode="json")


def open_data(directory: Path | None, own: DataConfig | None = None, progress: OnProgress | None = None) -> Dataset:
    """A folder of designs, with the conditions of a run's `own` data where there is one; else that data itself.

    Raises: NotFound, DataError.
    """
    if directory is None:
        assert own is not None
        return open_dataset(own, progress)
    conditions = {} if own is None else {"condition_columns": own.condition_columns}
    return open_dataset(DataConfig.model_validate(data_section(directory) | conditions), progress)
