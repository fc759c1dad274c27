"""What can be known about a data folder without decoding images: table, files, sizes, and what is wrong with them."""

from __future__ import annotations

import difflib
import hashlib
import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.config.schema import DataConfig
from epurecli.data.conditions import norm_name
from epurecli.data.csv_file import fold
from epurecli.data.images import ImageFault, pad, padded_size, png_size, read_pixels
from epurecli.data.ink import LIGHT, Ink, Pixels, find_ink, oddity
from epurecli.data.layout import (
    BRANCHES,
    MISSING,
    PART_OF_BRANCH,
    Located,
    file_name,
    locate,
    near_names,
    relative_path,
    require_folder,
)
from epurecli.data.pack import BLOCK, write_block
from epurecli.data.problems import Problem
from epurecli.data.split import for_testing
from epurecli.data.table import Part, Table, read_table

_PROBES = 64  # images that decide what size the set has, and what its ink is
_NEAR = 5  # missing images for which a similar name is looked for
_ODD = {
    "blank": "nearly blank (no ink)",
    "full": "nearly full of ink",
    "inverted": "mostly ink, up to the edges, as if it were the negative of the others",
}


@dataclass(frozen=True, slots=True)
class Survey:
    """A data folder, listed."""

    root: Path
    config: DataConfig
    table: Table
    located: Located
    part: NDArray[np.int8]  # (M,) of Part
    image_size: tuple[int, int]  # of most images; (0, 0) where none could be read
    ink: Ink
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()  # what was taken for what

    def path(self, row: int, column: int) -> str:
        """Image of design `row`, component number `column`, below the root; also where a missing one would be."""
        component = self.config.component_dirs[column]
        other = self.located.other_names.get((row, column))
        name = other or file_name(self.config.filename_pattern, self.table.prefixes[row], component)
        branch = int(self.located.branch[row, column])
        if branch == MISSING:
            siblings = self.located.branch[row]
            branch = int(siblings.max()) if siblings.max() != MISSING else self._branch_of(component)
        return relative_path(branch, component, name)

    def _branch_of(self, component: str) -> int:
        """The first branch that has a folder of the component."""
        return next((i for i, name in enumerate(BRANCHES) if (self.root / name / component).is_dir()), 0)

    def jobs(self, **extra: Any) -> Iterator[dict[str, Any]]:
        """Decoding jobs for `decode_block`, each for at most BLOCK designs."""
        count, components = self.located.branch.shape
        present = self.located.branch != MISSING
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            files = [self.path(row, c) if present[row, c] else None for row in rows for c in range(components)]
            job = {"root": str(self.root), "files": files, "start": start, "count": len(rows), "components": components}
            yield {**job, "size": self.image_size, "ink": asdict(self.ink), **extra}

    def faults(self, results: list[dict[str, Any]]) -> list[Problem]:
        """The problems that decoding found."""
        components = len(self.config.component_dirs)
        return [
            Problem(self.path(i // components, i % components), int(self.table.rows[i // components]), what, hint)
            for result in results
            for i, what, hint in result["faults"]
        ]

    def oddities(self, results: list[dict[str, Any]]) -> list[str]:
        """Warnings of images that hold next to nothing, or look like the negative of what the others are."""
        components = len(self.config.component_dirs)
        found = [(kind, self.path(i // components, i % components)) for result in results for i, kind in result["odd"]]
        warnings = []
        for kind, meaning in _ODD.items():
            files = [file for one, file in found if one == kind]
            if files:
                more = f" and {len(files) - 1:,} more" if len(files) > 1 else ""
                warnings.append(f"{files[0]}{more}: {meaning}")
        return warnings


def survey(config: DataConfig) -> Survey:
    """List a folder data set.

    Raises:
        NotFound: no such folder or CSV.
        DataError: the CSV cannot be read at all, or has no prefix column.
    """
    assert config.root_dir is not None
    assert config.csv_path is not None
    root = require_folder(config.root_dir)
    wanted = config.condition_columns
    norms = [norm_name(name) for name in wanted] if config.normalized else []
    table = read_table(config.csv_path, config.prefix_column, config.split_column, wanted, norms)
    located = locate(root, config.component_dirs, table.prefixes, config.filename_pattern, table.part)
    problems = [*table.problems, *located.problems]

    part, split_problems, split_notes = _split(config, table, located)
    listed = Survey(root, config, table, located, part, (0, 0), LIGHT, ())
    listed = replace(listed, image_size=_common_size(listed))
    absent = {problem.file for problem in located.problems}
    missing = located.branch == MISSING
    for row in np.flatnonzero(missing.all(1)) if not absent else ():
        hint = "add its images, or take the design's row out of the CSV"
        component = config.component_dirs[0]
        if len(problems) < _NEAR:
            near = near_names(root, component, table.prefixes[row], config.filename_pattern)
            hint += f"; did you mean {' or '.join(near)}?" if near else ""
        problems.append(Problem(listed.path(row, 0), int(table.rows[row]), "is missing, as are its others", hint))
    problems += split_problems
    lacking = [] if absent else _lacking(listed, missing)
    ink = find_ink(_some_pixels(listed), config.ink)
    notes = [*table.notes, *located.notes, *split_notes, *([f"images: {ink.sentence}"] if ink.sentence else [])]
    size, whole = listed.image_size, padded_size(listed.image_size)
    if whole != size:
        notes.append(f"images of {size[0]} x {size[1]} pixels are padded with paper to {whole[0]} x {whole[1]}")
    return replace(listed, ink=ink, problems=tuple(problems), warnings=(*table.warnings, *lacking), notes=tuple(notes))


def _split(config: DataConfig, table: Table, located: Located) -> tuple[NDArray[np.int8], list[Problem], list[str]]:
    """What each design is for, from the CSV, else from the folders train/, val/ and test/, else by its name; what is
    wrong there, and what was taken for what."""
    assert config.csv_path is not None
    file = config.csv_path.name
    of_folder = np.array(PART_OF_BRANCH, np.int8)[np.maximum(located.branch.max(axis=1), 0)]
    part, problems = table.part, []
    if part is None:
        part = of_folder
        if (part == Part.UNKNOWN).all() and len(part) > 1:
            names = {fold(name): name for name in table.names}
            near = difflib.get_close_matches(config.split_column, names, n=1, cutoff=0.7)
            likely = [*table.splits, *(names[name] for name in near)]
            if config.split_column == DataConfig.model_fields["split_column"].default and not likely:
                held = for_testing(table.prefixes, config.test_share)
                said = (
                    f"{file}: no column and no folders say which designs test: {held.sum():,} of {len(held):,}, "
                    "chosen by their names (data.split_column names a column)"
                )
                return np.where(held, Part.TEST, Part.TRAIN).astype(np.int8), [], [said]
            there = ", ".join(table.names)
            what = f"column {config.split_column!r} is missing (the file has {there})"
            hint = "add a column that is True for training designs and False for test ones, or set data.split_column"
            if likely:
                named = shlex.quote(f"data.split_column={likely[0]}")
                hint = f"if column {likely[0]!r} says what designs are for: --set {named}"
            return part, [Problem(file, 1, what, hint)], []
    else:
        either = (part == Part.VALIDATION) & (of_folder == Part.TRAIN)
        for row in np.flatnonzero((of_folder != Part.UNKNOWN) & (part != Part.UNKNOWN) & (part != of_folder) & ~either):
            folder = BRANCHES[max(located.branch[row].max(), 0)]
            what = f"the CSV says that {table.prefixes[row]!r} is for {_FOR[part[row]]}, its images lie in {folder}/"
            problems.append(Problem(file, int(table.rows[row]), what, "move the images, or mend the row"))
    if len(part):
        for name, count in (("training", (part == Part.TRAIN).sum()), ("test", (part == Part.TEST).sum())):
            if not count:
                what = f"column {config.split_column!r} leaves no {name} designs"
                problems.append(Problem(file, None, what, "mark most designs True (training) and some False (test)"))
    return part, problems, []


_FOR = {Part.TRAIN: "training", Part.VALIDATION: "validation", Part.TEST: "testing"}


def _lacking(listed: Survey, missing: NDArray[np.bool_]) -> list[str]:
    """A warning of designs that lack some components; they train all the same."""
    rows = np.flatnonzero(missing.any(1) & ~missing.all(1))
    if not len(rows):
        return []
    each = ", ".join(
        f"{name} {count:,}" for name, count in zip(listed.config.component_dirs, missing.sum(0), strict=True) if count
    )
    first = listed.path(int(rows[0]), int(missing[rows[0]].argmax()))
    return [
        f"{len(rows):,} of {len(missing):,} designs lack some components ({each}; {first} is missing): they count with "
        "those that they have"
    ]


def _probes(listed: Survey) -> Iterator[Path]:
    """Images spread over the set."""
    present = np.argwhere(listed.located.branch != MISSING)
    for row, column in present[:: max(1, len(present) // _PROBES)]:
        yield listed.root / listed.path(int(row), int(column))


def _some_pixels(listed: Survey) -> Iterator[Pixels]:
    for path in _probes(listed):
        try:
            yield read_pixels(path)
        except ImageFault:
            continue  # whoever decodes the set will say so


def _common_size(listed: Survey) -> tuple[int, int]:
    """The most frequent (height, width) among images spread over the set."""
    sizes: Counter[tuple[int, int]] = Counter()
    for path in _probes(listed):
        try:
            sizes[png_size(path)] += 1
        except ImageFault:
            continue
    return sizes.most_common(1)[0][0] if sizes else (0, 0)


def decode_block(job: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: decode images, write them to `folder` (if given) as one block, answer with digest and faults."""
    size = tuple(job["size"])
    whole = padded_size(size)
    block = np.zeros((len(job["files"]), *whole), np.uint8)
    root = Path(job["root"])
    ink = Ink(**job["ink"])
    faults, odd = [], []
    for i, file in enumerate(job["files"]):
        if file is None:
            continue  # its absence is known
        number = i + job["start"] * job["components"]
        try:
            pixels = read_pixels(root / file, size)
        except ImageFault as fault:
            faults.append((number, fault.what, fault.hint))
            continue
        if ink.exceeds(pixels):
            what = f"has levels up to {pixels.high.max()}, where others of the set end far below"
            faults.append((number, what, "save all images in one way, or set data.ink"))
        image = ink.read(pixels)
        block[i] = pad(image, whole)
        strange = oddity(image)
        if strange:
            odd.append((number, strange))
    result: dict[str, Any] = {"digest": hashlib.sha256(block.data).hexdigest(), "faults": faults, "odd": odd}
    if "folder" in job:
        offset = job["start"] * job["components"] * whole[0] * whole[1]
        error = write_block(job["folder"], "images.u8", offset, block)
        if error:
            result["write_error"] = error
    return result
