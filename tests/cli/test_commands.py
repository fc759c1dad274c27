"""The commands that only say something; stopping and resuming in a process of its own; quiet, help, version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from epurecli import __version__
from epurecli.checkpoint import load_tensors
from epurecli.config import load_config, shipped
from epurecli.models.registry import REGISTRY, build, schema_of
from epurecli.types import Mode

ENTRY = "from epurecli.cli import main; main()"


def test_count_params(epure) -> None:
    result = epure("count-params", "--json")
    assert result.code == 0
    rows = {row["config"]: row for row in json.loads(result.out)}
    assert set(rows) == set(shipped())
    full = rows["vae_epure_full"]
    assert (full["model"], full["total"], full["trainable"], full["frozen"]) == ("vae", 4_213_765, 4_213_765, 0)
    assert (full["claim"], full["met"]) == ("9.77 M ± 1 %", False)
    assert rows["vae_epure_matched"]["met"] is True
    assert rows["vae_toy"]["claim"] is None


def test_count_params_by_hand() -> None:
    """The plan's VAE, layer by layer: 3 x 3 convolutions with bias, shortcuts without."""
    from epurecli.models.counting import count_config

    def conv(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> int:
        return inputs * outputs * size * size + bias * outputs

    def block(inputs: int, outputs: int) -> int:
        hidden = min(inputs, outputs)
        shortcut = conv(inputs, outputs, 1, bias=False) if inputs != outputs else 0
        return conv(inputs, hidden) + conv(hidden, outputs) + shortcut

    widths = [32, 64, 128, 256]
    trunk = block(32, 32) + sum(block(a, b) for a, b in pairwise(widths))
    back = block(32, 32) + sum(block(b, a) for a, b in pairwise(widths))
    flat = 256 * 8 * 4
    encoder = conv(5, 32) + trunk + flat * 64 + 64
    decoder = (32 + 256) * flat + flat + back + conv(32, 5)
    conditioning = 2 * 128 + 128 + 128 * 256 + 256 + 256
    assert count_config("vae_epure_full").total == encoder + decoder + conditioning


@pytest.mark.parametrize("name", [n for n in sorted(shipped()) if n.endswith("_toy_test")])
def test_count_params_counts_what_is_built(name: str, epure) -> None:
    config = load_config(name, schema_of)
    row = next(r for r in json.loads(epure("count-params", config.model.type, "--json").out) if r["config"] == name)
    model = build(config)
    total = sum(p.numel() for p in model.parameters())
    assert row["total"] == row["to_sample"] + row["training_only"] == total
    assert row["trainable"] + row["frozen"] == row["to_sample"]


def test_count_params_of_one_model_as_a_table(epure) -> None:
    result = epure("count-params", "vae")
    assert result.code == 0
    assert "4,213,765" in result.out
    assert "gmrf" not in result.out


def test_models(epure) -> None:
    rows = json.loads(epure("models", "--json").out)
    assert [row["model"] for row in rows] == list(REGISTRY)
    for row in rows:
        assert set(row["modes"]) <= {mode.value for mode in Mode}
        assert f"{row['model']}_toy" in row["configs"]
    assert "vae_epure_full" in epure("models").out


def test_doctor(epure) -> None:
    result = epure("doctor", "--json")
    found = json.loads(result.out)
    assert result.code == (1 if found["faults"] else 0)
    assert found["facts"]["torch"] == torch.__version__
    assert {"python", "numpy", "gaussian backend", "onnx runtime", "cache"} <= found["facts"].keys()


def test_help_lists_every_command(epure) -> None:
    result = epure("--help")
    assert result.code == 0
    for command in ("train", "sample", "outline", "count-params", "doctor", "models", "data"):
        assert f" {command} " in result.out
        assert epure(command, "--help").code == 0


def test_version(epure) -> None:
    assert epure("--version").out == f"epure {__version__}\n"


def test_quiet_prints_results_only(epure, work: Path, tmp_path: Path) -> None:
    argv = ("sample", "vae", "--mode", "unconditional", "--num-samples", 1, "--out", tmp_path / "out")
    result = epure("--quiet", *argv, cwd=work)
    assert (result.code, result.out, result.err) == (0, f"samples: {tmp_path / 'out'}\n", "")


def test_make_toy_then_train_on_it(epure, tmp_path: Path) -> None:
    result = epure("data", "make-toy", "toys", "--count", 40, "--seed", 1, cwd=tmp_path)
    assert (result.code, result.out) == (0, "data: toys\n")
    assert epure("data", "check", "toys", cwd=tmp_path).out.endswith("no problems: 40 designs, 200 images\n")
    result = epure("data", "describe", "toys", "--out", "data.yaml", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "width_px" in result.out
    assert (tmp_path / "data.yaml").is_file()
    one_epoch = ("--set", "training.epochs=1")
    result = epure("train", "vae", "--config", "vae_toy_test", *one_epoch, "--data", "toys", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "31 designs to train, 4 to validate, 5 to test" in result.err


def test_a_fault_of_the_program_is_not_blamed_on_the_user(run_python) -> None:
    code = "from epurecli.cli import main, models\nmodels.models.__code__ = (lambda json=False: 1 / 0).__code__\nmain()"
    result = run_python(code, "models")
    assert result.code == 1
    assert "this is a fault of epure" in result.err
    assert "Traceback" not in result.err
    assert "ZeroDivisionError" in run_python(code, "--debug", "models").err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that another process can catch")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "interrupt"])
def test_a_stopped_run_resumes_to_the_same_weights(number: signal.Signals, epure, tmp_path: Path) -> None:
    """Killed politely in the middle, the state is on disk; `--resume` ends where a run that nobody stopped ends."""
    argv = ["train", "vae", "--config", "vae_toy_test", "--set", "data.toy.count=320", "--set", "training.epochs=6"]
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, *argv, "--out", "stopped"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("epoch"):
            process.send_signal(number)
            break
    said = process.stderr.read()
    assert process.wait(60) == 128 + number, said
    (run,) = (tmp_path / "stopped").iterdir()
    assert f"--resume {Path('stopped') / run.name}" in said
    assert not json.loads((run / "run.json").read_text())["finished"]
    assert (run / "state.safetensors").is_file()

    assert epure("sample", "vae", "--runs", "stopped", cwd=tmp_path).code == 4
    result = epure("train", "vae", "--resume", Path("stopped") / run.name, cwd=tmp_path)
    assert result.code == 0, result.err
    result = epure(*argv, "--out", "whole", cwd=tmp_path)
    assert result.code == 0, result.err
    (whole,) = (tmp_path / "whole").iterdir()
    for name in ("best", "last"):
        a, b = (load_tensors(folder / f"{name}.safetensors")[0] for folder in (run, whole))
        assert all(torch.equal(a[key], b[key]) for key in a), name


def test_a_pipe_that_closes_early_is_no_fault(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, "models"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    process.stdout.close()
    said = process.stderr.read().decode()
    process.wait(60)
    assert "Traceback" not in said
    assert "fault of epure" not in said


def test_a_budget_is_for_the_whole_run() -> None:
    """In the command and in the YAML alike; its stages share it."""
    from epurecli.api.training import resolve
    from epurecli.models.registry import build
    from epurecli.training.schedule import stage_budget

    config = resolve("vae", "vae_toy", overrides=["model.latent_prior=flow"], budget="2m")
    assert config == resolve("vae", "vae_toy", overrides=["model.latent_prior=flow", "training.budget_s=120"])
    stages = build(config).stages()
    assert [stage_budget(config.training.budget_s, stages, i) for i in (0, 1)] == pytest.approx([90, 30])


@pytest.mark.parametrize("posterior", ["assembled", "conjugate"])
def test_designs_that_lack_components_train_every_posterior(posterior: str, epure, tmp_path: Path) -> None:
    """An assembled one learns from whole designs alone, and says how many it leaves out."""
    assert epure("data", "make-toy", "toys", "--count", 60, cwd=tmp_path).code == 0
    (tmp_path / "toys" / "bt" / "toy_0000003_bt.png").unlink()
    (tmp_path / "toys" / "fpu" / "toy_0000009_fpu.png").unlink()
    settings = ("--set", f"model.posterior={posterior}", "--set", "training.epochs=1")
    result = epure("train", "gmrf_mvae", "--config", "gmrf_mvae_toy_test", *settings, "--data", "toys", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "2 of 60 designs lack some components (bt 1, fpu 1;" in result.err
    assert ("2 designs that lack components are left out" in result.err) == (posterior == "assembled")


def test_a_config_that_states_its_conditions_number_takes_data_with_others(tmp_path: Path) -> None:
    """What a shipped file says of its own columns is no statement about yours; what you say yourself is."""
    from epurecli.api.training import resolve
    from epurecli.data.toy import make_toy
    from epurecli.errors import ConfigError

    make_toy(tmp_path / "toys", 60, 0)
    config = resolve("vae", "vae_epure_matched", tmp_path / "toys")
    assert len(config.data.condition_columns) == 6
    assert config.model.cond_dim in (None, 6)
    with pytest.raises(ConfigError, match=r"model.cond_dim is 2, but data.condition_columns names 6"):
        resolve("vae", "vae_epure_matched", tmp_path / "toys", ["model.cond_dim=2"])
