"""Trackers: where the figures of many runs stand side by side. Each is told what a `Reporter` is told, from the moment
that the run folder is there until the run ends, however it ends."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from epurecli.checkpoint import read_run
from epurecli.config import RunConfig
from epurecli.config.compare import leaves
from epurecli.errors import EpureError, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.training.loop import Stopped
from epurecli.training.reporter import Reporter, Silent, terms

if TYPE_CHECKING:
    from mlflow import MlflowClient

DATABASE = Path("mlflow.db")  # in the working folder, where `mlflow ui` looks; files go to ./mlruns
SETTINGS = {  # of MLflow, unless the user has set them
    "MLFLOW_LOGGING_LEVEL": "WARNING",  # nothing about tables that it makes
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no usage statistics to its makers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # for 14 s: training waits meanwhile
}
BATCH = 100  # parameters that MLflow takes at a time
MADE = "epure.created"  # tag by which a run that goes on is found again

Opener = Callable[[Path, RunConfig], AbstractContextManager[Reporter]]


class Several:
    """A reporter that tells others, one after the other."""

    def __init__(self, *reporters: Reporter) -> None:
        self.reporters = reporters

    def stage(self, plan: Any) -> None:
        for reporter in self.reporters:
            reporter.stage(plan)

    def step(self, epoch: int, batch: int) -> None:
        for reporter in self.reporters:
            reporter.step(epoch, batch)

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None:
        for reporter in self.reporters:
            reporter.epoch(row, improved)


def to_tensorboard() -> Opener:
    """Events in `<run>/tensorboard`. Raises: UsageError: the package is not there."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UsageError(
            "--tensorboard needs the tensorboard package", hint="pip install 'epurecli[tensorboard]'"
        ) from None
    return lambda folder, config: TensorBoard(SummaryWriter(str(folder / "tensorboard")))


class TensorBoard(Silent):
    """Curves, one a stage and term."""

    def __init__(self, writer: Any) -> None:
        self.writer = writer

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None:
        for name, value in terms(row).items():
            self.writer.add_scalar(f"{row['stage']}/{name}", value, row["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.writer.close()


def to_mlflow(listener: Listener = QUIET) -> Opener:
    """A run in MLflow: where MLFLOW_TRACKING_URI says, else in `mlflow.db` here; in the experiment
    MLFLOW_EXPERIMENT_NAME, else `epure`.

    Raises: UsageError: the package is not there; EpureError: the server cannot be used. Nothing was started then.
    """
    for key, value in SETTINGS.items():  # read when it is imported
        os.environ.setdefault(key, value)
    try:
        import alembic  # noqa: F401 - with sqlalchemy what a database needs, which mlflow-skinny goes without
        import sqlalchemy  # noqa: F401
        from mlflow import MlflowClient
    except ImportError:
        raise UsageError("--mlflow needs MLflow", hint="pip install 'epurecli[mlflow]'") from None

    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{DATABASE.absolute().as_posix()}"
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "epure"
    try:
        if (
            "MLFLOW_TRACKING_URI" in os.environ or DATABASE.exists()
        ):  # asking would make it, and training may be refused
            MlflowClient(where).get_experiment_by_name(name)
    except Exception as error:  # whatever its HTTP client or its database raises
        raise EpureError(
            f"MLflow at {_public(where)} cannot be used: {_first_line(error)}", "look at MLFLOW_TRACKING_URI"
        ) from error
    return lambda folder, config: MLflow(where, name, folder, config, listener)


class MLflow(Silent):
    """The config as parameters, the terms of each epoch as metrics, the finished run folder as artefacts.

    A run that goes on (`--resume`) goes on in MLflow too. What fails is told once; training goes on without.
    """

    def __init__(self, where: str, experiment: str, folder: Path, config: RunConfig, listener: Listener) -> None:
        self.where, self.experiment, self.folder, self.config = where, experiment, folder, config
        self.listener = listener
        self.client: MlflowClient
        self.run = ""
        self.lost = False

    def __enter__(self) -> Self:
        self._try(self._begin)
        return self

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None:
        from mlflow.entities import Metric

        now, step = int(time.time() * 1000), int(row["step"])
        values = {**terms(row), "lr": float(row["lr"]), "designs_per_s": float(row["designs_per_s"])}
        metrics = [Metric(_allowed(f"{row['stage']}/{name}"), value, now, step) for name, value in values.items()]
        self._try(lambda: self.client.log_batch(self.run, metrics=metrics))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        status = "FINISHED" if error is None else "KILLED" if isinstance(error, Stopped) else "FAILED"
        if error is None:  # whoever stops a run has no time, and it may go on
            self._try(lambda: self.client.log_artifacts(self.run, str(self.folder)))
        self._try(lambda: self.client.set_terminated(self.run, status))

    def _begin(self) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self.client = MlflowClient(self.where)
        found = self.client.get_experiment_by_name(self.experiment)
        experiment = self.client.create_experiment(self.experiment) if found is None else found.experiment_id
        made = read_run(self.folder)["created"]
        before = self.client.search_runs([experiment], f"tags.`{MADE}` = '{made}'", max_results=1)
        if before:
            self.run = before[0].info.run_id
            self.client.update_run(self.run, "RUNNING")
            return
        tags = {MADE: made, "epure.folder": str(self.folder.absolute())}
        self.run = self.client.create_run(experiment, run_name=self.folder.name, tags=tags).info.run_id
        params = [Param(key, str(value)) for key, value in leaves(self.config.model_dump(mode="json"))]
        for i in range(0, len(params), BATCH):
            self.client.log_batch(self.run, params=params[i : i + BATCH])

    def _try(self, work: Callable[[], object]) -> None:
        if self.lost:
            return
        try:
            work()
        except Exception as error:  # a service that fails must not end hours of work
            self.lost = True
            self.listener.warn(f"MLflow is told no more of this run: {_first_line(error)}")


def _allowed(name: str) -> str:
    """A name of a metric, without the characters that MLflow refuses."""
    return re.sub(r"[^\w/. -]", "_", name)


def _first_line(error: Exception) -> str:
    return _public((str(error).strip() or type(error).__name__).splitlines()[0])


def _public(text: str) -> str:
    """Without the user and password that an address may hold."""
    return re.sub(r"//[^/\s]*@", "//", text)
