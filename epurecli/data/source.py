"""Where designs come from: a folder that somebody names, or the data that a run was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from epurecli.config.load import apply_overrides
from epurecli.config.schema import DataConfig
from epurecli.data.dataset import Dataset, open_dataset
from epurecli.data.describe import Inferred, find_csv, infer
from epurecli.listener import QUIET, Listener


def infer_data(directory: Path, overrides: Sequence[str] = (), listener: Listener = QUIET) -> dict[str, Any]:
    """The `data:` section of a config for a folder, everything read from the folder itself, and said.

    Args:
        overrides: `--set` texts; those of the data section are not looked for in the folder.

    Raises: NotFound, DataError, ConfigError.
    """
    found = infer(directory, apply_overrides({}, overrides).get("data") or {})
    tell(found, listener)
    return found.config.model_dump(mode="json")


def open_data(directory: Path | None, own: DataConfig | None = None, listener: Listener = QUIET) -> Dataset:
    """A folder of designs, with the settings of a run's `own` data where there is one; else that data itself.

    Raises: NotFound, DataError.
    """
    if directory is None:
        assert own is not None
        config = own
    elif own is None or own.root_dir is None:
        keep = {} if own is None else {"condition_columns": own.condition_columns, "component_dirs": own.component_dirs}
        found = infer(directory, keep)
        tell(found, listener)
        config = found.config
    else:
        config = own.model_copy(update={"root_dir": directory, "condition_csv": _csv_in(directory, own)})
    dataset = open_dataset(config, listener.progress)
    tell(dataset, listener)
    return dataset


def tell(found: Inferred | Dataset, listener: Listener) -> None:
    """Say what was taken for what, and what may not be as it was meant."""
    for text in found.notes:
        listener.note(text)
    for text in found.warnings:
        listener.warn(text)


def _csv_in(directory: Path, own: DataConfig) -> Path | None:
    """The CSV of another folder: called as the run's own, else what the folder has."""
    assert own.csv_path is not None
    same = directory / own.csv_path.name
    return same if same.is_file() else find_csv(directory)
