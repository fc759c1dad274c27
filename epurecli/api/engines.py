"""What designs are computed with: torch or ONNX Runtime, on which device."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from epurecli.checkpoint import TrainedModel
from epurecli.errors import NativeUnavailable, NotFound, UsageError
from epurecli.listener import Listener
from epurecli.sample.noise import design_noise
from epurecli.sample.sampler import BLOCK, BLOCK_CUDA, Generate, Request

_TRIALS = 3


@dataclass(frozen=True, slots=True)
class Engine:
    """A function that generates, and where its inputs must be."""

    kind: str  # torch or onnx
    name: str
    generate: Generate
    device: torch.device
    gpu: bool  # whether it computes on CUDA, wherever its inputs are

    @property
    def block(self) -> int:
        """Designs computed together."""
        return BLOCK_CUDA if self.gpu else BLOCK


def parse_device(name: str) -> torch.device:
    """auto, cpu, cuda or cuda:N. Raises: NativeUnavailable where it is not there; UsageError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"no device {name!r}", hint="devices: auto, cpu, cuda, cuda:0, ...") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported", hint="devices: auto, cpu, cuda, cuda:0, ...")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise NativeUnavailable(
            f"device {name!r}: this machine has no CUDA device that torch can use", hint="use --device cpu"
        )
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise NativeUnavailable(f"device {name!r}: there are {torch.cuda.device_count()} CUDA devices, counted from 0")
    return device


def choose(
    backend: str,
    onnx_dir: Path | None,
    device: str,
    trained: TrainedModel,
    request: Request,
    listener: Listener,
    threads: int | None = None,
) -> Engine:
    """The engine that was asked for; for `auto` the one that is faster on a block of this request.

    Args:
        threads: of ONNX Runtime (default: one a core).

    Raises: NotFound, CheckpointError, NativeUnavailable, UsageError.
    """
    if backend == "torch":
        return _torch(device, trained)
    from epurecli.export.folder import onnx_folder

    folder = onnx_dir or onnx_folder(trained.path)
    if backend == "onnx":
        return _onnx(folder, device, trained, request, threads)
    try:
        engines = [_onnx(folder, device, trained, request, threads)]
    except NotFound as error:
        listener.note(f"no ONNX graphs to try: {error.message}")
        return _torch(device, trained)
    engines.append(_torch(device, trained))
    seconds = [_seconds(engine, trained, request) for engine in engines]
    for engine, spent in zip(engines, seconds, strict=True):
        listener.note(f"{engine.name}: {engine.block / spent:,.0f} designs/s")
    return min(zip(seconds, engines, strict=True), key=lambda pair: pair[0])[1]


def _torch(device: str, trained: TrainedModel) -> Engine:
    where = parse_device(device)
    return Engine("torch", f"torch on {where.type}", trained.model.to(where).generate, where, where.type == "cuda")


def _onnx(folder: Path, device: str, trained: TrainedModel, request: Request, threads: int | None) -> Engine:
    from epurecli.export.runtime import OnnxSampler
    from epurecli.export.session import CUDA

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: with ONNX Runtime expected auto, cpu or cuda")
    command = _export_command(trained, folder)
    if not folder.exists():
        raise NotFound(f"{folder}: no such exported folder", hint=f"make it: {command}")
    sampler = OnnxSampler(folder, cuda=None if device == "auto" else device == "cuda", threads=threads)
    try:
        sampler.require_checkpoint(trained.digest)
        provider = sampler.provider(request.mode.observes)
    except NotFound as error:  # it is an export, of other weights or without the graph
        raise type(error)(error.message, hint=f"export it again: {command} --overwrite") from error
    return Engine("onnx", f"onnx on {provider}", sampler.generate, torch.device("cpu"), provider == CUDA)


def _export_command(trained: TrainedModel, folder: Path) -> str:
    """What makes the graphs of these weights in this folder."""
    from epurecli.export.folder import onnx_folder

    weights = trained.path.parent if trained.path.stem == "best" else trained.path
    out = "" if folder == onnx_folder(trained.path) else f" --out {shlex.quote(str(folder))}"
    return f"epure export {trained.config.model.type} --onnx --checkpoint {shlex.quote(str(weights))}{out}"


def _seconds(engine: Engine, trained: TrainedModel, request: Request) -> float:
    """Shortest time for one draw of one block, after one to warm up."""
    from epurecli.types import Query

    count, model, where = engine.block, trained.model, engine.device
    query = Query(torch.zeros(count, model.cond_dim, device=where), torch.ones(count, 1, device=where))
    if request.mask is not None:
        observed = torch.zeros(count, len(model.components), *model.image_size, device=where)
        mask = torch.from_numpy(request.mask[:1].copy()).expand(observed.shape[:2]).to(where)
        query = replace(query, observed=observed, mask=mask)
    noise = design_noise(0, 0, count, 1, device=where)
    spent = []
    for _ in range(1 + _TRIALS):
        start = time.perf_counter()
        engine.generate(query, noise).cpu()
        spent.append(time.perf_counter() - start)
    return min(spent[1:])
