"""What a data folder holds, and the config that fits it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from epurecli.config.schema import DataConfig
from epurecli.data.layout import BRANCHES, component_folders, require_folder
from epurecli.data.table import read_csv, split_flags
from epurecli.errors import DataError

_DEFAULTS = DataConfig.model_fields
KNOWN_COMPONENTS: tuple[str, ...] = _DEFAULTS["component_dirs"].default
DEFAULT_CONDITIONS: tuple[str, ...] = _DEFAULTS["condition_columns"].default
_SAMPLE = 64  # images per component whose headers are read


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
    candidates = sorted(root.glob("*.csv"))
    if default.is_file() or not candidates:
        return default if default.is_file() else None
    if len(candidates) > 1:
        names = ", ".join(path.name for path in candidates)
        raise DataError(
            f"{root} has several CSV files ({names}), none called performances.csv",
            "set data.condition_csv to one of them",
        )
    return candidates[0]


def ordered_components(names: Iterable[str]) -> tuple[str, ...]:
    """The known components in their usual order, then the others by name."""
    names = set(names)
    return (*(name for name in KNOWN_COMPONENTS if name in names), *sorted(names.difference(KNOWN_COMPONENTS)))


def _components(root: Path) -> dict[str, tuple[int, ...]]:
    folders = component_folders(root)
    if not folders:
        raise DataError(
            f"{root} has no component folders with PNG images",
            "expected <folder>/<component>/<prefix>_<component>.png or <folder>/train/<component>/...",
        )
    return {name: folders[name] for name in ordered_components(folders)}


def infer_config(root: Path) -> DataConfig:
    """A config for any folder in the data format: components from its folders, conditions from its CSV.

    Raises:
        NotFound: no such folder.
        DataError: no components, or no CSV to train on.
    """
    require_folder(root)
    components = tuple(_components(root))
    csv = find_csv(root)
    if csv is None:
        raise DataError(
            f"{root} has no CSV file", "add performances.csv: one row per design with the columns matching and train"
        )
    names = read_csv(csv).columns
    conditions = tuple(name for name in DEFAULT_CONDITIONS if name in names)
    return DataConfig(
        root_dir=root,
        condition_csv=None if csv.name == "performances.csv" else csv,
        component_dirs=components,
        condition_columns=conditions,
    )


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
        paths = [path for branch in branches for path in sorted((root / BRANCHES[branch] / name).glob("*.png"))]
        images[name] = len(paths)
        for path in paths[:: -(-len(paths) // _SAMPLE)]:
            try:
                with Image.open(path, formats=("PNG",)) as image:
                    sizes[image.height, image.width] += 1
                    modes[image.mode] += 1
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                modes["unreadable"] += 1
    rows, columns, train, test = _read_columns(csv) if csv else (0, (), None, None)
    return Description(root, _layout(folders), images, dict(sizes), dict(modes), csv, rows, train, test, columns)


def _layout(folders: dict[str, tuple[int, ...]]) -> str:
    used = {branch for branches in folders.values() for branch in branches}
    if used == {0}:
        return "<component>/<prefix>_<component>.png"
    split = "<train|test>/<component>/<prefix>_<component>.png"
    return split if 0 not in used else f"{split} and <component>/<prefix>_<component>.png"


def _read_columns(csv: Path) -> tuple[int, tuple[ColumnRange, ...], int | None, int | None]:
    """Rows, ranges of the numeric columns, and the split sizes."""
    import pandas as pd

    frame = read_csv(csv)
    split = _DEFAULTS["split_column"].default
    ranges = []
    for name in frame.columns:
        values = pd.to_numeric(frame[name], errors="coerce")
        if name != split and values.notna().any():
            ranges.append(ColumnRange(name, float(values.min()), float(values.max()), int(values.nunique())))
    if split not in frame.columns:
        return len(frame), tuple(ranges), None, None
    train, known = split_flags(frame[split])
    return len(frame), tuple(ranges), int(train.sum()), int((known & ~train).sum())
