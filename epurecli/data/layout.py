"""Where the images of a data set lie: `<root>/<component>/...`, `<root>/<train|test>/<component>/...`, or both."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.data.problems import Problem
from epurecli.errors import DataError, NotFound

BRANCHES = ("", "train", "test")  # sub-folders of the root that may hold component folders
MISSING = -1


@dataclass(frozen=True, slots=True)
class Located:
    """The files of designs, and a fingerprint that changes with any file's size or time stamps."""

    branch: NDArray[np.int8]  # (M, C) index into BRANCHES, or MISSING
    fingerprint: str
    problems: tuple[Problem, ...]


def require_folder(root: Path) -> Path:
    """The folder, resolved.

    Raises:
        NotFound: there is none.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise NotFound(
            f"data folder {root} {what}", "give a data folder with --data, or make one: epure data make-toy DIR"
        )
    return root.resolve()


def file_name(pattern: str, prefix: str, component: str) -> str:
    """Plain replacement; `str.format` would let a pattern reach into objects."""
    return pattern.replace("{prefix}", prefix).replace("{component}", component)


def relative_path(branch: int, component: str, name: str) -> str:
    """Path of an image below the root, with forward slashes."""
    return "/".join(filter(None, (BRANCHES[branch], component, name)))


def component_folders(root: Path) -> dict[str, tuple[int, ...]]:
    """Folders that hold PNGs, by component name, with the branches they were found in."""
    found: dict[str, tuple[int, ...]] = {}
    for index, branch in enumerate(BRANCHES):
        folder = root / branch
        if not folder.is_dir():
            continue
        for child in sorted(folder.iterdir()):
            is_branch = not branch and child.name in BRANCHES
            if child.is_dir() and not is_branch and any(child.glob("*.png")):
                found[child.name] = (*found.get(child.name, ()), index)
    return found


def check_components(components: Sequence[str]) -> None:
    """Refuse component names that are no plain folder names.

    Raises:
        DataError: naming it.
    """
    for name in components:
        if not name or name in (".", "..") or any(mark in name for mark in "/\\:\0"):
            raise DataError(
                f"component {name!r} is no plain folder name",
                "data.component_dirs names folders inside the data folder",
            )


def locate(
    root: Path, components: Sequence[str], prefixes: Sequence[str], pattern: str, train: NDArray[np.bool_] | None
) -> Located:
    """Find each design's images by listing the folders once (no opening, one stat per image).

    Where a design's image lies under both train/ and test/, the one that fits its row's split counts.
    """
    check_components(components)
    branch = np.full((len(prefixes), len(components)), MISSING, np.int8)
    digest = hashlib.sha256()
    problems: list[Problem] = []
    for column, component in enumerate(components):
        wanted = {file_name(pattern, prefix, component): row for row, prefix in enumerate(prefixes)}
        stamps = np.zeros((len(prefixes), 3), np.int64)  # size, modified, changed
        seen_folder = False
        for index, name in enumerate(BRANCHES):
            folder = root / name / component
            if not folder.is_dir():
                continue
            seen_folder = True
            if not folder.resolve().is_relative_to(root):
                what = "is a link that leaves the data folder"
                problems.append(
                    Problem(relative_path(index, component, ""), None, what, "copy the images into the data folder")
                )
                continue
            with os.scandir(folder) as entries:
                for entry in entries:
                    row = wanted.get(entry.name)
                    if row is None or (branch[row, column] != MISSING and not _fits(index, train, row)):
                        continue
                    if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(root):
                        path = relative_path(index, component, entry.name)
                        what = "is a link that leaves the data folder"
                        problems.append(Problem(path, None, what, "copy the image into the data folder"))
                    elif entry.is_file():
                        status = entry.stat()
                        stamps[row] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
                    else:
                        continue
                    branch[row, column] = index
        if not seen_folder:
            problems.append(_missing_folder(root, component))
        digest.update(f"{component}\0".encode() + stamps.tobytes() + branch[:, column].tobytes())
    digest.update("\0".join(prefixes).encode())
    return Located(branch, digest.hexdigest(), tuple(problems))


def _fits(branch: int, train: NDArray[np.bool_] | None, row: int) -> bool:
    return train is not None and BRANCHES[branch] == ("train" if train[row] else "test")


def _missing_folder(root: Path, component: str) -> Problem:
    there = ", ".join(component_folders(root)) or "none"
    hint = f"component folders found: {there}; set data.component_dirs to the ones you want"
    return Problem(component, None, f"there is no folder {component} (nor train/{component})", hint)
