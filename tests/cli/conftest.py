"""A working folder with a trained run of each model, and small data sets on disk. Trained once, read by all."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FIRST = ("gmrf_mvae", "meta_vae", "vae")  # trained at once; the others when a test asks for them


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory, epure) -> Path:
    """A folder in which the first models were trained by `epure train MODEL --config MODEL_toy_test`."""
    folder = tmp_path_factory.mktemp("work")
    for name in FIRST:
        train(epure, name, folder)
    return folder


def train(epure, name: str, folder: Path) -> None:
    result = epure("train", name, "--config", f"{name}_toy_test", "--set", "data.toy.count=160", cwd=folder)
    assert result.code == 0, result.err
    assert result.out.startswith("run: ")


@pytest.fixture(scope="session")
def run_of(work: Path, epure) -> Callable[[str], Path]:
    """The one run of a model in the working folder."""

    def get(name: str) -> Path:
        if not (work / "outputs" / name).exists():
            train(epure, name, work)
        (run,) = (work / "outputs" / name).iterdir()
        return run

    return get


def write_designs(root: Path, count: int = 24, components: tuple[str, ...] = ("carcass", "crown", "wall")) -> Path:
    """A data set as it is found in the wild: RGBA PNGs below train/ and test/, two conditions, no split column."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        branch, prefix = "test" if i % 4 == 3 else "train", f"tyre_{i:03d}"
        width = int(rng.integers(10, 30))
        for c, component in enumerate(components):
            image = np.zeros((64, 32, 4), np.uint8)
            image[10 + 15 * c : 25 + 15 * c, 32 - width :, :3] = 255
            image[..., 3] = 255
            path = root / branch / component / f"{prefix}_{component}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image, "RGBA").save(path)
        rows.append((prefix, 2 * width + 1, int(rng.integers(40, 60)), branch == "train"))
    with (root / "performances.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("matching", "width_px", "height_px", "train"))
        writer.writerows(rows)
    return root


@pytest.fixture(scope="session")
def write_data() -> Callable[..., Path]:
    """`write_designs`, for data of other sizes and names."""
    return write_designs


@pytest.fixture(scope="session")
def wild(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 designs of three components; read only."""
    return write_designs(tmp_path_factory.mktemp("wild") / "data")


@pytest.fixture(scope="session")
def tyres(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 of them, 12 to judge by; read only."""
    return write_designs(tmp_path_factory.mktemp("tyres") / "data", 48)


@pytest.fixture
def designs(tmp_path: Path) -> Path:
    """The same, to be broken."""
    return write_designs(tmp_path / "designs")
