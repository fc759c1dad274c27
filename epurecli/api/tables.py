"""What a comparison tells of its models beside their figures: sizes, and the runs that were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from epurecli.api.cost import MIB, training_cost
from epurecli.checkpoint import read_run
from epurecli.config import RunConfig, shipped
from epurecli.evaluate.table import Table, Value
from epurecli.models.counting import Count, count, count_config

_MET = {None: None, True: "yes", False: "no"}


def parameter_table(compared: Mapping[str, RunConfig]) -> Table:
    """Parameters of each model as it was compared, and of the plan's configs of the same model.

    Args:
        compared: config of each name.
    """
    rows = []
    for name, config in compared.items():
        kind = config.model.type
        plans = [plan for plan in sorted(shipped()) if plan.startswith(f"{kind}_epure_") and plan != name]
        rows.append(_sizes(kind, "as compared" if name == kind else name, count(config, name)))
        rows += [_sizes(kind, plan, count_config(plan)) for plan in plans]
    text = (
        "What sampling needs is trainable (in the last stage) or frozen; a total above it counts what only training "
        "needs. Planned: the size that the plan states, and whether the config meets it. Public code: the size of the "
        "code that the plan names, with its config for five parts."
    )
    heads = ("model", "config", "total", "trainable", "frozen", "to sample", "planned", "met", "public code")
    return Table("parameters", "Parameters", text, heads, tuple(rows))


def _sizes(model: str, config: str, found: Count) -> tuple[Value, ...]:
    sizes = (found.total, found.trainable, found.frozen, found.to_sample)
    return model, config, *sizes, found.claim, _MET[found.met], found.public


def run_table(runs: Sequence[tuple[str, int, Path]]) -> Table:
    """How each run was trained.

    Args:
        runs: name of what was compared, seed, run folder.

    Raises: CheckpointError.
    """
    rows = []
    for name, seed, folder in runs:
        cost, host = training_cost(folder), read_run(folder).get("host", {})
        memory = None if cost.peak_memory is None else round(cost.peak_memory / MIB)
        took = (cost.best, cost.epochs, cost.designs_per_s, cost.seconds, memory, host.get("threads"))
        rows.append((name, seed, *took, folder.as_posix()))
    text = (
        "Best loss of the last stage; epochs of all stages; designs per second in the stage that took most of the "
        "time; seconds of training steps, without validation and saving; the most memory that training took; threads "
        "that it began with."
    )
    heads = ("model", "seed", "best loss", "epochs", "designs/s", "seconds", "peak MiB", "threads", "run")
    return Table("runs", "Runs", text, heads, tuple(rows))
