"""A named pipe where a file should be: a command that opened it would wait for ever. It says so, and ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ENTRY = "from epurecli.cli import main; main()"


def epure(folder: Path, *argv: object) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", ENTRY, *map(str, argv)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def place(work: Path, designs: Path, tmp_path: Path) -> Path:
    """A data set, a run and a config to be broken."""
    run = next((work / "outputs" / "vae").iterdir())
    shutil.copytree(run, tmp_path / "run")
    shutil.copy(run / "config.yaml", tmp_path / "my.yaml")
    (tmp_path / "wanted.csv").write_text("width_px\n55\n")
    return tmp_path


RUN = ("sample", "vae", "--mode", "unconditional", "--num-samples", 1, "--checkpoint", "run", "--out", "s")
WANTED = (*RUN[:2], "--mode", "conditional", "--conditions-csv", "wanted.csv", *RUN[6:])
CHECK = ("data", "check", "designs")
CASES = {
    "my.yaml": ("train", "vae", "--config", "my.yaml"),
    "wanted.csv": WANTED,
    "designs/performances.csv": CHECK,
    "designs/train/crown/tyre_000_crown.png": CHECK,
    "run/run.json": RUN,
    "run/config.yaml": RUN,
    "run/best.safetensors": RUN,
    "run/state.safetensors": ("train", "vae", "--resume", "run"),
    "run/metrics.csv": ("evaluate", "vae", "--checkpoint", "run", "--num-samples", 10, "--out", "report"),
}

QUICK = ("my.yaml", "designs/performances.csv", "run/run.json")  # the rest in `make test-all`


@pytest.mark.parametrize("file", [f if f in QUICK else pytest.param(f, marks=pytest.mark.slow) for f in CASES])
def test_a_pipe_is_no_file(place: Path, file: str) -> None:
    path = place / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    done = epure(place, *CASES[file])
    assert "Traceback" not in done.stderr
    assert "fault of epure" not in done.stderr
    assert done.returncode in (1, 2, 4), done.stderr
    assert path.name in done.stderr + done.stdout
