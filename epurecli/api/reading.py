"""Designs from a folder: what sampling has written, or one's own drawings."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.api.designs import Designs
from epurecli.config.schema import DataConfig
from epurecli.data.describe import ordered_components
from epurecli.data.images import read_grey
from epurecli.data.ink import LIGHT
from epurecli.data.layout import RESERVED, component_folders
from epurecli.data.partial import read_observed
from epurecli.errors import DataError, NotFound
from epurecli.pictures.section import SPREAD_FULL_SCALE
from epurecli.sample.layout import MANIFEST
from epurecli.text import from_csv_cell

PATTERN = "{prefix}_{component}.png"


def read(folder: str | Path, components: Sequence[str] | None = None) -> Designs:
    """Designs of a folder: what `epure sample` or `Designs.save` wrote, or PNGs of one's own.

    One's own are `<component>/<name>_<component>.png`, grey, of one size. A design may lack components: what is there
    is given, and `Run.complete` draws the rest.

    Args:
        components: which, in which order (default: all, the usual five first).

    Raises:
        NotFound: no such folder.
        DataError: no designs in it; images that are damaged, or of different sizes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotFound(f"{folder}: no such folder of samples")
    shards = sorted(folder.glob("samples_*.npz"))
    found = _read_shards(shards) if shards else _read_images(folder, components)
    if components is None or found.components == tuple(components):
        return found
    lacking = [c for c in components if c not in found.components]
    if lacking:
        raise DataError(f"{folder}: holds no {lacking[0]}", hint=f"it has {', '.join(found.components)}")
    return found.reordered(components)


def _read_shards(shards: Sequence[Path]) -> Designs:
    parts: list[dict[str, NDArray[Any]]] = []
    for shard in shards:
        try:
            with np.load(shard, allow_pickle=False) as file:
                parts.append(dict(file))
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{shard}: not what sampling writes ({error})") from error

    def joined(key: str) -> NDArray[Any] | None:
        return np.concatenate([part[key] for part in parts]) if key in parts[0] else None

    try:
        names = tuple(map(str, np.concatenate([part["names"] for part in parts])))
        columns = tuple(map(str, parts[0]["columns"]))
        components = tuple(map(str, parts[0]["components"]))
        images = np.concatenate([part["images"] for part in parts])
    except (KeyError, ValueError) as error:
        raise DataError(f"{shards[0]}: not what sampling writes ({error})") from error
    spread = joined("uncertainty")
    _, _, _, provenance = _read_manifest(shards[0].parent)
    return Designs(
        images=images,
        components=components,
        names=names,
        columns=columns,
        values=np.concatenate([part["conditions"] for part in parts]),
        given=np.concatenate([part["observed"] for part in parts]),
        spread=None if spread is None else _spread(spread),
        draws=joined("draws"),
        provenance=provenance,
    )


def _read_images(folder: Path, components: Sequence[str] | None) -> Designs:
    names = tuple(components or ordered_components(name for name in component_folders(folder) if name not in RESERVED))
    first = next((path for name in names for path in sorted(folder.glob(f"**/{name}/*_{name}.png"))), None)
    if first is None:
        asked = f" of {', '.join(names)}" if names else ""
        raise DataError(f"{folder}: holds no samples{asked}", hint="epure sample M --out DIR makes some")
    height, width = read_grey(first).shape
    written = DataConfig(root_dir=folder, component_dirs=names, filename_pattern=PATTERN)
    images = read_observed(folder, written, (height, width), ink=LIGHT)
    if not (folder / MANIFEST).is_file():
        return Designs(images.images, names, images.prefixes, given=images.mask, partial=True)
    rows, columns, values, provenance = _read_manifest(folder)
    order = {name: row for row, name in enumerate(images.prefixes)}
    lacking = [name for name in rows if name not in order or not images.mask[order[name]].all()]
    if lacking:
        raise DataError(f"{folder}: {lacking[0]} has no image of one of {', '.join(names)}")
    chosen = np.array([order[name] for name in rows], int)
    given = np.array([[c in rows[name] for c in names] for name in rows], bool).reshape(len(rows), len(names))
    extra: dict[str, Any] = {}
    if (folder / "uncertainty").is_dir():
        found = read_observed(folder / "uncertainty", written, (height, width), ink=LIGHT)
        extra["spread"] = _spread(found.images[chosen])
    if (folder / "draws").is_dir():
        folders = sorted((folder / "draws").iterdir(), key=lambda path: int(path.name))
        draws = [read_observed(path, written, (height, width), ink=LIGHT).images[chosen] for path in folders]
        extra["draws"] = np.stack(draws, 1)
    return Designs(images.images[chosen], names, tuple(rows), columns, values, given, provenance=provenance, **extra)


def _spread(levels: NDArray[np.uint8]) -> NDArray[np.float32]:
    return (levels / 255 * SPREAD_FULL_SCALE).astype(np.float32)


def _read_manifest(folder: Path) -> tuple[dict[str, set[str]], tuple[str, ...], NDArray[np.float64], dict[str, str]]:
    """Names with what was given of each, conditions' names, conditions (B, D), provenance."""
    path = folder / MANIFEST
    if not path.is_file():
        return {}, (), np.empty((0, 0)), {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            header, *lines = [[from_csv_cell(cell) for cell in line] for line in csv.reader(file)]
        rows = [dict(zip(header, line, strict=True)) for line in lines]
        start = next(k for k, name in enumerate(header) if name not in ("name", "model", "mode", "seed"))
        columns = tuple(header[start : header.index("observed")])
        values = np.array([[float(row[c] or "nan") for c in columns] for row in rows]).reshape(len(rows), len(columns))
        names = {row["name"]: set(row["observed"].split("+")) for row in rows}
    except (OSError, ValueError, KeyError, StopIteration, csv.Error) as error:
        raise DataError(f"{path}: not the manifest of a sampling run ({error})") from error
    before, after = header[1:start], header[header.index("observed") + 1 :]
    return names, columns, values, {key: rows[0][key] for key in (*before, *after)} if rows else {}
