"""Does a graph compute what torch computes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx
import torch
from onnxruntime import InferenceSession
from torch import Tensor

from epurecli.errors import EpureError
from epurecli.export.convert import example_inputs
from epurecli.export.session import open_session
from epurecli.models.graphs import BATCH, DRAWS, Graph
from epurecli.pictures.crisp import changed_owners

BATCHES = (1, 2, 7, 33)
MANY = (1, 2, 7, 33, 129)  # where a share of the designs may differ
HINT = "nothing was written; --no-verify exports it all the same"
TIE = 1e-4  # two claims on a pixel that are nearer than this are one to float32: rounding may decide between them


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest difference between ONNX Runtime and torch at one batch size (see `Graph.tolerance`), and how many designs
    are others altogether, which do not count in it."""

    graph: str
    batch: int
    difference: float
    others: int = 0


def compare(graph: Graph, model: onnx.ModelProto, designs: Tensor | None = None) -> list[Parity]:
    """`onnx.checker`, then the same inputs through torch and through ONNX Runtime's CPU, at several batch sizes.

    Args:
        designs: (K, C, H, W) whose parts are given to graphs that complete some. An encoder that sees what is no
            design answers with latents for which float32 itself is off by more than any tolerance (`docs/onnx.md`).

    Raises:
        EpureError: the checker rejects the model, a shape differs, values differ by more than the graph's tolerance (or
            are NaN), or a pixel changes its owner where the graph promises that none does; where the graph allows
            that of some designs, that more do.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EpureError(f"graph {graph.name!r} is not valid ONNX: {error}") from error
    session = open_session(model.SerializeToString(), cuda=False)
    rng = torch.Generator().manual_seed(0)
    found, seen = [], 0
    for draws, batch in enumerate(BATCHES if graph.share == 1 else MANY, start=1):
        expected, actual = _both(graph, session, {BATCH: batch, DRAWS: draws}, rng, designs)
        if graph.share == 1:
            found.append(Parity(graph.name, batch, _difference(graph, expected, actual, batch)))
            continue
        differences = (actual - expected).abs().flatten(0, -4).amax((-3, -2, -1))  # of each design
        same = differences <= graph.tolerance
        seen += len(same)
        largest = float(differences[same].max()) if same.any() else 0.0
        found.append(Parity(graph.name, batch, largest, int((~same).sum())))
    others = sum(row.others for row in found)
    if others > (1 - graph.share) * seen:
        raise EpureError(f"graph {graph.name!r} draws {others} of {seen} designs otherwise than torch", HINT)
    return found


def _both(
    graph: Graph, session: InferenceSession, sizes: Mapping[str, int], rng: torch.Generator, designs: Tensor | None
) -> tuple[Tensor, Tensor]:
    """What torch and the runtime give for the same inputs. Raises: EpureError: of another shape."""
    inputs = example_inputs(graph, sizes, rng, designs)
    with torch.no_grad():
        expected = graph.module(*inputs)
    feeds = {port.name: value.numpy() for port, value in zip(graph.inputs, inputs, strict=True)}
    actual = torch.from_numpy(session.run([graph.output.name], feeds)[0])
    if actual.shape != expected.shape:
        shapes = f"{tuple(actual.shape)}, torch {tuple(expected.shape)}"
        raise EpureError(f"graph {graph.name!r} at batch {sizes[BATCH]} gives shape {shapes}")
    return expected, actual


def _difference(graph: Graph, expected: Tensor, actual: Tensor, batch: int) -> float:
    """The largest, as the graph's tolerance counts it. Raises: EpureError: a value, or the owner of a pixel, is not as
    promised."""
    where = f"at batch {batch}"
    difference = float((actual - expected).abs().max()) / max(1.0, float(expected.abs().max()))
    if not difference <= graph.tolerance:
        limit = f"(limit {graph.tolerance:g})"
        raise EpureError(f"graph {graph.name!r} differs from torch by {difference:.2g} {where} {limit}", HINT)
    changed = changed_owners(expected.numpy(), actual.numpy(), TIE) if graph.same_owners else 0
    if changed:
        raise EpureError(f"graph {graph.name!r} gives {changed} pixels to another part than torch {where}", HINT)
    return difference
