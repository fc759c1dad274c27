"""The batch scripts of docs/slurm, run by bash as Slurm runs them; `scontrol` only writes down what it was asked."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epurecli.checkpoint import load_tensors

SCRIPTS = Path(__file__).parents[2] / "docs" / "slurm"
TINY = ("--config", "vae_toy_test", "--set", "data.toy.count=160")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash and signals"),
]


@pytest.fixture
def batch(tmp_path: Path):
    """Start a script of docs/slurm as a job: `batch("train.sh", *arguments, SLURM_JOB_ID=...)`."""
    commands = tmp_path / "commands"
    commands.mkdir()
    entry = "from epurecli.cli import main; main()"
    (commands / "epure").write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{entry}" "$@"\n')
    (commands / "scontrol").write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/asked"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    for script in SCRIPTS.iterdir():
        shutil.copy(script, work)
    paths = {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"}

    def start(script: str, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        around = os.environ | paths | variables
        return subprocess.Popen(
            ["bash", script, *arguments],
            cwd=work,
            env=around,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    return start


def digest(jobs: Path) -> list[str]:
    (run,) = jobs.iterdir()
    return [load_tensors(run / f"{name}.safetensors")[1]["sha256"] for name in ("best", "last")]


@pytest.mark.parametrize("stops", [1, 2])
def test_a_job_whose_time_is_up_is_queued_again_and_ends_as_if_it_never_stopped(stops: int, batch, tmp_path) -> None:
    argv = ("vae", *TINY, "--set", "training.epochs=12")
    for _ in range(stops):
        job = batch("train.sh", *argv, SLURM_JOB_ID="7")
        for line in job.stderr:
            if line.startswith("epoch"):
                job.send_signal(signal.SIGTERM)  # to the batch shell alone, as --signal=B: says
                break
        _, said = job.communicate(timeout=60)
        assert job.returncode == 0, said
        assert "stopped; continue with" in said
    assert (tmp_path / "asked").read_text() == "requeue 7\n" * stops
    last = batch("train.sh", *argv, SLURM_JOB_ID="7")
    assert last.wait(60) == 0, last.stderr.read()
    whole = batch("train.sh", *argv, SLURM_JOB_ID="8")
    assert whole.wait(60) == 0, whole.stderr.read()
    jobs = tmp_path / "work" / "jobs"
    assert digest(jobs / "7") == digest(jobs / "8")
    assert (tmp_path / "asked").read_text() == "requeue 7\n" * stops


def test_a_job_that_is_refused_ends_and_is_not_queued_again(batch, tmp_path: Path) -> None:
    job = batch("train.sh", "vae", "--config", "vae_toi", SLURM_JOB_ID="7")
    _, said = job.communicate(timeout=60)
    assert job.returncode == 4
    assert "did you mean 'vae_toy'?" in said
    assert not (tmp_path / "asked").exists()


def test_a_sweep_trains_each_model_with_each_seed_and_is_compared(batch, tmp_path: Path) -> None:
    work = tmp_path / "work"
    variables = {"MODELS": "vae wgan_gp", "SEEDS": "2", "SLURM_ARRAY_JOB_ID": "40"}
    for task in range(3):
        tiny = ("--set", "data.toy.count=80", "--set", "training.epochs=1")
        name = ("vae", "wgan_gp")[task // 2]
        job = batch(
            "sweep.sh", "--config", f"{name}_toy_test", *tiny,
            SLURM_JOB_ID=f"{41 + task}", SLURM_ARRAY_TASK_ID=str(task), **variables,
        )  # fmt: skip
        _, said = job.communicate(timeout=60)
        assert job.returncode == 0, said
    job = batch("compare.sh", "sweep-40", "--num-samples", "16", SLURM_JOB_ID="45")
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    report = json.loads((work / "reports" / "sweep-40-45" / "report.json").read_text())
    trained = [json.loads(path.read_text())["model"] for path in sorted(work.glob("sweep-40/*/*/run.json"))]
    assert trained == ["vae", "vae", "wgan_gp"]
    assert [run["model"] for run in report["reports"]] == trained


def test_an_array_of_samples_draws_different_designs_and_none_twice(batch, run_of, tmp_path: Path) -> None:
    run = run_of("vae")
    argv = ("sample.sh", "vae", "--checkpoint", str(run), "--mode", "unconditional", "--num-samples", "4")
    out = tmp_path / "work" / "samples" / "9"
    written = []
    for task in ("0", "1", "0"):  # the last is queued again though it had ended
        job = batch(*argv, SLURM_ARRAY_JOB_ID="9", SLURM_ARRAY_TASK_ID=task)
        _, said = job.communicate(timeout=60)
        assert job.returncode == 0, said
        written.append({path: path.stat().st_mtime_ns for path in out.rglob("*")})
    assert written[1] == written[2]
    sheets = [(out / task / "contact_sheet.png").read_bytes() for task in ("0", "1")]
    assert sheets[0] != sheets[1]
