"""Where the images of a data set lie: `<root>/<component>/...`, `<root>/<train|val|test>/<component>/...`, or both."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.data.csv_file import fold
from epurecli.data.problems import Problem
from epurecli.data.table import Part
from epurecli.errors import DataError, NotFound

# Sub-folders of the root that may hold component folders, and what their designs are for.
BRANCHES = ("", "train", "test", "val", "valid", "validation")
PART_OF_BRANCH = (Part.UNKNOWN, Part.TRAIN, Part.TEST, Part.VALIDATION, Part.VALIDATION, Part.VALIDATION)
MISSING = -1
RESERVED = ("uncertainty", "draws")  # folders of a sampling result that hold no component
WHOLE = ("full", "whole", "complete", "composite", "all")  # folders of whole designs, beside those of their parts


@dataclass(frozen=True, slots=True)
class Located:
    """The files of designs, and a fingerprint that changes with any file's size or time stamps."""

    branch: NDArray[np.int8]  # (M, C) index into BRANCHES, or MISSING
    fingerprint: str
    problems: tuple[Problem, ...]
    other_names: dict[tuple[int, int], str] = field(default_factory=dict)  # files that are called nearly as expected
    notes: tuple[str, ...] = ()


def require_folder(root: Path) -> Path:
    """The folder, resolved.

    Raises:
        NotFound: there is none.
    """
    try:
        there = root.is_dir()
    except OSError as error:
        raise NotFound(f"data folder {root} cannot be looked at: {error.strerror}", "check the path") from None
    if not there:
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise NotFound(
            f"data folder {root} {what}", "give a data folder with --data, or make one: epure data make-toy DIR"
        )
    return root.resolve()


def around_prefix(pattern: str, component: str) -> tuple[str, str]:
    """What stands before and after the prefix in the names of a component's files.

    Plain replacement: a prefix may hold the text of a placeholder, and `str.format` would reach into objects.
    """
    before, after = (part.replace("{component}", component) for part in pattern.split("{prefix}", 1))
    return before, after


def file_name(pattern: str, prefix: str, component: str) -> str:
    """Name of a design's image of a component."""
    return prefix.join(around_prefix(pattern, component))


def relative_path(branch: int, component: str, name: str) -> str:
    """Path of an image below the root, with forward slashes."""
    return "/".join(filter(None, (BRANCHES[branch], component, name)))


def is_picture(name: str) -> bool:
    """Whether a file is called as a PNG is; `._NAME` is what macOS leaves beside NAME."""
    return name.lower().endswith(".png") and not name.startswith(".")


def listing(folder: Path) -> list[str]:
    """The names in a folder, sorted.

    Raises:
        DataError: it cannot be listed.
    """
    return sorted(entry.name for entry in entries(folder))


def component_folders(root: Path) -> dict[str, tuple[int, ...]]:
    """Folders that hold PNGs, by component name, with the branches they were found in. Hidden ones are none.

    Raises:
        DataError: a folder cannot be listed.
    """
    found: dict[str, tuple[int, ...]] = {}
    for index, branch in enumerate(BRANCHES):
        folder = root / branch
        if not folder.is_dir():
            continue
        for name in listing(folder):
            child = folder / name
            is_branch = not branch and name in BRANCHES
            if (
                not name.startswith(".")
                and not is_branch
                and child.is_dir()
                and any(is_picture(entry.name) for entry in entries(child))
            ):
                found[name] = (*found.get(name, ()), index)
    return found


def check_components(components: Sequence[str]) -> None:
    """Refuse component names that are no plain folder names, or that a sampling result uses for something else.

    Raises:
        DataError: naming it.
    """
    for name in components:
        if not name or name in (".", "..") or any(mark in name for mark in "/\\:\0"):
            raise DataError(
                f"component {name!r} is no plain folder name",
                "data.component_dirs names folders inside the data folder",
            )
        if name.lower() in RESERVED:
            raise DataError(
                f"no component may be called {name!r}: samples keep something else in a folder of that name",
                "rename the component's folder and its files",
            )


def locate(
    root: Path, components: Sequence[str], prefixes: Sequence[str], pattern: str, part: NDArray[np.int8] | None
) -> Located:
    """Find each design's images by listing the folders once (no opening, one stat per image).

    A name that differs only in case, in blanks around it, in how accents are written, or in leading zeros (which
    spreadsheets drop) is found where that leaves no doubt, and said. Links are followed to regular files. Where a
    design's image lies under several of train/, val/ and test/, the one that fits its row counts.
    """
    check_components(components)
    branch = np.full((len(prefixes), len(components)), MISSING, np.int8)
    digest = hashlib.sha256()
    problems: list[Problem] = []
    other_names: dict[tuple[int, int], str] = {}
    strangers: list[str] = []
    for column, component in enumerate(components):
        found = _locate_component(root, component, prefixes, pattern, part)
        branch[:, column] = found.branch
        problems += found.problems
        strangers += sorted(found.strangers)
        other_names |= {(row, column): name for row, name in found.other_names.items()}
        digest.update(f"{component}\0".encode() + found.stamps.tobytes() + found.branch.tobytes())
    digest.update("\0".join(prefixes).encode("utf-8", "surrogatepass"))
    notes = (*_notes(other_names, prefixes, components), *_of_no_row(strangers))
    return Located(branch, digest.hexdigest(), tuple(problems), other_names, notes)


@dataclass(frozen=True, slots=True)
class _Files:
    """The images of one component."""

    branch: NDArray[np.int8]  # (M,)
    stamps: NDArray[np.int64]  # (M, 3) size, modified, changed
    other_names: dict[int, str]
    problems: list[Problem]
    strangers: set[str]  # paths of pictures that belong to no row of the CSV


def _locate_component(
    root: Path, component: str, prefixes: Sequence[str], pattern: str, part: NDArray[np.int8] | None
) -> _Files:
    before, after = around_prefix(pattern, component)
    wanted = {f"{before}{prefix}{after}": row for row, prefix in enumerate(prefixes)}
    found = _Files(np.full(len(prefixes), MISSING, np.int8), np.zeros((len(prefixes), 3), np.int64), {}, [], set())

    def place(row: int, index: int, entry: os.DirEntry[str]) -> bool:
        """Take a file for a design's image, unless one that fits its row better is known; whether it was taken."""
        if found.branch[row] != MISSING and not _fits(index, part, row):
            return False
        status = _regular(entry)
        if isinstance(status, str):
            path = relative_path(index, component, entry.name)
            found.problems.append(Problem(path, None, status, "put an image file there"))
            return False
        found.stamps[row] = status.st_size, status.st_mtime_ns, status.st_ctime_ns
        found.branch[row] = index
        return True

    folders = [(index, root / name / component) for index, name in enumerate(BRANCHES)]
    folders = [(index, folder) for index, folder in folders if folder.is_dir()]
    if not folders:
        found.problems.append(_missing_folder(root, component))
    others: list[tuple[int, os.DirEntry[str]]] = []  # pictures that are called as none is expected to be
    for index, folder in folders:
        for entry in entries(folder):
            row = wanted.get(entry.name)
            if row is not None:
                place(row, index, entry)
            elif is_picture(entry.name):
                others.append((index, entry))
    found.strangers.update(relative_path(index, component, entry.name) for index, entry in others)
    lacking = found.branch == MISSING
    if not others or not lacking.any():
        return found
    taken: dict[tuple[int, int], str] = {}  # by branch and design
    for row, index, entry in _near(others, wanted, lacking):
        if (index, row) in taken:
            path = relative_path(index, component, entry.name)
            what = f"and {taken[index, row]} are both called nearly as {prefixes[row]!r} is"
            found.problems.append(Problem(path, None, what, "rename one as the CSV says"))
        taken[index, row] = entry.name
        if place(row, index, entry):
            found.other_names[row] = entry.name
            found.strangers.remove(relative_path(index, component, entry.name))
    return found


def _near(
    others: Sequence[tuple[int, os.DirEntry[str]]], wanted: Mapping[str, int], lacking: NDArray[np.bool_]
) -> Iterator[tuple[int, int, os.DirEntry[str]]]:
    """(design, branch, file) of files that are called nearly as an image which is lacking."""
    near = {_key(name): row for name, row in wanted.items()}
    if len(near) < len(wanted):  # two designs differ in nothing else: only exact names tell them apart
        return
    for index, entry in sorted(others, key=lambda other: (other[0], other[1].name)):
        row = near.get(_key(entry.name))
        if row is not None and lacking[row]:
            yield row, index, entry


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What a folder holds, as the system lists it.

    Raises:
        DataError: it cannot be listed.
    """
    try:
        with os.scandir(folder) as found:
            yield from found
    except OSError as error:
        raise DataError(f"{folder} cannot be listed: {error.strerror}", "check its permissions") from None


def _regular(entry: os.DirEntry[str]) -> os.stat_result | str:
    """What is known of a regular file, links followed; else what is wrong."""
    try:
        status = entry.stat()
    except FileNotFoundError:
        return "is a link to nothing"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if stat.S_ISREG(status.st_mode):
        return status
    return "is a folder" if stat.S_ISDIR(status.st_mode) else "is no regular file"


def _key(name: str) -> str:
    """What names of one design have in common: case, accents, blanks around the parts, leading zeros apart."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", re.sub(r"\s+(?=[_.])", "", fold(name)))


def near_names(root: Path, component: str, prefix: str, pattern: str) -> list[str]:
    """Files of a component that are called somewhat like a missing one."""
    import difflib

    names = [
        name
        for branch in BRANCHES
        if (root / branch / component).is_dir()
        for name in listing(root / branch / component)
        if is_picture(name)
    ]
    return difflib.get_close_matches(file_name(pattern, prefix, component), names[:5000], n=2, cutoff=0.8)


def _notes(other: dict[tuple[int, int], str], prefixes: Sequence[str], components: Sequence[str]) -> tuple[str, ...]:
    if not other:
        return ()
    (row, column), name = next(iter(other.items()))
    rows = len({row for row, _ in other})
    return (
        f"{rows} designs are named nearly as their files, and taken for them: {prefixes[row]!r} is "
        f"{components[column]}/{name}",
    )


def _of_no_row(strangers: Sequence[str]) -> tuple[str, ...]:
    if not strangers:
        return ()
    are = "images are" if len(strangers) > 1 else "image is"
    return (f"{len(strangers):,} {are} of no design that the CSV names, and not used: {min(strangers)}",)


def _fits(branch: int, part: NDArray[np.int8] | None, row: int) -> bool:
    return part is not None and PART_OF_BRANCH[branch] == part[row]


def _missing_folder(root: Path, component: str) -> Problem:
    there = ", ".join(component_folders(root)) or "none"
    hint = f"component folders found: {there}; set data.component_dirs to the ones you want"
    return Problem(component, None, f"there is no folder {component} (nor train/{component})", hint)
