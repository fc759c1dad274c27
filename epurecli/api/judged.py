"""Judgements that are kept: of models that draw in many steps one takes as long as a short training."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from epurecli.api.cost import sampling_speed, training_cost
from epurecli.api.run import Run
from epurecli.evaluate import Report
from epurecli.evaluate.album import Album
from epurecli.evaluate.report import report_from_tree, report_tree
from epurecli.files import open_regular, write_json
from epurecli.version import __version__

NAME = "judged.json"  # in the run folder


@dataclass(frozen=True, slots=True)
class Asked:
    """How a run is judged; see `Run.evaluate`."""

    num_samples: int
    completions: int
    seed: int = 0
    nll: bool = False


def judge(run: Run, asked: Asked, data: Path | None = None) -> Report:
    """What `Run.evaluate` says of a run, and what training and drawing cost. Raises: as `Run.evaluate`."""
    run.listener.note(f"judging {run.trained.path}, epoch {run.trained.epoch}")
    speed = sampling_speed(run.trained, run.device)
    found = run.evaluate(data, **asdict(asked))
    return replace(found, metrics=(*found.metrics, *training_cost(run.path).metrics(), speed))


def judge_once(run: Run, asked: Asked) -> Report:
    """The same on a run's own data, kept in the run folder: where these weights were judged so before, it is read back.

    Raises: as `Run.evaluate`; CannotWrite.
    """
    weights, data = run.trained.digest, run.trained.facts["data"]["digest"]
    question = {"epure": __version__, "weights": weights, "data": data, **asdict(asked)}
    path = run.path / NAME
    found = _kept(path, question)
    if found is None:
        found = judge(run, asked)
        album = None if found.album is None else found.album.tree()
        write_json(path, {"asked": question, "report": report_tree(found), "album": album})
    return found


def _kept(path: Path, question: dict[str, Any]) -> Report | None:
    """None: nothing is kept, or the answer to another question."""
    try:
        with open_regular(path) as file:
            tree = json.load(file)
        if tree["asked"] != question:
            return None
        album = None if tree["album"] is None else Album.from_tree(tree["album"])
        return replace(report_from_tree(tree["report"]), album=album)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
