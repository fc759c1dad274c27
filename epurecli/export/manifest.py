"""manifest.json of an exported folder: everything a program needs to call the graphs, and to trust them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError

from epurecli.checkpoint import TrainedModel
from epurecli.errors import CheckpointError, NotFound
from epurecli.export.verify import Parity
from epurecli.models.graphs import Content, Graph, Port
from epurecli.version import __version__

MANIFEST = "manifest.json"
FORMAT = "epure-onnx"
_VERSION = 2
_LIBRARIES = ("torch", "onnx", "onnxscript")


class _Input(BaseModel):
    name: str
    shape: list[Annotated[int, Field(ge=0, strict=True)] | Literal["batch", "draws"]]  # 0: no conditions
    content: Content


class _Graph(BaseModel):
    file: Annotated[str, Field(pattern=r"^\w[\w-]*\.onnx$")]  # beside the manifest, nowhere else
    sha256: str
    inputs: list[_Input]


class _Checkpoint(BaseModel):
    sha256: str


class _Conditions(BaseModel):
    columns: list[str]


class _Facts(BaseModel):
    """What sampling relies on; all else in a manifest is for people."""

    model: str
    components: Annotated[list[str], Field(min_length=1)]
    conditions: _Conditions
    checkpoint: _Checkpoint
    graphs: dict[str, _Graph]


def describe_model(trained: TrainedModel, opset: int) -> dict[str, Any]:
    """What holds for all graphs. No path of this machine is in it."""
    return {
        "format": FORMAT,
        "format_version": _VERSION,
        "model": trained.config.model.type,
        "components": list(trained.config.data.component_dirs),
        "image_size": list(trained.config.model.image_size),  # (height, width)
        "conditions": {
            **trained.scaler.to_dict(),
            "units": "shift, scale, minimum and maximum are in the units of the training table's columns",
            "formula": "condition = (raw - shift) / scale; minimum and maximum are those of the training designs",
            "moments": trained.facts.get("condition_moments"),
        },
        "model_config": trained.config.model.model_dump(mode="json"),
        "checkpoint": {
            "sha256": trained.digest,
            "stage": trained.stage,
            "epoch": trained.epoch,
            "metric": trained.metric,
        },
        "opset": opset,
        "versions": {"epure": __version__, **{name: importlib.metadata.version(name) for name in _LIBRARIES}},
    }


def describe_graph(graph: Graph, data: bytes, parity: Sequence[Parity]) -> dict[str, Any]:
    """One graph's entry. `parity` maps batch size to the largest difference from torch; empty = not verified, and then
    its limits were not enforced."""
    return {
        "file": f"{graph.name}.onnx",
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "inputs": [_describe(port) for port in graph.inputs],
        "output": _describe(graph.output),
        "tolerance": graph.tolerance,
        "typical": graph.typical,
        "same_owners": graph.same_owners,
        "parity": {str(row.batch): row.difference for row in parity},
        "drawn_otherwise": sum(row.others for row in parity),
    }


def _describe(port: Port) -> dict[str, Any]:
    said = {"name": port.name, "dtype": str(port.dtype).removeprefix("torch."), "shape": list(port.shape)}
    said |= {"content": port.content.value, "meaning": port.meaning}
    return said if port.high is None else said | {"high": port.high}


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises: NotFound: no exported folder there; CheckpointError: damaged, or of a later format."""
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFound(f"{folder}: no exported model (no {MANIFEST})", hint="make one: epure export MODEL --onnx")
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable ({error})", hint="export the model again") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not the manifest of an exported model")
    if facts.get("format_version") != _VERSION:
        found = facts.get("format_version")
        raise CheckpointError(
            f"{path}: format version {found}, expected {_VERSION}",
            hint="export the model again with this version of epure",
        )
    try:
        _Facts.model_validate(facts)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CheckpointError(
            f"{path}: {where}: {first['msg'].lower()}; the file was altered or damaged", hint="export the model again"
        ) from error
    return facts


def graph_file(folder: Path, facts: Mapping[str, Any], name: str) -> Path:
    """The path of a graph, its contents checked against the manifest.

    Raises: NotFound: the folder has no such graph; CheckpointError: the file is missing or altered.
    """
    if name not in facts["graphs"]:
        raise NotFound(
            f"{folder} has no graph {name!r}, only {', '.join(facts['graphs'])}",
            hint=f"export it: epure export {facts['model']} --onnx --overwrite",
        )
    entry = facts["graphs"][name]
    path = folder / entry["file"]
    if not path.is_file():
        raise CheckpointError(f"{path}: missing", hint="export the model again")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != entry["sha256"]:
        raise CheckpointError(
            f"{path}: altered or damaged (its checksum is not the manifest's)", hint="export the model again"
        )
    return path
