"""The exported folder: it appears complete and verified, or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from epurecli.checkpoint import TrainedModel, read_run
from epurecli.errors import EpureError, UsageError
from epurecli.export.convert import OPSET, to_onnx
from epurecli.export.manifest import MANIFEST, describe_graph, describe_model, read_manifest
from epurecli.export.verify import compare
from epurecli.models.contract import GenerativeModel
from epurecli.models.graphs import Content, Graph
from epurecli.nn.noise import generator_noise
from epurecli.pictures.crisp import crisp
from epurecli.staging import staged
from epurecli.types import Query
from epurecli.version import __version__

EXAMPLE = "example.py"
EXAMPLES = 16  # designs that graphs are tried with
OnProgress = Callable[[str, int, int], None]  # what is done next, with graph number .. (from 1) of ..


def export_folder(
    trained: TrainedModel,
    out: Path,
    *,
    names: Collection[str] = (),
    opset: int = OPSET,
    ir_version: int | None = None,
    verify: bool = True,
    overwrite: bool = False,
    report: OnProgress = lambda what, number, total: None,
) -> dict[str, Any]:
    """Write a model's graphs, manifest.json and example.py. Returns the manifest.

    Args:
        names: only these graphs (default: all that the model has).
        ir_version: of the files (default: the oldest that has the operators, which old runtimes read).

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
    completes = any(port.content is Content.IMAGE for graph in graphs for port in graph.inputs)
    designs = drawn_by(trained.model) if verify and completes else None
    with staged(out, _replaceable(out, overwrite), last=MANIFEST) as folder:
        for number, graph in enumerate(graphs, start=1):
            report(f"{graph.name}: converting", number, len(graphs))
            model = to_onnx(graph, opset, {**inside, "graph": graph.name}, ir_version)
            data = model.SerializeToString()
            parity = []
            if verify:
                report(f"{graph.name}: checking against torch", number, len(graphs))
                parity = compare(graph, model, designs)
            (folder / f"{graph.name}.onnx").write_bytes(data)
            facts["graphs"][graph.name] = describe_graph(graph, data, parity)
        if "sampler" in facts["graphs"]:
            shutil.copyfile(Path(__file__).with_name(EXAMPLE), folder / EXAMPLE)
        (folder / MANIFEST).write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return facts


def drawn_by(model: GenerativeModel) -> Tensor:  # (K, C, H, W)
    """Some designs that a model draws freely, in black and white: what its graphs may be given parts of."""
    noise = generator_noise(torch.Generator().manual_seed(0), EXAMPLES, 1, model.device)
    free = torch.zeros(EXAMPLES, model.cond_dim, device=model.device), torch.zeros(EXAMPLES, 1, device=model.device)
    return torch.from_numpy(crisp(model.generate(Query(*free), noise)[0].cpu().numpy()))


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


def _replaceable(out: Path, overwrite: bool) -> Callable[[Path], None]:
    """A check of what stands at `out`: nothing, or (with `overwrite`) an earlier export and nothing else."""

    def check(found: Path) -> None:
        if not found.is_dir():
            raise UsageError(f"--out {out} is a file, not a folder", hint="name a new folder")
        if not any(found.iterdir()):
            return
        if not overwrite:
            raise UsageError(
                f"--out {out} is not empty", hint="add --overwrite to replace an earlier export, or name a new folder"
            )
        try:
            graphs = {entry["file"] for entry in read_manifest(found)["graphs"].values()}
        except EpureError as error:
            raise UsageError(
                f"--out {out} cannot be overwritten: it is no earlier export", hint="name a new folder"
            ) from error
        strangers = sorted({path.name for path in found.iterdir()} - graphs - {MANIFEST, EXAMPLE, "example"})
        if strangers:
            message = f"--out {out} cannot be overwritten: it holds {strangers[0]}, which no export wrote"
            raise UsageError(message, hint="name a new folder, or move that file")

    return check


def onnx_folder(weights: Path) -> Path:
    """Where `epure export` puts, and `epure sample` looks for, the graphs of a run's weights: onnx/<model>/<run>."""
    run = weights.resolve().parent
    return Path("onnx") / read_run(run)["model"] / run.name
