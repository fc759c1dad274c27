"""Designs that are only partly drawn: the input of inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from epurecli.data.images import ImageFault, read_grey
from epurecli.data.layout import BRANCHES, check_components, relative_path, require_folder
from epurecli.data.problems import Problem, refuse
from epurecli.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """Parts of M designs."""

    prefixes: tuple[str, ...]
    images: NDArray[np.uint8]  # (M, C, H, W); zero where nothing is observed
    mask: NDArray[np.bool_]  # (M, C), True = observed


def read_observed(
    directory: Path,
    components: Sequence[str],
    image_size: tuple[int, int],
    filename_pattern: str,
    hidden: frozenset[int] = frozenset(),
) -> Observed:
    """Read a folder in the data layout in which any design may lack any component; it needs no CSV.

    Args:
        image_size: the (height, width) that the model was trained on.
        hidden: components that are not to be read, whether they are there or not.

    Raises:
        NotFound: no such folder.
        DataError: no images, images of another size or damaged, or a link that leaves the folder.
    """
    root = require_folder(directory)
    check_components(components)
    found = [_files(root, component, filename_pattern) for component in components]
    prefixes = tuple(sorted(set().union(*found)))
    if not prefixes:
        example = filename_pattern.replace("{component}", components[0])
        raise DataError(
            f"{directory} has no images of the model's components ({', '.join(components)})",
            f"expected files such as {components[0]}/{example.replace('{prefix}', 'NAME')}",
        )
    mask = np.array([[p in files and c not in hidden for c, files in enumerate(found)] for p in prefixes])
    images = np.zeros((*mask.shape, *image_size), np.uint8)
    problems = []
    for row, column in np.argwhere(mask):
        file = found[column][prefixes[row]]
        try:
            if not (root / file).resolve().is_relative_to(root):
                raise ImageFault("is a link that leaves the folder", "copy the image into the folder")
            images[row, column] = read_grey(root / file, image_size)
        except ImageFault as fault:
            problems.append(Problem(file, None, fault.what, fault.hint))
    refuse(directory, problems, listed_by_check=False)
    return Observed(prefixes, images, mask)


def _files(root: Path, component: str, pattern: str) -> dict[str, str]:
    """Prefix -> path below the root of one component's images."""
    before, after = pattern.replace("{component}", component).split("{prefix}", 1)
    found: dict[str, str] = {}
    for branch, name in enumerate(BRANCHES):
        folder = root / name / component
        if folder.is_dir():
            for path in folder.iterdir():
                prefix = path.name[len(before) : len(path.name) - len(after)]
                if prefix and path.name == f"{before}{prefix}{after}" and path.is_file():
                    found.setdefault(prefix, relative_path(branch, component, path.name))
    return found
