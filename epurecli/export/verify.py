"""Does a graph compute what torch computes?"""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import torch

from epurecli.errors import EpureError
from epurecli.export.convert import example_inputs
from epurecli.export.session import open_session
from epurecli.models.graphs import BATCH, DRAWS, Graph
from epurecli.pictures.crisp import changed_owners

BATCHES = (1, 2, 7, 33)
TIE = 1e-4  # two claims on a pixel that are nearer than this are one to float32: rounding may decide between them


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest absolute difference between ONNX Runtime and torch at one batch size."""

    graph: str
    batch: int
    difference: float


def compare(graph: Graph, model: onnx.ModelProto) -> list[Parity]:
    """`onnx.checker`, then the same inputs through torch and through ONNX Runtime's CPU, at several batch sizes.

    Raises:
        EpureError: the checker rejects the model, a shape differs, values differ by more than the graph's tolerance (or
            are NaN), or a pixel changes its owner where the graph promises that none does.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EpureError(f"graph {graph.name!r} is not valid ONNX: {error}") from error
    session = open_session(model.SerializeToString(), cuda=False)
    rng = torch.Generator().manual_seed(0)
    found = []
    for draws, batch in enumerate(BATCHES, start=1):
        inputs = example_inputs(graph, {BATCH: batch, DRAWS: draws}, rng)
        with torch.no_grad():
            expected = graph.module(*inputs)
        feeds = {port.name: value.numpy() for port, value in zip(graph.inputs, inputs, strict=True)}
        actual = torch.from_numpy(session.run([graph.output.name], feeds)[0])
        if actual.shape != expected.shape:
            shapes = f"{tuple(actual.shape)}, torch {tuple(expected.shape)}"
            raise EpureError(f"graph {graph.name!r} at batch {batch} gives shape {shapes}")
        difference = float((actual - expected).abs().max())
        where, hint = f"at batch {batch}", "nothing was written; --no-verify exports it all the same"
        if not difference <= graph.tolerance:
            limit = f"(limit {graph.tolerance:g})"
            raise EpureError(f"graph {graph.name!r} differs from torch by {difference:.2g} {where} {limit}", hint)
        changed = changed_owners(expected.numpy(), actual.numpy(), TIE) if graph.same_owners else 0
        if changed:
            raise EpureError(f"graph {graph.name!r} gives {changed} pixels to another part than torch {where}", hint)
        found.append(Parity(graph.name, batch, difference))
    return found
