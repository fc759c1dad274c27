"""A working folder with runs that the library itself has trained. Trained once, read by all."""

from __future__ import annotations

from pathlib import Path

import pytest

import epurecli as epure


@pytest.fixture(scope="session")
def settings() -> tuple[str, ...]:
    """Of a run that takes a second."""
    return ("data.toy.count=160", "training.epochs=1")


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory, settings: tuple[str, ...]) -> Path:
    """Where `outputs/vae` holds a run."""
    folder = tmp_path_factory.mktemp("api")
    epure.train("vae_toy_test", settings=settings, out=folder / "outputs" / "vae")
    return folder


@pytest.fixture
def run(work: Path, monkeypatch: pytest.MonkeyPatch) -> epure.Run:
    """The newest run, found as a notebook in that folder finds it."""
    monkeypatch.chdir(work)
    return epure.load("vae")
