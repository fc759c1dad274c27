"""Small data folders to break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from epurecli.config.schema import DataConfig
from epurecli.data.toy import COMPONENTS, make_toy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """16 toy designs (14 train, 2 test) in the flat layout."""
    make_toy(tmp_path / "set", 16, seed=3)
    return tmp_path / "set"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def edit_csv(folder: Path) -> Callable[[Callable[[list[str]], list[str]]], None]:
    """Rewrite the lines of the folder's CSV."""
    path = folder / "performances.csv"

    def edit(change: Callable[[list[str]], list[str]]) -> None:
        path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")

    return edit


@pytest.fixture
def image(folder: Path) -> Callable[..., Path]:
    """Path of a toy design's image."""
    return lambda index, component="bt": folder / component / f"toy_{index:07d}_{component}.png"


@pytest.fixture
def config(folder: Path) -> Callable[..., DataConfig]:
    """A config of the folder, with changes."""
    return lambda **changes: DataConfig(**({"root_dir": folder, "component_dirs": COMPONENTS} | changes))
