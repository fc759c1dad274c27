"""The exported folder: it appears complete and verified, or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epurecli import __version__
from epurecli.checkpoint import TrainedModel
from epurecli.errors import EpureError, UsageError
from epurecli.export.convert import OPSET, to_onnx
from epurecli.export.manifest import MANIFEST, describe_graph, describe_model, read_manifest
from epurecli.export.verify import compare
from epurecli.models.graphs import Graph

EXAMPLE = "example.py"
Report = Callable[[str, int, int], None]  # what is done next, with graph number .. (from 1) of ..


def export_folder(
    trained: TrainedModel,
    out: Path,
    *,
    names: Collection[str] = (),
    opset: int = OPSET,
    verify: bool = True,
    overwrite: bool = False,
    report: Report = lambda what, number, total: None,
) -> dict[str, Any]:
    """Write a model's graphs, manifest.json and example.py. Returns the manifest.

    Args:
        names: only these graphs (default: all that the model has).

    Raises:
        UsageError: a graph that the model does not have; `out` is in use.
        EpureError: a graph cannot be exported, or differs from torch; `out` cannot be written.
    """
    graphs = chosen_graphs(trained, names)
    facts: dict[str, Any] = {**describe_model(trained, opset), "graphs": {}}
    inside = {
        "epure": __version__,
        "model": facts["model"],
        "components": json.dumps(facts["components"]),
        "checkpoint_sha256": trained.digest,
    }
    with staged(out, overwrite) as folder:
        for number, graph in enumerate(graphs, start=1):
            report(f"{graph.name}: converting", number, len(graphs))
            model = to_onnx(graph, opset, {**inside, "graph": graph.name})
            data = model.SerializeToString()
            parity = []
            if verify:
                report(f"{graph.name}: checking against torch", number, len(graphs))
                parity = compare(graph, model)
            (folder / f"{graph.name}.onnx").write_bytes(data)
            facts["graphs"][graph.name] = describe_graph(graph, data, parity)
        if "sampler" in facts["graphs"]:
            shutil.copyfile(Path(__file__).with_name(EXAMPLE), folder / EXAMPLE)
        (folder / MANIFEST).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return facts


def chosen_graphs(trained: TrainedModel, names: Collection[str]) -> list[Graph]:
    """Raises: UsageError, naming the graphs there are."""
    graphs = {graph.name: graph for graph in trained.model.graphs()}
    model = trained.config.model.type
    if not graphs:
        raise UsageError(f"{model} has no graphs to export")
    for name in names:
        if name not in graphs:
            raise UsageError(f"{model} has no graph {name!r}", hint=f"it has: {', '.join(graphs)}")
    return [graph for name, graph in graphs.items() if not names or name in names]


@contextmanager
def staged(out: Path, overwrite: bool) -> Iterator[Path]:
    """A hidden folder beside `out` that takes its place when the block ends without an exception.

    Raises: UsageError: `out` is in use; EpureError: it cannot be written.
    """
    out = out.absolute()
    _check_free(out, overwrite)
    folder = out.parent / f".{out.name}.partial-{uuid.uuid4().hex[:12]}"
    made = [parent for parent in out.parents if not parent.exists()]
    try:
        folder.mkdir(parents=True)
        yield folder
        _swap(folder, out)
    except OSError as error:
        hint = "choose an --out folder that you may write to, with enough free space"
        raise EpureError(f"cannot write {error.filename or out}: {error.strerror or error}", hint) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for parent in made:  # innermost first; only what is empty, so nothing once the result stands
            try:
                parent.rmdir()
            except OSError:
                break


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file, not a folder", hint="name a new folder")
    if not any(out.iterdir()):
        return
    if not overwrite:
        raise UsageError(
            f"--out {out} is not empty", hint="add --overwrite to replace an earlier export, or name a new folder"
        )
    try:
        known = {entry["file"] for entry in read_manifest(out)["graphs"].values()} | {MANIFEST, EXAMPLE, "example"}
    except EpureError as error:
        raise UsageError(
            f"--out {out} cannot be overwritten: it is no earlier export", hint="name a new folder"
        ) from error
    strangers = sorted(path.name for path in out.iterdir() if path.name not in known)
    if strangers:
        message = f"--out {out} cannot be overwritten: it holds {strangers[0]}, which no export wrote"
        raise UsageError(message, hint="name a new folder, or move that file")


def _swap(folder: Path, out: Path) -> None:
    """Put `folder` in the place of `out`; an earlier export stays until the new one stands."""
    if not out.exists():
        folder.rename(out)
        return
    old = out.parent / f".{out.name}.replaced-{uuid.uuid4().hex[:12]}"
    out.rename(old)
    try:
        folder.rename(out)
    except OSError:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
