"""Argument checks of the public functions in `gmrf`: each error names the argument, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from epurecli.errors import NumericalError
from epurecli.gmrf.masks import MaskGroups

FLOATS = (torch.float32, torch.float64)


def check_sizes(sizes: Sequence[int]) -> tuple[int, ...]:
    """Return the component sizes as a tuple; ValueError unless all are positive."""
    sizes = tuple(sizes)
    if not sizes or any(not isinstance(size, int) or size < 1 for size in sizes):
        raise ValueError(f"sizes: expected one positive int per component, got {sizes}")
    return sizes


def check_float(name: str, value: Tensor, shape: tuple[int, ...], like: Tensor | None = None) -> None:
    """Demand a float32/float64 tensor of `shape`, of the dtype and device of `like`.

    Raises:
        TypeError: not a tensor, or another dtype.
        ValueError: another shape or device.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(value).__name__}")
    if value.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {tuple(value.shape)}")
    if like is None:
        if value.dtype not in FLOATS:
            raise TypeError(f"{name}: expected float32 or float64, got {value.dtype}")
        return
    if value.dtype != like.dtype:
        raise TypeError(f"{name}: expected {like.dtype} like the other arguments, got {value.dtype}")
    if value.device != like.device:
        raise ValueError(f"{name}: expected device {like.device} like the other arguments, got {value.device}")


def check_rows(name: str, value: Tensor, columns: int) -> int:
    """Demand a float tensor (B, columns) and return B."""
    rows = value.shape[0] if isinstance(value, Tensor) and value.ndim == 2 else -1
    shown = rows if rows >= 0 else 0
    if isinstance(value, Tensor) and (value.ndim != 2 or value.shape[1] != columns):
        raise ValueError(f"{name}: expected shape (B, {columns}), got {tuple(value.shape)}")
    check_float(name, value, (shown, columns))
    return rows


def check_mask(mask: Tensor, rows: int, components: int, device: torch.device) -> None:
    """Demand a bool mask (B, C).

    Raises:
        TypeError: not bool.
        ValueError: another shape or device.
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(f"mask: expected a bool tensor, True = observed, got {getattr(mask, 'dtype', type(mask))}")
    if tuple(mask.shape) != (rows, components):
        raise ValueError(f"mask: expected shape ({rows}, {components}), got {tuple(mask.shape)}")
    if mask.device != device:
        raise ValueError(f"mask: expected device {device} like the other arguments, got {mask.device}")


def check_proper(groups: MaskGroups) -> None:
    """Demand that each row observes at least one component and misses at least one; ValueError names the row."""
    observed = groups.distinct.sum(1)
    wrong = (observed == 0) | (observed == groups.distinct.shape[1])
    if wrong.any():
        group = int(wrong.nonzero()[0, 0])
        row = int(groups.order[groups.begin[group]])
        kind = "no component" if int(observed[group]) == 0 else "every component"
        raise ValueError(f"mask: row {row} observes {kind}; conditioning needs at least one observed and one missing")


def check_shrink(shrink: float) -> None:
    """The assembly is positive definite for shrink strictly between 0 and 1 only."""
    if not 0.0 < shrink < 1.0:
        raise ValueError(f"shrink: expected a number strictly between 0 and 1, got {shrink}")


def check_values(variance: Tensor | None = None, **tensors: Tensor | None) -> None:
    """Name the first argument and row that is not finite, or a variance that is not positive.

    The price is a pass over the data, so the native bodies only come here after they have met such a value.

    Raises:
        NumericalError: naming argument and row.
    """
    if torch.compiler.is_compiling():  # a value-dependent branch would break the graph; the native op checks inside
        return
    if variance is not None:
        wrong = ~(torch.isfinite(variance) & (variance > 0))
        if wrong.any():
            row, column = (int(k) for k in wrong.nonzero()[0])
            found = float(variance[row, column])
            raise NumericalError(
                f"variance: expected finite positive numbers, got {found} in row {row}, column {column}",
                hint="make variances with softplus plus a floor (1e-6)",
            )
    for name, value in tensors.items():
        if value is None:
            continue
        wrong = ~torch.isfinite(value)
        if wrong.any():
            where = [int(k) for k in wrong.nonzero()[0]]
            raise NumericalError(f"{name}: expected finite numbers, got {float(value[tuple(where)])} at {where}")
