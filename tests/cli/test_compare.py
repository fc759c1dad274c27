"""`epure compare --train`: what stands is not trained again, what was stopped goes on, and figures are those of the
runs."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import pytest

from epurecli.api.comparing import Training, plan_trainings, standing
from epurecli.api.cost import training_cost
from epurecli.checkpoint import read_run
from epurecli.errors import UsageError
from epurecli.files import Lock

ENTRY = "from epurecli.cli import main; main()"
TWO = ("compare", "vae_toy_test", "meta_vae_toy_test", "--train", "--num-samples", 12)


@pytest.fixture
def planned(work: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    """What trained the VAE in the working folder."""
    monkeypatch.chdir(work)
    (training,) = plan_trainings(["vae_toy_test"], [0], settings=["data.toy.count=160"])
    return training


@pytest.fixture
def copied(planned: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of our own with that run in it; we are in it."""
    shutil.copytree("outputs/vae", tmp_path / "outputs" / "vae")
    monkeypatch.chdir(tmp_path)
    (run,) = (tmp_path / "outputs" / "vae").iterdir()
    return run.relative_to(tmp_path)


def test_a_run_stands_for_the_same_config_data_seed_and_budget_alone(planned: Training, copied: Path) -> None:
    found = standing(planned)
    assert found is not None
    assert (found.folder, found.finished) == (copied, True)
    for settings, seed, budget in (
        (["training.lr=1e-3"], 0, None),
        ([], 1, None),
        ([], 0, "5s"),
        (["data.toy.seed=1"], 0, None),
    ):
        (other,) = plan_trainings(["vae_toy_test"], [seed], None, ["data.toy.count=160", *settings], budget)
        assert standing(other) is None
    assert standing(replace(planned, digest="other designs in the same folder")) is None


def test_a_run_that_was_stopped_goes_on_and_one_in_use_is_left_alone(planned: Training, copied: Path) -> None:
    facts = json.loads((copied / "run.json").read_text(encoding="utf-8"))
    (copied / "run.json").write_text(json.dumps(facts | {"finished": False}), encoding="utf-8")
    found = standing(planned)
    assert found is not None
    assert (found.folder, found.finished) == (copied, False)
    with Lock(copied / ".lock", "the run"), pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
        standing(planned)
    (copied / "state.safetensors").unlink()
    assert standing(planned) is None


def test_too_few_designs_to_judge_by_are_refused_before_any_training(wild: Path, epure, tmp_path: Path) -> None:
    result = epure(*TWO, "--data", wild, cwd=tmp_path)
    assert (result.code, result.out) == (2, "")
    assert "test: 6 designs, expected at least 10" in result.err
    assert not list(tmp_path.iterdir())


def test_what_cannot_stand_side_by_side_is_refused(planned: Training, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = (Path(__file__).parents[2] / "configs" / "vae_toy_test.yaml").read_text(encoding="utf-8")
    other.write_text(text.replace("count: 320", "count: 168"), encoding="utf-8")
    with pytest.raises(UsageError, match="train on different data"):
        plan_trainings(["vae_toy_test", str(other)], [0])
    (seed_0, seed_1) = plan_trainings(["vae_toy_test"], [0, 1])
    assert seed_0.config != seed_1.config
    assert (str(seed_1), seed_1.config.training.seed) == ("vae_toy_test, seed 1", 1)


def test_cost_is_that_of_the_stage_that_took_longest(copied: Path) -> None:
    lines = ("stage,epoch,seconds,designs_per_s", "a,1,2,100", "a,2,2,50", "b,1,1,4000")
    (copied / "metrics.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    cost = training_cost(copied)
    assert (cost.epochs, cost.seconds, cost.designs_per_s) == (3, 5.0, 75.0)
    assert cost.best == read_run(copied)["best"]
    assert cost.peak_memory > 50 << 20  # torch alone takes more


@pytest.mark.slow
def test_two_models_from_two_seeds(tyres: Path, epure, tmp_path: Path) -> None:
    """Trained two at a time; the second time nothing is trained or judged; one that is missing is trained alone."""
    argv = (*TWO, "--data", tyres, "--seeds", "0,1", "--jobs", 2)
    result = epure(*argv, "--out", "out", cwd=tmp_path)
    assert result.code == 0, result.err
    runs = sorted(tmp_path.glob("outputs/*/*"))
    assert len(runs) == 4
    for name in ("vae_toy_test", "meta_vae_toy_test"):
        for seed in (0, 1):
            assert re.search(
                rf"^{name}, seed {seed}: loss \S+, \d+ epochs, \S+ designs/s, \d+ s   outputs/", result.err, re.M
            )
    _check_figures(tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for title in ("Ranks", "Parameters", "Runs", "Designs"):
        assert f"<h2>{title}</h2>" in page
    assert page.partition("<h3>Drawn freely</h3>")[2].count("<h4>meta_vae_toy_test</h4>") > 1

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/**/*")}
    again = epure(*argv, "--out", "again", cwd=tmp_path)
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("outputs/**/*")} == before
    assert "training (" not in again.err
    assert "judging" not in again.err
    figures = [json.loads((tmp_path / name / "compare.json").read_text()) for name in ("out", "again")]
    assert figures[0] == figures[1]
    assert [(tmp_path / name / "report.html").read_bytes() for name in ("out", "again")][1] == page.encode()

    gone = next(run for run in runs if "meta_vae" in str(run))
    shutil.rmtree(gone)
    third = epure(*argv, "--out", "third", cwd=tmp_path)
    assert third.code == 0, third.err
    assert third.err.count("training (") == third.err.count("judging ") == 1
    assert set(runs) - {gone} < set(tmp_path.glob("outputs/*/*"))
    assert len(list(tmp_path.glob("outputs/*/*"))) == 4
    assert epure(*TWO, "--data", tyres, "--num-samples", 13, "--out", "other", cwd=tmp_path).err.count("judging ") == 2


def _check_figures(folder: Path) -> None:
    """compare.json and compare.csv against report.json."""
    found = json.loads((folder / "compare.json").read_text(encoding="utf-8"))
    judged = json.loads((folder / "report.json").read_text(encoding="utf-8"))["reports"]
    assert [(r["model"], r["seed"]) for r in judged] == [
        ("vae_toy_test", 0), ("meta_vae_toy_test", 0), ("vae_toy_test", 1), ("meta_vae_toy_test", 1)
    ]  # fmt: skip
    known: dict[tuple[str, ...], list[float]] = {}
    for report in judged:
        for metric in report["metrics"]:
            known.setdefault((report["model"], metric["group"], metric["name"]), []).append(metric["value"])
    assert len(found["figures"]) == len(known)
    for row in found["figures"]:
        values = known[row["model"], row["group"], row["metric"]]
        assert row["seeds"] == len(values) == 2
        if None not in values:
            assert row["mean"] == pytest.approx(fmean(values))
            assert row["spread"] == pytest.approx(stdev(values), abs=1e-9)
    cost = {row["metric"] for row in found["figures"] if row["group"] == "cost"}
    assert cost == {"training speed", "sampling speed", "peak memory of training"}
    assert [(row["model"], row["seed"]) for row in found["runs"]] == [(r["model"], r["seed"]) for r in judged]
    sizes = {row["config"]: row for row in found["parameters"]}
    assert sizes["vae_epure_matched"]["met"] == "yes"
    assert all(row["total"] >= row["to sample"] == row["trainable"] + row["frozen"] for row in sizes.values())
    with (folder / "compare.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == len(found["figures"])


def _held(path: Path) -> bool:
    """Whether a process trains this run."""
    try:
        Lock(path, "").release()
    except UsageError:
        return True
    return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that another process can catch")
def test_stopped_in_the_middle_it_saves_and_goes_on(tyres: Path, epure, tmp_path: Path) -> None:
    argv = [*map(str, TWO), "--data", str(tyres), "--jobs", "2", "--budget", "8s"]
    process = subprocess.Popen([sys.executable, "-c", ENTRY, *argv], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: len(list(tmp_path.glob("outputs/*/*/.lock"))) == 2)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=100)[1]
    assert process.returncode == 128 + signal.SIGINT, said
    assert f"stopped; go on with: epure {' '.join(argv)}" in said
    runs = sorted(tmp_path.glob("outputs/*/*"))
    assert len(runs) == 2
    for run in runs:
        assert not (run / ".lock").exists()
        assert (run / "state.safetensors").is_file()
        assert not read_run(run)["finished"]
    result = epure(*argv, "--out", "out", cwd=tmp_path)
    assert result.code == 0, result.err
    assert result.err.count("goes on with outputs") == 2
    assert sorted(tmp_path.glob("outputs/*/*")) == runs
    assert all(read_run(run)["finished"] for run in runs)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that nobody can catch")
def test_killed_it_leaves_no_training_behind_and_goes_on(tyres: Path, epure, tmp_path: Path) -> None:
    argv = ["compare", "vae_toy_test", "--train", "--data", str(tyres), "--budget", "8s", "--num-samples", "12"]
    process = subprocess.Popen([sys.executable, "-c", ENTRY, *argv], cwd=tmp_path, stderr=subprocess.DEVNULL)
    _wait_for(lambda: bool(list(tmp_path.glob("outputs/*/*/.lock"))))
    time.sleep(1)
    process.kill()
    process.wait()
    (lock,) = tmp_path.glob("outputs/*/*/.lock")
    _wait_for(lambda: not _held(lock), 5)  # long before its time is up
    result = epure(*argv, "--out", "out", cwd=tmp_path)
    assert result.code == 0, result.err
    assert (tmp_path / "out" / "compare.json").is_file()


def _wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_a_training_that_fails_is_told_and_the_others_are_kept(tyres: Path, epure, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "configs" / "vae_toy_test.yaml").read_text(encoding="utf-8")
    wide = text.replace("lr: 2e-3", "lr: 1e30").replace("warmup_steps: 4", "warmup_steps: 0")
    (tmp_path / "wild.yaml").write_text(wide, encoding="utf-8")
    argv = ("compare", "wild.yaml", "vae_toy_test", "--train", "--data", tyres, "--num-samples", 12)
    result = epure(*argv, "--out", "out", cwd=tmp_path)
    assert result.code == 1
    assert "1 of 2 trainings failed:\nwild.yaml, seed 0: " in result.err
    assert "the loss is" in result.err
    assert "vae_toy_test, seed 0: loss" in result.err
    assert not (tmp_path / "out").exists()
    assert result.out == ""
    left = epure("compare", "vae_toy_test", *argv[3:], "--out", "out", cwd=tmp_path)
    assert left.code == 0, left.err
    assert "training (" not in left.err
