"""Several processes train one model: the loss curve, the weights and the files of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epurecli.checkpoint import load_tensors, read_metrics, read_run
from epurecli.config.latent import LatentRunConfig
from epurecli.models.registry import REGISTRY, schema_of
from epurecli.ranks import Ranks

# Rows are summed in another order, and Adam divides tiny gradients by their own size: rounding grows from step to step.
TOLERANCE = 1e-4

GRADIENTS = """
import copy, sys, torch
from epurecli.config import load_config
from epurecli.config.latent import LatentRunConfig
from epurecli.data.dataset import open_dataset
from epurecli.models.registry import build, schema_of
from epurecli.models.contract import set_trainable
from epurecli.nn.step import Step
from epurecli.ranks import connect
from epurecli.training.ranks import TrainingRanks
from epurecli.types import Batch

torch.set_default_dtype(torch.float64)
ranks = TrainingRanks(connect(2, 1, torch.device("cpu")))
for name in sys.argv[1:]:
    flow = ["model.latent_prior.kind=flow"] if issubclass(schema_of(name), LatentRunConfig) else []
    book = ["model.quantizer.kind=ema"] if name == "vqvae" else []  # its codebook is learned from all rows
    config = load_config(f"{name}_toy_test", schema_of, ["data.toy.count=20", *flow, *book])
    with ranks.first():
        data = open_dataset(config.data)
    torch.manual_seed(0)
    alone = build(config)
    for module in alone.modules():
        if isinstance(module, torch.nn.Dropout | torch.nn.Dropout2d):
            module.p = 0.0
    shared = copy.deepcopy(alone)
    ranks.prepare(shared)
    batch = data.batch(data.train[:7])
    batch = Batch(batch.image.double(), batch.condition.double())
    mine = ranks.rows(7)
    part = Batch(batch.image[mine], batch.condition[mine])
    for one, two in zip(alone.stages(), shared.stages(), strict=True):
        for own, joint in zip(one.objectives, two.objectives, strict=True):
            for model, objective in ((alone, own), (shared, joint)):
                set_trainable(model, objective)
            told = one.settings, one.settings.epochs - 1, 3
            own.loss(one.view(batch), Step(torch.Generator().manual_seed(1), *told)).total.backward()
            step = ranks.step(torch.Generator().manual_seed(1), 7, *told)
            loss = ranks.loss(joint)
            ranks.backward(loss(two.view(part), step).total, len(part), step)
            others = dict(shared.named_parameters())
            for key, weight in alone.named_parameters():
                if weight.grad is not None:
                    torch.testing.assert_close(others[key].grad, weight.grad, rtol=1e-8, atol=1e-8, msg=f"{name} {key}")
            learned = dict(shared.named_buffers())
            for key, tensor in alone.named_buffers():
                torch.testing.assert_close(learned[key], tensor, rtol=1e-8, atol=1e-8, msg=f"{name} {key}")
            print(name, objective.name, "agrees")
ranks.wait()
"""


class Rank(Ranks):
    def __init__(self, index: int, count: int) -> None:
        super().__init__()
        self.index, self.count = index, count


@given(whole=st.integers(1, 50), count=st.integers(1, 9))
def test_ranks_share_every_row_once_and_evenly(whole: int, count: int) -> None:
    parts = [range(whole)[Rank(index, count).rows(whole)] for index in range(count)]
    assert [row for part in parts for row in part] == list(range(whole))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


class Trainer:
    """Runs `epure train` in a process of its own, which starts the others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, model: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "epurecli", "train", model, *options]

    def __call__(self, model: str, *options: str, code: int = 0) -> subprocess.CompletedProcess:
        done = subprocess.run(
            self.command(model, *options), cwd=self.folder, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == code, done.stderr
        return done

    def run(self, model: str, *options: str) -> Path:
        """The run folder."""
        return self.folder / self(model, *options).stdout.split("run: ")[1].strip()


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    return Trainer(tmp_path)


def latent(model: str) -> bool:
    return issubclass(schema_of(model), LatentRunConfig)


def small(model: str, *more: str) -> list[str]:
    """Few designs in batches that no number of processes divides, a flow, no dropout (each rank draws its own), and
    no bfloat16, whose rounding is larger than what the tests look for."""
    stages = {"meta_vae": ["stage1.", "stage2."], "vqvae": ["autoencoder.", "prior."]}.get(model, [""])
    keys = {"epochs": 3, "batch_size": 15, "lr": 1e-4}
    settings = [f"training.{stage}{k}={v}" for stage in stages for k, v in keys.items()]
    if model != "mmvaeplus":  # which sees all parts
        settings += [f"training.{stages[-1]}max_mask_prob=0.7"]
    settings += [
        "training.precision=fp32",
        "data.toy.count=80",
    ]
    if latent(model):
        settings += [f"model.latent_prior.{key}" for key in ("kind=flow", "epochs=2", "batch_size=16", "lr=1e-3")]
    if model == "wgan_gp":
        settings += ["training.critic.lr=1e-4"]
    if model == "vae":
        settings += ["model.dropout_p=0"]
    return ["--config", f"{model}_toy_test", *(part for text in (*settings, *more) for part in ("--set", text))]


def test_gradients_and_learned_moments_are_those_of_the_whole_batch(trainer: Trainer) -> None:
    """In float64, seven designs on two processes, every objective of every model."""
    script = trainer.folder / "gradients.py"
    script.write_text(GRADIENTS)
    done = subprocess.run([sys.executable, str(script), *sorted(REGISTRY)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("agrees") == 2 * (
        2 + 3 + 2 + 2 + 3 + 2 + 2
    )  # four with a flow, three of one stage, two of two


@pytest.mark.parametrize("model", [pytest.param(name, marks=pytest.mark.slow) for name in sorted(REGISTRY)])
def test_the_curve_does_not_depend_on_how_many_train(model: str, trainer: Trainer) -> None:
    one, two = (trainer.run(model, *small(model), "--devices", str(count)) for count in (1, 2))
    ours, theirs = read_metrics(one), read_metrics(two)
    assert [row["stage"] for row in ours] == [row["stage"] for row in theirs]
    assert len({row["stage"] for row in ours}) == 1 + latent(model) + (model in ("meta_vae", "vqvae"))
    for row, other in zip(ours, theirs, strict=True):
        for key in row.keys() - {"stage", "seconds", "designs_per_s"}:
            assert other[key] == pytest.approx(row[key], rel=TOLERANCE, abs=TOLERANCE), (
                row["stage"],
                row["epoch"],
                key,
            )
    assert (read_run(one)["host"]["processes"], read_run(two)["host"]["processes"]) == (1, 2)


@pytest.mark.slow
def test_two_processes_stop_together_and_go_on(trainer: Trainer) -> None:
    """SIGTERM to the one that people see: the state is whole, and resuming ends where an uninterrupted run does."""
    settings = [*small("vae", "training.epochs=30"), "--devices", "2"]
    whole = trainer.run("vae", *settings)
    process = subprocess.Popen(
        trainer.command("vae", *settings, "--out", "stopped"), cwd=trainer.folder, stderr=subprocess.PIPE, text=True
    )
    while "epoch   2" not in (line := process.stderr.readline()):
        assert line, "ended too early"
    process.send_signal(signal.SIGTERM)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert rest.count("continue with: epure train vae --resume") == 1
    (folder,) = (trainer.folder / "stopped").iterdir()
    assert not read_run(folder)["finished"]
    trainer("vae", "--resume", str(folder), "--devices", "2")
    drop = {"seconds", "designs_per_s"}
    curves = [[{k: v for k, v in row.items() if k not in drop} for row in read_metrics(f)] for f in (whole, folder)]
    assert curves[0] == curves[1]
    digests = [load_tensors(f / "best.safetensors")[1]["sha256"] for f in (whole, folder)]
    assert digests[0] == digests[1]


def test_a_failure_is_told_once(trainer: Trainer) -> None:
    done = trainer("vae", *small("vae", "training.lr=1e30"), "--devices", "2", code=5)
    assert done.stderr.count("error:") == 1
    assert "the loss is" in done.stderr
    assert "Traceback" not in done.stderr


FAILING = """
import torch
from epurecli.cli.ranks import joined
from epurecli.errors import NumericalError
from epurecli.ranks import Ranks

with joined("2", 1, torch.device("cpu"), Ranks, "training") as (ranks, device):
    if ranks.index == 1:
        raise NumericalError("row 3 has no factor")
    ranks.wait()
"""


@pytest.mark.slow
def test_what_fails_in_one_process_alone_is_told_there(trainer: Trainer) -> None:
    script = trainer.folder / "failing.py"
    script.write_text(FAILING)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    assert "NumericalError: row 3 has no factor" in done.stderr
    assert "process 0 of 2: the connection to another process was lost" in done.stderr


@pytest.mark.slow
def test_a_lost_process_ends_the_others(trainer: Trainer) -> None:
    process = subprocess.Popen(
        trainer.command("vae", *small("vae", "training.epochs=100000"), "--devices", "2"),
        cwd=trainer.folder, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while "epoch   1" not in (line := process.stderr.readline()):
        assert line, "ended too early"
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGKILL)
    rest = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "training ended in process 0 of 2: the connection to another process was lost" in rest
    assert "--resume" not in rest  # nothing has been saved so early


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_that_waits_for_another_machine(number: int, trainer: Trainer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        trainer.command("vae", *small("vae"), "--devices", "2", "--num-nodes", "2"),
        cwd=trainer.folder, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"},
    )  # fmt: skip
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (child := children.read_text().split()):
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode == 128 + number
    assert not Path("/proc", child[0]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("stale", [{"NODE_RANK": "1"}, {"LOCAL_RANK": "0"}, {"WORLD_SIZE": "4", "LOCAL_RANK": "2"}])
def test_ranks_that_a_shell_still_holds_are_forgotten(stale: dict[str, str], trainer: Trainer) -> None:
    done = subprocess.run(
        trainer.command("vae", *small("vae", "training.epochs=1"), "--devices", "2"),
        cwd=trainer.folder, capture_output=True, text=True, timeout=100, env={**os.environ, **stale},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_torchrun_may_start_the_processes(trainer: Trainer) -> None:
    arguments = ["--standalone", "--nproc-per-node", "2", "-m", "epurecli", "train", "vae", *small("vae")]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *arguments],
        cwd=trainer.folder, capture_output=True, text=True, timeout=200, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("run: ") == 1
    folder = trainer.folder / done.stdout.split("run: ")[1].strip()
    facts = json.loads((folder / "run.json").read_text())
    assert facts["finished"]
    assert facts["host"]["processes"] == 2
    assert len(list(folder.parent.iterdir())) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", "none"], "expected a number of processes, or auto"),
        (["--devices", "0"], "expected a number of processes, or auto"),
        (["--devices", "2", "--set", "training.batch_size=1"], "2 processes cannot share a batch of 1 designs"),
        (["--num-nodes", "2"], "the environment names no MASTER_ADDR"),
    ],
)
def test_what_cannot_be_is_said(options: list[str], message: str, trainer: Trainer) -> None:
    done = trainer("vae", *small("vae"), *options, code=2)
    assert message in " ".join(done.stderr.split())
    assert done.stderr.count("error:") == 1
    assert not list(trainer.folder.glob("outputs/*"))
