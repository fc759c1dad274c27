"""The built-in toy data set: seeded, parametric five-part tyre sections with measured conditions.

A design depends on (seed, index) alone, so any range can be drawn by itself, in any order, on any number of processes.

Conditions are measured from the drawn pixels (A_c = pixels of component c in the half section):

    width_px  = min(64, 2 * occupied columns + 1)      height_px = occupied rows + 1
    mass      = 1.20 A_group_nc + 1.15 A_group_km + 2.50 A_bt + 1.10 A_fpu + 1.60 A_tpc
    d_cons    = 1 - mass / 800                          fuel economy: a light tyre rolls easily
    d_rigid   = (A_bt + 0.25 A_fpu) / height_px / 1.4 - 1       vertical stiffness: belts and sidewall against height
    d_life    = A_group_km / width_px / 3.5 - 1                 tread worn per width of contact
    d_stab    = (A_fpu + 2 A_tpc) width_px / height_px^2 / 4.2 - 1     lateral stability: stiff flanks, wide and low

`_norm`: width_px and height_px divided by 64; the four d_* centred and scaled by the constants below.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from epurecli.data.images import write_grey
from epurecli.data.toy_shape import COMPONENTS, HEIGHT, UNIFORMS, WIDTH, rasterise, shape_from_uniforms
from epurecli.data.workers import processes_for, run_jobs
from epurecli.errors import UsageError
from epurecli.staging import staged

__all__ = [
    "COLUMNS",
    "COMPONENTS",
    "HEIGHT",
    "WIDTH",
    "draw",
    "is_train",
    "make_toy",
    "measure",
    "prefix",
    "with_norms",
]

BLOCK = 512  # designs drawn at once: their scratch arrays stay in the processor's cache
TEST_EVERY = 8  # design 7, 15, 23, ... are for testing
VERSION = 1  # raise it with any change to what is drawn

_DENSITY = {"group_nc": 1.20, "group_km": 1.15, "bt": 2.50, "fpu": 1.10, "tpc": 1.60}
# (mean, standard deviation) of 100,000 designs of seed 0, rounded.
_STATISTICS = {
    "d_cons": (-0.0043, 0.1589),
    "d_rigid": (-0.0063, 0.1722),
    "d_life": (0.0138, 0.1793),
    "d_stab": (-0.0241, 0.1886),
}
COLUMNS = ("width_px", "height_px", *_STATISTICS)  # the raw conditions; each has a `_norm`
_BITS_SET = np.array([value.bit_count() for value in range(256)], np.uint8)

Table = dict[str, NDArray[Any]]


def measure(images: NDArray[np.uint8]) -> Table:
    """Conditions of sections (n, 5, H, W) by the formulas above; pixels from 128 on count as filled."""
    bits = np.packbits(images >= 128, axis=3)  # (n, 5, H, ceil(W / 8)): counting bits is four times faster than bools
    union = np.bitwise_or.reduce(bits, axis=1)
    rows = union.any(axis=2).sum(axis=1)
    columns = _BITS_SET[np.bitwise_or.reduce(union, axis=1)].sum(axis=1, dtype=np.int64)
    areas = _BITS_SET[bits].reshape(len(bits), len(COMPONENTS), -1).sum(axis=2, dtype=np.int64)
    area = dict(zip(COMPONENTS, areas.T, strict=True))
    width = np.minimum(64, 2 * columns + 1)
    height = rows + 1
    mass = sum(_DENSITY[name] * area[name] for name in COMPONENTS)
    return {
        "width_px": width,
        "height_px": height,
        "d_cons": 1.0 - mass / 800.0,
        "d_rigid": (area["bt"] + 0.25 * area["fpu"]) / height / 1.4 - 1.0,
        "d_life": area["group_km"] / width / 3.5 - 1.0,
        "d_stab": (area["fpu"] + 2.0 * area["tpc"]) * width / height**2 / 4.2 - 1.0,
    }


def draw(seed: int, start: int, count: int) -> tuple[NDArray[np.uint8], Table]:
    """Designs start .. start + count - 1 of a seed: images (count, 5, 64, 32), exactly 0 or 255, and conditions."""
    # Philox is counter-based: four 64-bit words a step, one word per uniform double.
    stream = np.random.Philox(key=seed).advance(start * UNIFORMS // 4)
    uniform = np.random.Generator(stream).random((count, UNIFORMS))
    blocks = [rasterise(shape_from_uniforms(uniform[i : i + BLOCK])) for i in range(0, count, BLOCK)]
    tables = [measure(block) for block in blocks]
    table = with_norms({name: np.concatenate([part[name] for part in tables]) for name in COLUMNS})
    table["train"] = is_train(start, count)
    return np.concatenate(blocks), table


def with_norms(table: Table) -> Table:
    """The raw columns and their `_norm` versions."""
    norms = {f"{name}_norm": table[name] / 64.0 for name in ("width_px", "height_px")}
    norms |= {f"{name}_norm": (table[name] - mean) / deviation for name, (mean, deviation) in _STATISTICS.items()}
    return {**table, **norms}


def is_train(start: int, count: int) -> NDArray[np.bool_]:
    """The split of designs start .. start + count - 1."""
    return np.arange(start, start + count) % TEST_EVERY != TEST_EVERY - 1


def prefix(index: int) -> str:
    """The name of a design in the `matching` column and in its files."""
    return f"toy_{index:07d}"


def make_toy(directory: Path, count: int, seed: int, progress: Callable[[str, int, int], None] | None = None) -> None:
    """Write designs as `<directory>/<component>/<prefix>_<component>.png` and `performances.csv`.

    The folder appears when it is complete.

    Raises:
        UsageError: the folder exists and holds something, or no design would be for testing.
        CannotWrite: it cannot be written.
    """
    directory = Path(directory)
    if count < TEST_EVERY:
        raise UsageError(
            f"{count} designs are too few: one in {TEST_EVERY} is for testing", f"ask for at least {TEST_EVERY}"
        )

    def check(found: Path) -> None:
        if not found.is_dir() or any(found.iterdir()):
            raise UsageError(f"{directory} exists and is not empty", "name a new folder, or delete this one first")

    with staged(directory, check, last="performances.csv", hint="name a folder that you may write to") as folder:
        for component in COMPONENTS:
            (folder / component).mkdir()
        _write_all(folder, count, seed, progress)


def _write_all(directory: Path, count: int, seed: int, progress: Callable[[str, int, int], None] | None) -> None:
    import pandas as pd

    step = max(1, min(BLOCK, count // 8))
    written = 0

    def done(job: dict[str, Any]) -> None:
        nonlocal written
        written += job["count"]
        if progress:
            progress("drawing", written, count)

    jobs = (
        {"directory": str(directory), "seed": seed, "start": i, "count": min(step, count - i)}
        for i in range(0, count, step)
    )
    results = run_jobs("epurecli.data.toy:write_block", jobs, done, processes=processes_for(count * len(COMPONENTS)))
    table = {name: np.concatenate([part[name] for part in results]) for name in results[0]}
    frame = pd.DataFrame({"matching": [prefix(i) for i in range(count)], **table})
    leading = ["matching", "train"]
    ordered = frame[leading + [name for name in frame if name not in leading]]
    ordered.to_csv(directory / "performances.csv", index=False)


def write_block(job: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: draw a range and write its PNGs; answers with the table."""
    images, table = draw(job["seed"], job["start"], job["count"])
    directory = Path(job["directory"])
    for row, design in enumerate(images):
        name = prefix(job["start"] + row)
        for component, image in zip(COMPONENTS, design, strict=True):
            write_grey(directory / component / f"{name}_{component}.png", image)
    return {name: values.tolist() for name, values in table.items()}
