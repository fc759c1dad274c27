"""From images and numbers to the file: faults and areas are measured here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epurecli.errors import UsageError
from epurecli.evaluate.validity import Faults, faults
from epurecli.explore.page import Column, Shown, render
from epurecli.files import write_atomic, writing
from epurecli.version import __version__

NAME = "explorer.html"
_BLOCK = 2048  # designs whose faults are counted at a time

Named = tuple[str, NDArray[np.float64] | tuple[str, ...]]


def check_target(path: str | Path, overwrite: bool) -> Path:
    """Raises: UsageError: a folder, or a file that is there and not to be replaced."""
    path = Path(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder, not a file", f"name a file in it: {path / NAME}")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} exists already", "name another file, or ask for it to be overwritten (--overwrite)")
    return path


def write_explorer(path: str | Path, *, title: str | None = None, overwrite: bool = False, **designs: Any) -> Path:
    """Write B designs as one HTML file.

    Args:
        title: what it says above (default: the file's name).
        designs: as `explorer_page` takes them.

    Raises: UsageError: the file exists, there is no design, or not one value a design; CannotWrite.
    """
    path = check_target(path, overwrite)
    text = explorer_page(title=title or path.stem, **designs)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, text.encode())
    return path


def explorer_page(
    *,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    names: Sequence[str],
    components: Sequence[str],
    values: Iterable[tuple[str, ArrayLike]] = (),
    known: NDArray[np.bool_] | None = None,
    title: str,
) -> str:
    """B designs as one HTML file.

    Args:
        images: (B, C, H, W) 0 to 255.
        labels: (B, H, W) the owner of each pixel: 0 the background, c + 1 component c.
        values: columns by name, (B,) each: numbers, NaN = none, or words. Areas and faults stand after them.
        known: (B, C) the components that a design has at all; None: all.
        title: what it says above.

    Raises: UsageError: there is no design, or not one value a design.
    """
    if not len(images):
        raise UsageError("there is no design to show")
    found = _faults(images, known)
    columns = [*_checked(values, len(images)), *_measured(images, components, found)]
    return render(Shown(title, names, components, labels, _apart(columns), found), __version__)


def _checked(values: Iterable[tuple[str, ArrayLike]], count: int) -> Iterable[Named]:
    for name, given in values:
        array = np.asarray(given)
        if array.shape != (count,):
            raise UsageError(f"column {name!r}: shape {array.shape} for {count} designs", "give one value a design")
        if all(isinstance(value, str) for value in array):
            yield str(name), tuple(map(str, array))
            continue
        try:
            yield str(name), array.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"column {name!r}: neither numbers nor words ({error})") from error


def _measured(images: NDArray[np.uint8], components: Sequence[str], found: Faults) -> Iterable[Named]:
    areas = (images >= 128).sum((2, 3)).astype(np.float64)  # (B, C)
    yield from zip((f"{component}_px" for component in components), areas.T, strict=True)
    for name in ("stray", "gap", "overlap"):
        yield f"{name}_px", getattr(found, name).astype(np.float64)


def _faults(images: NDArray[np.uint8], known: NDArray[np.bool_] | None) -> Faults:
    blocks = [slice(i, i + _BLOCK) for i in range(0, len(images), _BLOCK)]
    parts = [faults(images[b] >= 128, None if known is None else known[b]) for b in blocks]
    joined: Mapping[str, NDArray[np.intp]] = {
        key: np.concatenate([getattr(part, key) for part in parts]) for key in Faults.__slots__
    }
    return Faults(**joined)


def _apart(columns: Iterable[Named]) -> list[Column]:
    """Columns of different names: the second of one name gets a number."""
    found: dict[str, Column] = {}
    for name, values in columns:
        free, number = name, 1
        while free in found:
            number += 1
            free = f"{name} ({number})"
        found[free] = Column(free, values)
    return list(found.values())
