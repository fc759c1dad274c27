"""What a data folder holds, and the config that fits it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from epurecli.config.schema import DataConfig
from epurecli.data.csv_file import CsvFile, fold, read_csv
from epurecli.data.images import ImageFault, read_pixels
from epurecli.data.ink import find_ink
from epurecli.data.layout import (
    BRANCHES,
    WHOLE,
    component_folders,
    entries,
    file_name,
    is_picture,
    listing,
    require_folder,
)
from epurecli.data.table import Part, parts_of, says_parts
from epurecli.errors import DataError
from epurecli.files import open_regular

_DEFAULTS = DataConfig.model_fields
KNOWN_COMPONENTS: tuple[str, ...] = _DEFAULTS["component_dirs"].default
PERFORMANCES = ("d_cons", "d_rigid", "d_life", "d_stab")
DEFAULT_CONDITIONS: tuple[str, ...] = (*_DEFAULTS["condition_columns"].default, *PERFORMANCES)  # docs/plan.md
_SAMPLE = 64  # images per component whose headers are read
_COMPARED = 4  # designs in which a picture is held against those of the other components
_PICTURES = (".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".svg")
_WORKBOOKS = (".xlsx", ".xls", ".ods")
_SAME = 0.95  # intersection over union from which on it shows the same


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """A numeric column of the CSV."""

    name: str
    minimum: float
    maximum: float
    distinct: int


@dataclass(frozen=True, slots=True)
class Description:
    """A data folder at a glance; `epurecli.data.check.check` looks at every image."""

    root: Path
    layout: str  # how the folders are arranged, in words
    images: dict[str, int]  # PNG files of each component
    image_sizes: dict[tuple[int, int], int]  # (height, width) -> how many of the sampled images
    modes: dict[str, int]  # PNG mode -> how many of the sampled images
    csv: Path | None
    rows: int  # designs in the CSV
    train: int | None  # None: the CSV has no such column
    test: int | None
    columns: tuple[ColumnRange, ...]

    @property
    def components(self) -> tuple[str, ...]:
        """In the order in which a config would name them."""
        return tuple(self.images)


def find_csv(root: Path) -> Path | None:
    """`performances.csv`, else the only CSV in the folder, else None.

    Raises:
        DataError: several, none of that name.
    """
    default = root / "performances.csv"
    candidates = [root / name for name in listing(root) if name.lower().endswith(".csv") and name[0] != "."]
    if default.is_file() or not candidates:
        return default if default.is_file() else None
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise DataError(
            f"{root} has several CSV files ({names}), none called performances.csv",
            f"say which one: --set {shlex.quote(f'data.condition_csv={candidates[0]}')}",
        )
    return candidates[0]


def ordered_components(names: Iterable[str]) -> tuple[str, ...]:
    """The known components in their usual order, then the others by name."""
    names = set(names)
    return (*(name for name in KNOWN_COMPONENTS if name in names), *sorted(names.difference(KNOWN_COMPONENTS)))


def _components(root: Path) -> dict[str, tuple[int, ...]]:
    folders = component_folders(root)
    if not folders:
        other = next((path for path in sorted(root.glob("*/*")) if path.suffix.lower() in _PICTURES), None)
        if other is not None:
            kind = other.suffix[1:].upper()
            raise DataError(
                f"{other} is a {kind} file; images must be PNGs",
                "save them all as PNG: others lose edges or cannot be read alike",
            )
        raise DataError(
            f"{root} has no component folders with PNG images",
            "expected <folder>/<component>/<prefix>_<component>.png or <folder>/train/<component>/...",
        )
    return {name: folders[name] for name in ordered_components(folders)}


@dataclass(frozen=True, slots=True)
class Inferred:
    """A config that was read from a folder, and what was taken for what."""

    config: DataConfig
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def infer_config(root: Path) -> DataConfig:
    """`infer(root).config`."""
    return infer(root).config


def infer(root: Path, known: Mapping[str, Any] = MappingProxyType({})) -> Inferred:
    """A config for any folder in the data format: components from its folders, conditions from its CSV.

    Args:
        known: keys of the data section that somebody has chosen; they are not looked for.

    Raises:
        NotFound: no such folder.
        DataError: no components, or no CSV to train on.
    """
    require_folder(root)
    warnings: list[str] = []
    notes: list[str] = []
    if "component_dirs" in known:
        components = tuple(known["component_dirs"])
    else:
        components, left_out = _parts(root)
        warnings += left_out
    csv = Path(known["condition_csv"]) if known.get("condition_csv") else find_csv(root)
    if csv is None:
        book = next((name for name in listing(root) if name.lower().endswith(_WORKBOOKS)), None)
        if book is not None:
            raise DataError(f"{root / book} is a workbook, not a CSV", "save it as CSV: File > Save As > CSV UTF-8")
        raise DataError(
            f"{root} has no CSV file", "add performances.csv: one row per design with the columns matching and train"
        )
    table = read_csv(csv)
    found: dict[str, Any] = {"root_dir": root, "component_dirs": components}
    found["condition_csv"] = None if csv.name == "performances.csv" and "condition_csv" not in known else csv
    prefix, pattern = _naming(root, components, table, known)
    if prefix != _DEFAULTS["prefix_column"].default and "prefix_column" not in known:
        notes.append(f"{csv.name}: column {prefix!r} names the designs (data.prefix_column)")
    if pattern != _DEFAULTS["filename_pattern"].default and "filename_pattern" not in known:
        notes.append(f"files are called {pattern} (data.filename_pattern)")
    found |= {"prefix_column": table.find(prefix) or prefix, "filename_pattern": pattern}
    if "split_column" not in known:
        found["split_column"] = _split_column(table, found["prefix_column"])
        if table.find(_DEFAULTS["split_column"].default) is None and table.find(found["split_column"]):
            notes.append(f"{csv.name}: column {found['split_column']!r} says what designs are for (data.split_column)")
    if "condition_columns" not in known:
        used = {found["prefix_column"], str(found.get("split_column", known.get("split_column")))}
        chosen, unused = _conditions(table, used)
        found["condition_columns"] = chosen
        if not set(chosen) & set(DEFAULT_CONDITIONS) and chosen:
            notes.append(f"conditions: {', '.join(chosen)} (data.condition_columns)")
        elif not chosen:
            notes.append("conditions: none (no column of numbers)")
        if unused:
            notes.append(f"columns that are no conditions: {', '.join(unused)} (data.condition_columns adds some)")
    config = DataConfig.model_validate({**found, **known, "root_dir": root})
    return Inferred(config, tuple(warnings), tuple(notes))


def _parts(root: Path) -> tuple[tuple[str, ...], list[str]]:
    """Component folders without those of whole designs, and warnings of the latter."""
    names = tuple(_components(root))
    whole = [name for name in names if name.lower() in WHOLE or _shows_all(root, name, names)]
    if len(names) - len(whole) < 2:
        return names, []
    warnings = [
        f"{name}/ is taken for pictures of whole designs, not for a part, and left out (data.component_dirs adds it)"
        for name in whole
    ]
    return tuple(name for name in names if name not in whole), warnings


def _shows_all(root: Path, name: str, names: Sequence[str]) -> bool:
    """Whether some pictures of a folder show what those of all other folders show together."""
    others = [other for other in names if other != name and other.lower() not in WHOLE]
    if len(others) < 2:
        return False
    tried = 0
    for branch in BRANCHES:
        folder = root / branch / name
        for file in nsmallest(_COMPARED, _pictures(folder)) if folder.is_dir() else ():
            beside = [root / branch / other / file.replace(name, other) for other in others]
            try:
                pictures = [read_pixels(path) for path in (folder / file, *(path for path in beside if path.is_file()))]
            except ImageFault:
                continue
            if len(pictures) < 3 or len({picture.low.shape for picture in pictures}) > 1:
                continue
            ink = find_ink(pictures)
            ours, *rest = (ink.read(picture) > 127 for picture in pictures)
            together = np.logical_or.reduce(rest)
            if (ours & together).sum() < _SAME * (ours | together).sum():
                return False
            tried += 1
    return tried > 1


def _pictures(folder: Path) -> Iterator[str]:
    return (entry.name for entry in entries(folder) if is_picture(entry.name))


def _naming(root: Path, components: Sequence[str], table: CsvFile, known: Mapping[str, Any]) -> tuple[str, str]:
    """Column of the designs' names and pattern of the files' names: what finds most files of the first component."""
    default = str(known.get("prefix_column", _DEFAULTS["prefix_column"].default))
    patterns = [str(known.get("filename_pattern", _DEFAULTS["filename_pattern"].default))]
    if "filename_pattern" not in known:
        patterns.append("{prefix}.png")
    own = table.find(default)
    columns = [own] if own else []
    if "prefix_column" not in known and not columns:
        columns = [name for name in table.names if len(set(table.column(name))) == len(table)]
    component = components[0]
    if len(columns) * len(patterns) == 1:
        return columns[0], patterns[0]  # nothing to choose from
    folders = [root / branch / component for branch in BRANCHES]
    files = {fold(name) for folder in folders if folder.is_dir() for name in listing(folder)}
    best, most = (default, patterns[0]), 0
    for column in columns:
        for pattern in patterns:
            hits = sum(fold(file_name(pattern, prefix, component)) in files for prefix in table.column(column))
            if hits > most:
                best, most = (column, pattern), hits
    return best


def _split_column(table: CsvFile, prefix: str) -> str:
    """The column `train`, else one that is called so in other words and whose every cell says what a design is for."""
    default = str(_DEFAULTS["split_column"].default)
    own = table.find(default)
    if own is not None:
        return own
    for name in table.names:
        if name != prefix and fold(name) in _SPLITS and says_parts(table.column(name)):
            return name
    return default


_SPLITS = (
    *("split", "set", "subset", "part", "phase", "usage", "partition", "training", "is_train", "in_train"),
    *("entraînement", "entrainement", "apprentissage"),
)


def _conditions(table: CsvFile, used: Collection[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Columns that become conditions: those of the plan, or else every other column of numbers; and those left out."""
    others = [name for name in table.names if name not in used and not name.endswith("_norm")]
    chosen = tuple(own for name in DEFAULT_CONDITIONS if (own := table.find(name)) and own not in used)
    if not chosen:
        values = {name: table.numbers(name)[0] for name in others}
        chosen = tuple(name for name in others if _mostly_numbers(values[name]) and not _counts(values[name]))
    return chosen, tuple(name for name in others if name not in chosen)


def _mostly_numbers(values: NDArray[np.float64]) -> bool:
    return bool(len(values)) and bool(np.isfinite(values).mean() > 0.5)


def _counts(values: NDArray[np.float64]) -> bool:
    """Whether a column just numbers the rows."""
    return len(values) > 2 and bool((np.diff(values) == 1).all())


def describe(root: Path) -> Description:
    """Look a data folder over, without decoding it.

    Raises:
        NotFound: no such folder.
        DataError: no components, or a CSV that cannot be read.
    """
    require_folder(root)
    folders = _components(root)
    csv = find_csv(root)
    sizes: Counter[tuple[int, int]] = Counter()
    modes: Counter[str] = Counter()
    images = {}
    for name, branches in folders.items():
        places = [root / BRANCHES[branch] / name for branch in branches]
        paths = [place / file for place in places for file in listing(place) if is_picture(file)]
        images[name] = len(paths)
        for path in paths[:: -(-len(paths) // _SAMPLE)]:
            try:
                with open_regular(path) as file, Image.open(file, formats=("PNG",)) as image:
                    sizes[image.height, image.width] += 1
                    modes[image.mode] += 1
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                modes["unreadable"] += 1
    rows, columns, train, test = _read_columns(read_csv(csv)) if csv else (0, (), None, None)
    return Description(root, _layout(folders), images, dict(sizes), dict(modes), csv, rows, train, test, columns)


def _layout(folders: dict[str, tuple[int, ...]]) -> str:
    used = {branch for branches in folders.values() for branch in branches}
    if used == {0}:
        return "<component>/<prefix>_<component>.png"
    split = "<train|test>/<component>/<prefix>_<component>.png"
    return split if 0 not in used else f"{split} and <component>/<prefix>_<component>.png"


def _read_columns(table: CsvFile) -> tuple[int, tuple[ColumnRange, ...], int | None, int | None]:
    """Rows, ranges of the numeric columns, and the split sizes."""
    split = _split_column(table, "")
    ranges = []
    for name in table.names:
        values = table.numbers(name)[0]
        values = values[np.isfinite(values)]
        if name != split and len(values):
            ranges.append(ColumnRange(name, float(values.min()), float(values.max()), len(np.unique(values))))
    own = table.find(split)
    if own is None:
        return len(table), tuple(ranges), None, None
    part = parts_of(table.column(own))
    return len(table), tuple(ranges), int((part == Part.TRAIN).sum()), int((part == Part.TEST).sum())
