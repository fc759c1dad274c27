"""A run that was stopped and resumed is the same run: bit for bit the same weights, moments, average and metrics."""

from __future__ import annotations

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
import torch

from epurecli.checkpoint import load_tensors, read_metrics, save_tensors
from epurecli.config import RunConfig, load_config, shipped
from epurecli.data.dataset import open_dataset
from epurecli.errors import CheckpointError
from epurecli.models.registry import REGISTRY, schema_of
from epurecli.training.loop import Stopped, train
from epurecli.training.state import generator, load_state

TIMES = ("seconds", "designs_per_s")


def config_of(name: str, *overrides: str) -> RunConfig:
    return load_config(f"{name}_toy_test", schema_of, ["data.toy.count=88", *overrides])


def stop_after(steps: int):
    """A stop request that comes after some batches."""
    asked = []
    return lambda: asked.append(1) or len(asked) == steps


def assert_same_run(one: Path, other: Path) -> None:
    for name in ("best", "last", "state"):
        (a, facts_a), (b, facts_b) = (load_tensors(f / f"{name}.safetensors") for f in (one, other))
        assert a.keys() == b.keys()
        for key in a:
            assert torch.equal(a[key], b[key]), f"{name}: {key}"
        if name != "state":
            assert facts_a == facts_b
    rows_a, rows_b = (
        [{k: v for k, v in row.items() if k not in TIMES} for row in read_metrics(f)] for f in (one, other)
    )
    assert rows_a == rows_b


def run_through(config: RunConfig, make_run, new_model) -> Path:
    run = make_run(new_model(config), data=open_dataset(config.data))
    train(run)
    return run.folder


def run_with_stops(config: RunConfig, stops: list[int], make_run, new_model) -> Path:
    data = open_dataset(config.data)
    run = make_run(new_model(config), data=data)
    resume = False
    for steps in stops:
        with pytest.raises(Stopped):
            train(run, resume=resume, stop_requested=stop_after(steps))
        run = make_run(
            new_model(config, seed=99), folder=run.folder, data=data
        )  # another process: nothing is left over
        torch.rand(11)
        resume = True
    train(run, resume=True)
    return run.folder


@pytest.mark.parametrize("name", [n for n in sorted(REGISTRY) if f"{n}_toy_test" in shipped()])
def test_a_stop_in_the_middle_of_an_epoch_leaves_no_trace(name: str, make_run, new_model) -> None:
    config = config_of(name)
    whole = run_through(config, make_run, new_model)
    assert_same_run(whole, run_with_stops(config, [4], make_run, new_model))


@pytest.mark.parametrize("stops", [[1], [3], [5], [1, 1, 1]], ids=str)
def test_a_stop_anywhere_leaves_no_trace(stops: list[int], make_run, new_model) -> None:
    """Three batches an epoch: after the first, the last, in the second epoch, and three times; with dropout and EMA."""
    config = config_of("vae", "model.dropout_p=0.3", "training.scheduler=plateau")
    whole = run_through(config, make_run, new_model)
    assert_same_run(whole, run_with_stops(config, stops, make_run, new_model))


@pytest.mark.parametrize("stops", [[4], [8]], ids=str)
def test_a_stop_in_another_stage_leaves_no_trace(stops: list[int], make_run, new_model) -> None:
    prior = "model.latent_prior={kind: flow, epochs: 2, hidden: 8, layers: 2, batch_size: 32}"
    config = config_of("vae", prior)
    whole = run_through(config, make_run, new_model)
    assert_same_run(whole, run_with_stops(config, stops, make_run, new_model))


def test_the_same_seed_gives_the_same_run_and_another_seed_another(make_run, new_model, dataset) -> None:
    config = config_of("vae")
    assert_same_run(run_through(config, make_run, new_model), run_through(config, make_run, new_model))
    other = make_run(new_model(config), seed=1)
    train(other)
    a = load_tensors(run_through(config, make_run, new_model) / "last.safetensors")[0]
    b = load_tensors(other.folder / "last.safetensors")[0]
    assert not all(torch.equal(a[k], b[k]) for k in a)


def test_training_leaves_torchs_own_generator_as_it_was(make_run, new_model) -> None:
    run = make_run(new_model(config_of("vae", "model.dropout_p=0.3")))
    state = torch.get_rng_state()
    train(run)
    assert torch.equal(torch.get_rng_state(), state)


def test_resuming_a_finished_run_changes_nothing(make_run, new_model) -> None:
    config = config_of("vae")
    folder = run_through(config, make_run, new_model)
    before = (folder / "best.safetensors").read_bytes(), (folder / "metrics.csv").read_bytes()
    train(make_run(new_model(config, seed=5), folder=folder), resume=True)
    assert ((folder / "best.safetensors").read_bytes(), (folder / "metrics.csv").read_bytes()) == before


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "state.safetensors", {"x": torch.zeros(1)}, {"progress": "{}"})
    with pytest.raises(CheckpointError, match="not a training state"):
        load_state(tmp_path / "state.safetensors")


def test_generators_have_their_purpose() -> None:
    draws = {
        purpose: torch.rand(1, generator=generator(0, *purpose)).item()
        for purpose in (("order", 0, 0), ("order", 0, 1), ("order", 1, 0), ("noise", 0), ("validate",), ("order", 0))
    }
    assert len(set(draws.values())) == len(draws)
    assert torch.rand(1, generator=generator(0, "noise", 0)).item() == draws[("noise", 0)]
    assert torch.rand(1, generator=generator(1, "noise", 0)).item() != draws[("noise", 0)]


# The process kills itself: at a moment, or at its n-th touch of a file in the run folder, also in the middle of a save.
DYING = """
import os, signal, sys, threading
from epurecli.training import loop
loop.SAVE_EVERY_S = 0.0  # save after every epoch, not at most every half minute
how, when = sys.argv[1], float(sys.argv[2])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
if how == "moment":
    threading.Thread(target=lambda: (threading.Event().wait(when), die()), daemon=True).start()
if how == "file":
    touched = []
    def watch(event, arguments):
        if event in ("open", "os.rename") and "runs" in str(arguments[0]):
            touched.append(event)
            if len(touched) == int(when):
                die()
    sys.addaudithook(watch)
sys.argv = ["epure", *sys.argv[3:]]
from epurecli.cli import main; main()
"""
TRAIN = ("train", "gmrf_mvae")
FRESH = ("--config", "gmrf_mvae_toy_test", "--set", "training.epochs=6", "--set", "data.toy.count=160", "--out", "runs")


@pytest.mark.slow  # some twenty processes, each of a few seconds
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="SIGKILL is POSIX")
def test_twenty_sudden_deaths_leave_no_trace(tmp_path: Path, run_python) -> None:
    """Killed at random moments and at random touches of its files, a run is resumed until it ends."""

    def run_dying(how: str, when: float, *arguments: str) -> int:
        done = run_python(DYING, how, str(when), *TRAIN, *arguments, cwd=tmp_path)
        assert done.code in (0, -signal.SIGKILL), done.err
        return done.code

    assert run_dying("never", 0, *FRESH) == 0
    (alone,) = (tmp_path / "runs").iterdir()
    alone = alone.rename(tmp_path / "alone")
    rng, deaths, endings = random.Random(0), 0, 0
    for attempt in range(100):
        left = [folder for folder in (tmp_path / "runs").iterdir() if (folder / "state.safetensors").is_file()]
        start = ("--resume", f"runs/{left[0].name}") if left else FRESH  # dead before its first save: begin again
        how, when = ("file", rng.randint(1, 60)) if attempt % 2 else ("moment", rng.uniform(0.1, 1.5))
        if run_dying(how if deaths < 20 else "never", when, *start) == 0:
            ended = max((tmp_path / "runs").iterdir())
            assert_same_run(alone, ended)
            shutil.rmtree(tmp_path / "runs")
            (tmp_path / "runs").mkdir()
            endings += 1
            if deaths >= 20:
                break
        else:
            deaths += 1
    assert deaths >= 20
    assert endings
