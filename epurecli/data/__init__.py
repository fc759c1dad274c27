"""Data sets: folders of PNGs with a CSV of conditions, and the built-in toy set.

Names are imported on first use, so that the command line starts without pandas and torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epurecli.data.check import Report
    from epurecli.data.conditions import ConditionScaler
    from epurecli.data.dataset import Dataset, open_dataset
    from epurecli.data.describe import Description, infer_config
    from epurecli.data.loader import epoch_batches
    from epurecli.data.partial import Observed, read_observed
    from epurecli.data.problems import Problem
    from epurecli.data.toy import draw, make_toy

_HOMES = {
    "Report": "check",
    "ConditionScaler": "conditions",
    "Dataset": "dataset",
    "open_dataset": "dataset",
    "Description": "describe",
    "infer_config": "describe",
    "epoch_batches": "loader",
    "Observed": "partial",
    "read_observed": "partial",
    "Problem": "problems",
    "draw": "toy",
    "make_toy": "toy",
}

__all__ = [
    "ConditionScaler",
    "Dataset",
    "Description",
    "Observed",
    "Problem",
    "Report",
    "draw",
    "epoch_batches",
    "infer_config",
    "make_toy",
    "open_dataset",
    "read_observed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
