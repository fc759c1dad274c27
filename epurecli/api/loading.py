"""Finding a trained model: a run folder, a file in one, or the newest run of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from epurecli.api.run import Run
from epurecli.checkpoint import load_model, newest_run
from epurecli.errors import NotFound, UsageError
from epurecli.listener import QUIET, Listener
from epurecli.models.registry import REGISTRY, entry_of


def load(
    what: str | Path, *, which: Literal["best", "last"] = "best", device: str = "auto", listener: Listener = QUIET
) -> Run:
    """A trained model.

    Args:
        what: a run folder, a .safetensors file in one, or a model's name: its newest finished run under the config's
            output folder.
        which: best or last weights of the run.
        device: where it computes: auto, cpu, cuda, cuda:0, ...

    Raises:
        NotFound: no such run, or none that has finished.
        CheckpointError: missing, damaged or altered files.
    """
    if which not in ("best", "last"):
        raise UsageError(f"which={which!r}: expected best or last")
    if str(what) in REGISTRY:
        return open_run(str(what), which=which, device=device, listener=listener)
    if not Path(what).exists():
        raise NotFound(f"{what}: no such run or checkpoint", hint=f"a run folder, or a model: {', '.join(REGISTRY)}")
    return Run(load_model(Path(what), which), device, listener)


def open_run(
    model: str,
    checkpoint: Path | None = None,
    which: str = "best",
    runs: Path | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    listener: Listener = QUIET,
) -> Run:
    """A run of this model: the checkpoint's, or the newest finished one under `runs` (default: the config's folder).

    Args:
        overrides: `sampling.key=value`, how to draw.

    Raises: NotFound, CheckpointError; UsageError: no such model, or the run of another.
    """
    entry_of(model)
    found = checkpoint or newest_run(runs or runs_folder(model), model)
    return Run(load_model(found, which, expect=model, overrides=overrides), device, listener)


def runs_folder(model: str) -> Path:
    """Where the runs of a model go unless its config says otherwise; every shipped config says this."""
    return Path("outputs") / model
