"""A torch module -> an ONNX model that holds nothing of the machine it was made on."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from onnx import GraphProto, ModelProto, NodeProto, helper
from torch import Tensor

from epurecli.errors import EpureError, UsageError
from epurecli.export.translate import translations
from epurecli.models.graphs import BATCH, DRAWS, Content, Graph, Port

OPSET = 20  # from 21 on GroupNorm is one node, which ONNX Runtime's CPU runs slower
OPSETS = range(18, 24)
_TRACED = {BATCH: 11, DRAWS: 7}  # no size that a network has: an accidental equality would be taken for a rule


def example_inputs(
    graph: Graph, sizes: Mapping[str, int], rng: torch.Generator, designs: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Inputs such as a sampler gives: noise, images, masks that show something, conditions that some rows lack.

    Args:
        designs: (K, C, H, W) in [0, 1], of which images are some; None: noise, where it need not look like anything.
    """
    shapes = ([sizes[n] if isinstance(n, str) else n for n in port.shape] for port in graph.inputs)
    return tuple(_example(port, shape, rng, designs) for port, shape in zip(graph.inputs, shapes, strict=True))


def _example(port: Port, shape: list[int], rng: torch.Generator, designs: Tensor | None) -> Tensor:
    uniform = torch.rand(shape, generator=rng)
    if port.content is Content.IMAGE and designs is not None:
        uniform = designs[torch.randint(len(designs), shape[:1], generator=rng)]
    match port.content:
        case Content.MASK:
            mask = uniform < 0.5
            mask[~mask.any(1), 0] = True
            return mask
        case Content.PRESENT:
            return (uniform < 0.5).float()
        case Content.IMAGE:
            return (255 * uniform).to(port.dtype) if port.dtype == torch.uint8 else uniform
        case Content.LABEL:
            return (port.high * uniform).to(port.dtype)
        case Content.UNIFORM | Content.TIME:
            return uniform
        case _:
            return torch.randn(shape, generator=rng)


def to_onnx(
    graph: Graph, opset: int = OPSET, facts: Mapping[str, str] | None = None, ir_version: int | None = None
) -> ModelProto:
    """Trace a graph, every string in a port's shape a dynamic axis.

    Args:
        facts: written into the model's own metadata.
        ir_version: of the file (default: the oldest that has the operators).

    Raises:
        UsageError: an opset or file version that is not supported.
        EpureError: an operation that ONNX does not have.
    """
    if opset not in OPSETS:
        raise UsageError(f"--opset {opset}: expected {OPSETS[0]} to {OPSETS[-1]}", hint=f"leave it out for {OPSET}")
    inputs = example_inputs(graph, _TRACED, torch.Generator().manual_seed(0))
    axes = {name: torch.export.Dim(name, min=1) for name in _TRACED}
    shapes: tuple[Any, ...] = tuple(
        {i: axes[n] for i, n in enumerate(p.shape) if isinstance(n, str)} for p in graph.inputs
    )
    kinds = {p.kind for p in inspect.signature(graph.module.forward).parameters.values()}
    if kinds == {inspect.Parameter.VAR_POSITIONAL}:  # one argument in torch's eyes
        shapes = (shapes,)
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                graph.module.eval(),
                inputs,
                dynamo=True,
                external_data=False,
                verbose=False,
                opset_version=opset,
                dynamic_shapes=shapes,
                input_names=[port.name for port in graph.inputs],
                output_names=[graph.output.name],
                custom_translation_table=translations(),
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise EpureError(f"graph {graph.name!r} cannot be exported: {_reason(error)}") from error
    model = program.model_proto
    _check_axes(graph, model)
    clean(model)
    oldest = helper.find_min_ir_version_for(model.opset_import)
    if ir_version is not None and not oldest <= ir_version <= model.ir_version:
        raise UsageError(
            f"--ir-version {ir_version}: operator set {opset} is in files of {oldest} to {model.ir_version}"
        )
    model.ir_version = ir_version or oldest
    for key, value in (facts or {}).items():
        model.metadata_props.add(key=key, value=value)
    return model


def _check_axes(graph: Graph, model: ModelProto) -> None:
    """Raises: EpureError: the trace took the example's size of a dynamic axis for a constant."""
    for port, value in zip((*graph.inputs, graph.output), (*model.graph.input, *model.graph.output), strict=True):
        for axis, dim in zip(port.shape, value.type.tensor_type.shape.dim, strict=True):
            if isinstance(axis, str) and dim.HasField("dim_value"):
                raise EpureError(f"graph {graph.name!r}: axis {axis!r} of {port.name!r} came out as {dim.dim_value}")


def clean(model: ModelProto) -> None:
    """Remove what the exporter leaves of the machine (stack traces, source lines, paths, inferred shapes), and numbers
    that no node reads, about which ONNX Runtime would warn."""
    _forget(model)
    for function in model.functions:
        _forget(function, *function.node)
    _clean(model.graph)
    read = _read(model.graph)
    for unread in [number for number in model.graph.initializer if number.name not in read]:
        model.graph.initializer.remove(unread)


def _clean(graph: GraphProto) -> None:
    """The machine's traces in a graph, and in those within its nodes."""
    graph.ClearField("value_info")  # a reader infers them again
    _forget(graph, *graph.node, *graph.input, *graph.output, *graph.initializer)
    for node in graph.node:
        for inner in _within(node):
            _clean(inner)


def _read(graph: GraphProto) -> set[str]:
    """Names that the nodes of a graph and of those within it read, and its outputs."""
    names = {output.name for output in graph.output}
    for node in graph.node:
        names.update(node.input, *map(_read, _within(node)))
    return names


def _within(node: NodeProto) -> list[GraphProto]:
    """The graphs of a node, such as a loop's body."""
    return [g for a in node.attribute for g in (*([a.g] if a.HasField("g") else []), *a.graphs)]


def _forget(*holders: Any) -> None:
    for holder in holders:
        holder.ClearField("doc_string")
        holder.ClearField("metadata_props")


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's remarks are about torchvision, deprecations and its own attributes: nothing to act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reason(error: BaseException) -> str:
    """The first line of the innermost cause."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0]
