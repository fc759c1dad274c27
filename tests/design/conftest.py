"""A run that draws tyres well enough to search among them, trained once in about half a minute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import epurecli as epure
from epurecli.data import toy


def figures_of(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(B, 6) by the formulas of the toy tyres."""
    table = toy.measure(images)
    return np.stack([np.asarray(table[name], float) for name in toy.COLUMNS], 1)


@pytest.fixture(scope="session")
def figures() -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    return figures_of


@pytest.fixture(scope="session")
def tyres() -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """600 designs with their figures."""
    images, _ = toy.draw(3, 0, 600)
    return images, figures_of(images)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> epure.Run:
    settings = ("data.toy.count=1600", "training.epochs=30", "model.nf=16", "model.nf_max=64")
    folder = tmp_path_factory.mktemp("design")
    return epure.train("vae_toy_perf", settings=settings, out=folder / "outputs" / "vae")


@pytest.fixture(scope="session")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that draws nothing that could be built."""
    folder = tmp_path_factory.mktemp("quick")
    epure.train("vae_toy_test", settings=("data.toy.count=160", "training.epochs=1"), out=folder / "outputs" / "vae")
    return folder
