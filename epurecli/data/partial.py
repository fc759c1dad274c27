"""Designs that are only partly drawn: the input of inpainting."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.config.schema import DataConfig
from epurecli.data.csv_file import fold
from epurecli.data.images import ImageFault, pad, read_pixels
from epurecli.data.ink import Ink, find_ink
from epurecli.data.layout import (
    BRANCHES,
    around_prefix,
    check_components,
    component_folders,
    file_name,
    is_picture,
    listing,
    relative_path,
    require_folder,
)
from epurecli.data.problems import Problem, refuse
from epurecli.errors import DataError
from epurecli.listener import QUIET, Listener


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Parts of M designs."""

    prefixes: tuple[str, ...]
    images: NDArray[np.uint8]  # (M, C, H, W); zero where nothing is observed
    mask: NDArray[np.bool_]  # (M, C), True = observed


def read_observed(
    directory: Path,
    data: DataConfig,
    image_size: tuple[int, int],
    hidden: frozenset[int] = frozenset(),
    ink: Ink | None = None,
    listener: Listener = QUIET,
) -> Observed:
    """Read a folder in the data layout in which any design may lack any component; it needs no CSV.

    Args:
        data: components, names of files and ink, as the model's own data has them.
        image_size: the (height, width) that the model was trained on.
        hidden: components that are not to be read, whether they are there or not.
        ink: how they are read (default: as `data` says, or as they look).

    Raises:
        NotFound: no such folder.
        DataError: no images, images of another size or damaged, or what is no regular file.
    """
    root, components = require_folder(directory), data.component_dirs
    check_components(components)
    found = [_files(root, component, data.filename_pattern) for component in components]
    prefixes = tuple(sorted(set().union(*found)))
    if not prefixes:
        example = file_name(data.filename_pattern, "NAME", components[0])
        near = difflib.get_close_matches(components[0], component_folders(root), n=1)
        raise DataError(
            f"{directory} has no images of the model's components ({', '.join(components)})",
            f"expected files such as {components[0]}/{example}" + (f"; there is a folder {near[0]}" if near else ""),
        )
    unknown = [name for name in component_folders(root) if name not in components]
    if unknown:
        listener.warn(f"{directory}: folders that are no component of this model are not read: {', '.join(unknown)}")
    mask = np.array([[p in files and c not in hidden for c, files in enumerate(found)] for p in prefixes])
    images = np.zeros((*mask.shape, *image_size), np.uint8)
    problems, decoded = [], {}
    for row, column in np.argwhere(mask):
        file = found[column][prefixes[row]]
        try:
            decoded[row, column] = read_pixels(root / file, image_size, padded=True)
        except ImageFault as fault:
            problems.append(Problem(file, None, fault.what, fault.hint))
    refuse(directory, problems, listed_by_check=False)
    ink = ink or find_ink(decoded.values(), data.ink)
    if ink.sentence:
        listener.note(f"{directory}: images: {ink.sentence}")
    for place, pixels in decoded.items():
        images[place] = pad(ink.read(pixels), image_size)
    return Observed(prefixes, images, mask)


def _files(root: Path, component: str, pattern: str) -> dict[str, str]:
    """Prefix -> path below the root of one component's images."""
    before, after = around_prefix(pattern, component)
    found: dict[str, str] = {}
    for branch, name in enumerate(BRANCHES):
        folder = root / name / component
        if folder.is_dir():
            for file in listing(folder):
                if not is_picture(file):
                    continue
                prefix = file[len(before) : len(file) - len(after)]
                fits = fold(file).startswith(fold(before)) and fold(file).endswith(fold(after))
                if prefix and fits and (folder / file).is_file():
                    found.setdefault(prefix, relative_path(branch, component, file))
    return found
