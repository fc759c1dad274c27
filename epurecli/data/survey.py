"""What can be known about a data folder without decoding images: table, files, sizes, and what is wrong with them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.config.schema import DataConfig
from epurecli.data.conditions import norm_name
from epurecli.data.images import ImageFault, png_size, read_grey
from epurecli.data.layout import BRANCHES, MISSING, Located, file_name, locate, relative_path, require_folder
from epurecli.data.pack import BLOCK, write_block
from epurecli.data.problems import Problem
from epurecli.data.table import Table, read_table

_PROBES = 64  # images whose headers decide what size the set has


@dataclass(frozen=True, slots=True)
class Survey:
    """A data folder, listed."""

    root: Path
    config: DataConfig
    table: Table
    located: Located
    train: NDArray[np.bool_]  # (M,)
    image_size: tuple[int, int]  # of most images; (0, 0) where none could be read
    problems: tuple[Problem, ...]

    def path(self, row: int, column: int) -> str:
        """Image of design `row`, component number `column`, below the root; also where a missing one would be."""
        component = self.config.component_dirs[column]
        name = file_name(self.config.filename_pattern, self.table.prefixes[row], component)
        branch = int(self.located.branch[row, column])
        if branch == MISSING:
            siblings = self.located.branch[row]
            branch = int(siblings.max()) if siblings.max() != MISSING else 0
        return relative_path(branch, component, name)

    def jobs(self, **extra: Any) -> Iterator[dict[str, Any]]:
        """Decoding jobs for `decode_block`, each for at most BLOCK designs."""
        count, components = self.located.branch.shape
        present = self.located.branch != MISSING
        for start in range(0, count, BLOCK):
            rows = range(start, min(start + BLOCK, count))
            files = [self.path(row, c) if present[row, c] else None for row in rows for c in range(components)]
            job = {"root": str(self.root), "files": files, "start": start, "count": len(rows), "components": components}
            yield {**job, "size": self.image_size, **extra}

    def faults(self, results: list[dict[str, Any]]) -> list[Problem]:
        """The problems that decoding found."""
        components = len(self.config.component_dirs)
        return [
            Problem(self.path(i // components, i % components), int(self.table.rows[i // components]), what, hint)
            for result in results
            for i, what, hint in result["faults"]
        ]


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
    located = locate(root, config.component_dirs, table.prefixes, config.filename_pattern, table.train)
    problems = [*table.problems, *located.problems]

    train, split_problems = _split(config, table, located)
    size = _common_size(root, config, table, located)
    listed = Survey(root, config, table, located, train, size, ())
    absent = {problem.file for problem in located.problems}
    for row, column in np.argwhere(located.branch == MISSING):
        if config.component_dirs[column] not in absent:
            hint = "add the image, or take the design's row out of the CSV"
            problems.append(Problem(listed.path(row, column), int(table.rows[row]), "is missing", hint))
    problems += split_problems
    return Survey(root, config, table, located, train, size, tuple(problems))


def _split(config: DataConfig, table: Table, located: Located) -> tuple[NDArray[np.bool_], list[Problem]]:
    """Training flags from the CSV, else from the folders train/ and test/; and what is wrong with them."""
    assert config.csv_path is not None
    file = config.csv_path.name
    train = table.train
    if train is None:
        branch = located.branch.max(axis=1)
        train = branch == BRANCHES.index("train")
        if not (branch > 0).any() and len(train):
            there = ", ".join(table.names)
            what = f"column {config.split_column!r} is missing (the file has {there})"
            hint = "add a column that is True for training designs and False for test ones, or set data.split_column"
            return train, [Problem(file, 1, what, hint)]
    problems = []
    if len(train):
        for name, count in (("training", int(train.sum())), ("test", int((~train).sum()))):
            if not count:
                what = f"column {config.split_column!r} leaves no {name} designs"
                problems.append(Problem(file, None, what, "mark most designs True (training) and some False (test)"))
    return train, problems


def _common_size(root: Path, config: DataConfig, table: Table, located: Located) -> tuple[int, int]:
    """The most frequent (height, width) among images spread over the set."""
    present = np.argwhere(located.branch != MISSING)
    sizes: Counter[tuple[int, int]] = Counter()
    for row, column in present[:: max(1, len(present) // _PROBES)]:
        component = config.component_dirs[column]
        name = file_name(config.filename_pattern, table.prefixes[row], component)
        try:
            sizes[png_size(root / relative_path(int(located.branch[row, column]), component, name))] += 1
        except ImageFault:
            continue
    return sizes.most_common(1)[0][0] if sizes else (0, 0)


def decode_block(job: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: decode images, write them to `folder` (if given) as one block, answer with digest and faults."""
    size = tuple(job["size"])
    block = np.zeros((len(job["files"]), *size), np.uint8)
    root = Path(job["root"])
    faults = []
    for i, file in enumerate(job["files"]):
        if file is None:
            continue  # its absence is known
        try:
            block[i] = read_grey(root / file, size)
        except ImageFault as fault:
            faults.append((i + job["start"] * job["components"], fault.what, fault.hint))
    result: dict[str, Any] = {"digest": hashlib.sha256(block.data).hexdigest(), "faults": faults}
    if "folder" in job:
        offset = job["start"] * job["components"] * size[0] * size[1]
        error = write_block(job["folder"], "images.u8", offset, block)
        if error:
            result["write_error"] = error
    return result
