"""Does a graph compute what torch computes?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
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
TIE = 1e-3  # of a pixel, two claims nearer than a quarter of a grey level are one: rounding may decide between them


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
        EpureError: the checker rejects the model, a shape differs, values differ by more than the graph's limits (or
            are NaN), or a pixel changes its owner where the graph promises that none does; where the graph allows
            that of some designs, that more do.
    """
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise EpureError(f"graph {graph.name!r} is not valid ONNX: {error}") from error
    session = open_session(model.SerializeToString(), cuda=False)
    rng = torch.Generator().manual_seed(0)
    found, held = [], []  # held: the differences of all designs that are the same
    for draws, batch in enumerate(BATCHES if graph.share == 1 else MANY, start=1):
        expected, actual = _both(graph, session, {BATCH: batch, DRAWS: draws}, rng, designs)
        differences = _differences(expected, actual)
        same = differences <= graph.tolerance
        if graph.share == 1:
            _refuse_others(graph, expected, actual, differences, batch)
        found.append(Parity(graph.name, batch, float(differences[same].max(initial=0)), int((~same).sum())))
        held.append(differences[same])
    others, all_same = sum(row.others for row in found), np.concatenate(held)
    seen = others + len(all_same)
    if others > (1 - graph.share) * seen:
        raise EpureError(f"graph {graph.name!r} draws {others} of {seen} designs otherwise than torch", HINT)
    if (typical := float(np.median(all_same))) > graph.typical:
        limit = f"(limit {graph.typical:g})"
        raise EpureError(f"graph {graph.name!r} differs from torch by {typical:.2g} in half of its rows {limit}", HINT)
    return found


def _both(
    graph: Graph, session: InferenceSession, sizes: Mapping[str, int], rng: torch.Generator, designs: Tensor | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """What torch and the runtime give for the same inputs. Raises: EpureError: of another shape."""
    inputs = example_inputs(graph, sizes, rng, designs)
    with torch.no_grad():
        expected = graph.module(*inputs).numpy()
    feeds = {port.name: value.numpy() for port, value in zip(graph.inputs, inputs, strict=True)}
    actual = session.run([graph.output.name], feeds)[0]
    if actual.shape != expected.shape:
        shapes = f"{actual.shape}, torch {expected.shape}"
        raise EpureError(f"graph {graph.name!r} at batch {sizes[BATCH]} gives shape {shapes}")
    return expected, actual


def _differences(expected: NDArray[np.floating], actual: NDArray[np.floating]) -> NDArray[np.floating]:
    """The largest of each row, (..., C, H, W) or (B, N) -> (rows,), relative to the largest value where that is above
    1."""
    inside = tuple(range(-min(3, expected.ndim - 1), 0))
    each = np.abs(actual - expected).max(axis=inside).ravel()
    return each / max(1.0, float(np.abs(expected).max()))


def _refuse_others(
    graph: Graph,
    expected: NDArray[np.floating],
    actual: NDArray[np.floating],
    differences: NDArray[np.floating],
    batch: int,
) -> None:
    """Raises: EpureError: a value, or the owner of a pixel, is not as the graph promises."""
    where, largest = f"at batch {batch}", float(differences.max())
    if not largest <= graph.tolerance:
        limit = f"(limit {graph.tolerance:g})"
        raise EpureError(f"graph {graph.name!r} differs from torch by {largest:.2g} {where} {limit}", HINT)
    changed = changed_owners(expected, actual, TIE) if graph.same_owners else 0
    if changed:
        raise EpureError(f"graph {graph.name!r} gives {changed} pixels to another part than torch {where}", HINT)
