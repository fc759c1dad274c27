"""What is printed as a command can be typed as it stands, in folders with blanks in their names too."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TINY = ("--config", "vae_toy_test", "--set", "training.epochs=1", "--set", "data.toy.count=80")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, epure) -> tuple[Path, str]:
    """A folder with two runs in `my runs`, and what training said last."""
    folder = tmp_path_factory.mktemp("my work")
    for seed in (0, 1):
        result = epure("train", "vae", *TINY, "--seed", seed, "--out", "my runs", cwd=folder)
        assert result.code == 0, result.err
    return folder, result.err


def typed(said: str, before: str, after: str = "\n") -> list[str]:
    """The arguments of a printed command, as a shell reads them."""
    found = re.search(rf"{re.escape(before)}(epure .*?)(?:{re.escape(after)}|\n|$)", said)
    assert found, said
    return shlex.split(found[1])[1:]


def test_the_next_command_after_training(work: tuple[Path, str], epure) -> None:
    folder, said = work
    result = epure(*typed(said, "next: ", "   (curves"), "--out", "drawn", cwd=folder)
    assert result.code == 0, result.err
    newest = sorted((folder / "my runs").iterdir())[-1]
    assert f"model: {newest.relative_to(folder)}" in result.err


@pytest.mark.slow
def test_graphs_that_are_not_there_or_of_other_weights(work: tuple[Path, str], epure) -> None:
    folder, _ = work
    first, second = sorted((folder / "my runs").iterdir())
    draw = (
        "sample",
        "vae",
        "--mode",
        "unconditional",
        "--num-samples",
        2,
        "--backend",
        "onnx",
        "--onnx-dir",
        "my graphs",
    )
    for weights, hint in (
        (first, "make it: "),
        (second, "export it again: "),
        (first / "last.safetensors", "again: "),
    ):
        asked = (*draw, "--checkpoint", weights.relative_to(folder), "--overwrite", "--out", "through onnx")
        refused = epure(*asked, cwd=folder)
        assert refused.code == 4
        made = epure(*typed(refused.err, hint), cwd=folder)
        assert made.code == 0, made.err
        assert epure(*asked, cwd=folder).code == 0
    assert epure(*typed(made.err, "next: ", ", or python"), cwd=folder).code == 0


def test_a_folder_of_data(work: tuple[Path, str], epure) -> None:
    folder, _ = work
    made = epure("data", "make-toy", "my tyres", "--count", 24, cwd=folder)
    assert typed(made.err, "next: ") == ["train", "vae", "--data", "my tyres"]
    tyres = folder / "my tyres"
    for name in ("one", "two"):
        shutil.copy(tyres / "performances.csv", tyres / f"{name} table.csv")
    (tyres / "performances.csv").unlink()
    refused = epure("train", "vae", *TINY[:4], "--data", "my tyres", cwd=folder)
    setting = shlex.split(refused.err.split("say which one: ")[1])
    assert epure("train", "vae", *TINY[:4], "--data", "my tyres", *setting, "--out", "o", cwd=folder).code == 0
    (tyres / "two table.csv").unlink()
    for path in list((tyres / "bt").iterdir())[:2]:
        path.write_bytes(b"no picture")
    refused = epure("train", "vae", *TINY[:4], "--data", "my tyres", cwd=folder)
    checked = epure(*shlex.split(re.search(r"`epure (.*?)`", refused.err)[1]), cwd=folder)
    assert checked.code == 1
    assert "2 problems" in checked.out


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_what_nohup_started_outlives_its_terminal(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "epurecli", "train", "vae", *TINY]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN), env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 0, said
    assert "next: " in said
