"""What the shell offers when somebody presses Tab. It reads names and JSON alone, and where anything is wrong it offers
nothing: a fault that appears in the middle of a line being typed helps nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

OUTPUTS = Path("outputs")  # where every shipped config puts its runs
MAX_BYTES = 1_000_000  # of a run.json
_SPECIAL = re.compile(r"[^\w@%+=:,./-]|^-")  # a shell would take it for more than a name, if it were typed as it stands


def model_names(incomplete: str) -> list[str]:
    """vae, gmrf_mvae, ..."""

    def found() -> Iterable[str]:
        from epurecli.models.registry import REGISTRY

        return REGISTRY

    return _offers(found, incomplete)


def config_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of shipped configs: of the model that stands before, if one does."""

    def found() -> Iterable[str]:
        from epurecli.config.load import shipped

        model = _model(ctx)
        return (name for name in shipped() if model is None or name.startswith(f"{model}_"))

    return _offers(found, incomplete)


def run_folders(ctx: typer.Context, incomplete: str) -> list[str]:
    """Folders of runs: of the model that stands before, if one does."""
    return _offers(lambda: (folder.as_posix() for folder in _runs(ctx)), incomplete)


def models_and_runs(ctx: typer.Context, incomplete: str) -> list[str]:
    """Where a model or one of its runs will do."""
    return [*model_names(incomplete), *run_folders(ctx, incomplete)]


def component_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Components of the run that would be taken."""
    return _offers(lambda: _facts(ctx)["components"], incomplete)


def condition_values(ctx: typer.Context, incomplete: str) -> list[str]:
    """`width_px=45`, `width_px=64`: the ends of what the run was trained on. Two a name, so that a shell stops behind
    the sign that they share."""

    def found() -> Iterator[str]:
        scaler = _facts(ctx)["conditions"]
        for name, *ends in zip(scaler["columns"], scaler["minimum"], scaler["maximum"], strict=True):
            yield from (f"{name}={end:g}" for end in ends)

    return _offers(found, incomplete)


def _offers(found: Callable[[], Iterable[str]], incomplete: str) -> list[str]:
    try:
        return sorted({name for name in found() if name.startswith(incomplete) and not _SPECIAL.search(name)})
    except Exception:  # see above
        return []


def _model(ctx: typer.Context) -> str | None:
    """The model that is named; while the last option waits for its value, it is still among the words left over."""
    from epurecli.models.registry import REGISTRY

    words = (ctx.params.get("model"), ctx.params.get("what"), *ctx.args)
    return next((word for word in words if word in REGISTRY), None)


def _runs(ctx: typer.Context) -> Iterator[Path]:
    model, runs = _model(ctx), ctx.params.get("runs")
    parents = [runs] if runs else [OUTPUTS / model] if model else OUTPUTS.iterdir()
    for parent in parents:
        yield from (file.parent for file in Path(parent).glob("*/run.json"))


def _facts(ctx: typer.Context) -> dict[str, Any]:
    """Of the run that is named, else of the newest of the model."""
    named = ctx.params.get("checkpoint")
    if named is not None:
        folder = Path(named) if Path(named).is_dir() else Path(named).parent
        return _read(folder)
    return max((_read(folder) for folder in _runs(ctx)), key=lambda facts: facts["created"])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    if not path.is_file() or path.stat().st_size > MAX_BYTES:
        raise ValueError(path)
    return json.loads(path.read_text(encoding="utf-8"))
