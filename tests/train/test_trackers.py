"""`epure train --mlflow`, `--tensorboard`: what a real database and a real folder of artefacts hold afterwards."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from epurecli.checkpoint import read_metrics
from epurecli.config import load_config
from epurecli.config.compare import leaves
from epurecli.models.registry import schema_of
from epurecli.training.trackers import SETTINGS

ENTRY = "from epurecli.cli import main; main()"
TINY = ("--config", "vae_toy_test", "--set", "data.toy.count=80")


@pytest.fixture(autouse=True)
def _own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(key, raising=False)
    for key, value in SETTINGS.items():  # also where this process is the first to import it
        monkeypatch.setenv(key, value)


def tracked(folder: Path, experiment: str = "epure"):
    """(client, runs) of the database that a training left in its working folder."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    return client, client.search_runs([client.get_experiment_by_name(experiment).experiment_id])


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_mlflow_has_the_config_the_curves_and_the_run_folder(epure, tmp_path: Path) -> None:
    result = epure("train", "vae", *TINY, "--set", "training.epochs=3", "--mlflow", cwd=tmp_path)
    assert result.code == 0, result.err
    assert "warning" not in result.err
    folder = tmp_path / result.out.removeprefix("run: ").strip()
    client, (run,) = tracked(tmp_path)
    assert (run.info.status, run.info.run_name) == ("FINISHED", folder.name)
    config = load_config(folder / "config.yaml", schema_of)
    assert run.data.params == {key: str(value) for key, value in leaves(config.model_dump(mode="json"))}
    rows = read_metrics(folder)
    for name in ("train_elbo", "val_recon", "lr"):
        history = client.get_metric_history(run.info.run_id, f"vae/{name}")
        assert [m.step for m in history] == [row["step"] for row in rows]
        assert [m.value for m in history] == pytest.approx([row[name] for row in rows], rel=1e-5)
    (artefacts,) = (tmp_path / "mlruns").glob("*/*/artifacts")
    assert contents(artefacts) == contents(folder)
    assert {"best.safetensors", "curves.png", "run.json"} <= contents(artefacts).keys()


def test_a_server_that_cannot_be_used_is_refused_before_anything_is_made(epure, monkeypatch, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'text.db'}")
    result = epure("train", "vae", *TINY, "--mlflow", cwd=tmp_path)
    assert result.code == 1
    assert "text.db cannot be used: " in result.err
    assert "hint: look at MLFLOW_TRACKING_URI" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["text.db"]


def test_a_password_in_an_address_is_not_shown(epure, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://user:secret@host/x")
    result = epure("train", "vae", *TINY, "--mlflow", cwd=tmp_path)
    assert result.code == 1
    assert "nowhere://host/x" in result.err
    assert "secret" not in result.err


def test_a_refused_training_leaves_no_database(epure, tmp_path: Path) -> None:
    result = epure("train", "vae", *TINY, "--set", "model.image_size=[8,8]", "--mlflow", cwd=tmp_path)
    assert result.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_database_that_fails_later_is_told_once_and_training_goes_on(tmp_path: Path) -> None:
    from epurecli.api.engines import parse_device
    from epurecli.api.training import Start, resolve, run_training
    from epurecli.training.reporter import Silent
    from epurecli.training.trackers import Several, to_mlflow

    class Breaks(Silent):
        def epoch(self, row, improved) -> None:
            with sqlite3.connect(tmp_path / "mlflow.db") as database:
                database.execute("DROP TABLE IF EXISTS metrics")

    said: list[str] = []

    class Hears:
        def warn(self, text: str) -> None:
            said.append(text)

        def note(self, text: str) -> None: ...

        def progress(self, what: str, done: int, total: int) -> None: ...

    config = resolve("vae", "vae_toy_test", overrides=["data.toy.count=80", "training.epochs=4"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        trackers = []

        def watch(folder: Path):
            trackers.append(to_mlflow(Hears())(folder, config).__enter__())
            return Several(*trackers, Breaks())

        folder = run_training(config, parse_device("cpu"), Start(out=tmp_path / "runs"), watch=watch)
        trackers[0].__exit__(None, None, None)
    assert len(read_metrics(folder)) == 4
    assert len(said) == 1
    assert said[0].startswith("MLflow is told no more of this run: ")


@pytest.mark.parametrize(
    ("flag", "module"), [("mlflow", "mlflow"), ("mlflow", "alembic"), ("tensorboard", "torch.utils.tensorboard")]
)
def test_without_the_package_the_extra_is_named(flag: str, module: str, epure, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = epure("train", "vae", *TINY, f"--{flag}", cwd=tmp_path)
    assert result.code == 2
    assert f"pip install 'epurecli[{flag}]'" in result.err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_tensorboard_has_the_curves(epure, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = epure("train", "vae", *TINY, "--tensorboard", cwd=tmp_path)
    assert result.code == 0, result.err
    folder = tmp_path / result.out.removeprefix("run: ").strip()
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    rows = read_metrics(folder)
    for name in ("train_elbo", "val_recon"):
        found = events.Scalars(f"vae/{name}")
        assert [event.step for event in found] == [row["step"] for row in rows]
        assert [event.value for event in found] == pytest.approx([row[name] for row in rows], rel=1e-5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that another process can catch")
def test_a_run_that_goes_on_goes_on_in_mlflow(epure, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sweep 1")
    argv = ["train", "vae", *TINY, "--set", "training.epochs=40", "--mlflow"]
    process = subprocess.Popen(
        [sys.executable, "-c", ENTRY, *argv], cwd=tmp_path, env=os.environ, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if line.startswith("epoch"):
            process.send_signal(signal.SIGTERM)
            break
    process.stderr.read()
    assert process.wait(60) == 143
    _, (stopped,) = tracked(tmp_path, "sweep 1")
    assert stopped.info.status == "KILLED"
    (folder,) = (tmp_path / "outputs" / "vae").iterdir()
    result = epure("train", "vae", "--resume", folder, "--mlflow", cwd=tmp_path)
    assert result.code == 0, result.err
    client, (run,) = tracked(tmp_path, "sweep 1")
    assert (run.info.run_id, run.info.status) == (stopped.info.run_id, "FINISHED")
    history = client.get_metric_history(run.info.run_id, "vae/train_elbo")
    assert [m.step for m in history] == [row["step"] for row in read_metrics(folder)]
