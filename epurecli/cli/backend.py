"""`--backend`: what `epure sample` computes with."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from epurecli.cli import console
from epurecli.cli.options import onnx_folder, parse_device
from epurecli.errors import NotFound, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from epurecli.checkpoint import TrainedModel
    from epurecli.sample.sampler import Generate, Request

BACKENDS = ("torch", "onnx", "auto")
_TRIALS = 3


@dataclass(frozen=True, slots=True)
class Engine:
    """A function that generates, and where its inputs must be."""

    name: str
    generate: Generate
    device: torch.device
    gpu: bool  # whether it computes on CUDA, wherever its inputs are
    remake: Callable[[str], Generate]  # on a device, in another process

    @property
    def block(self) -> int:
        """Designs computed together."""
        from epurecli.sample.sampler import BLOCK, BLOCK_CUDA

        return BLOCK_CUDA if self.gpu else BLOCK

    def devices(self, count: int) -> list[str]:
        """`count` places to compute: GPUs where it computes on one, else its device, shared.

        Raises: UsageError.
        """
        import torch

        if not self.gpu:
            return [str(self.device)] * count
        if count > torch.cuda.device_count():
            raise UsageError(f"--devices {count}: there are {torch.cuda.device_count()} GPUs")
        return [f"cuda:{i}" for i in range(count)]


def choose(backend: str, onnx_dir: Path | None, device: str, trained: TrainedModel, request: Request) -> Engine:
    """The engine that was asked for; for `auto` the one that is faster on a block of this request.

    Raises: NotFound, CheckpointError, NativeUnavailable, UsageError.
    """
    if backend == "torch":
        return _torch(device, trained)
    folder = onnx_dir or onnx_folder(trained.path)
    if backend == "onnx":
        return _onnx(folder, device, trained, request)
    try:
        engines = [_onnx(folder, device, trained, request)]
    except NotFound as error:
        console.note(f"no ONNX graphs to try: {error.message}")
        return _torch(device, trained)
    engines.append(_torch(device, trained))
    seconds = [_seconds(engine, trained, request) for engine in engines]
    for engine, spent in zip(engines, seconds, strict=True):
        console.note(f"{engine.name}: {engine.block / spent:,.0f} designs/s")
    return min(zip(seconds, engines, strict=True), key=lambda pair: pair[0])[1]


def _torch(device: str, trained: TrainedModel) -> Engine:
    where = parse_device(device)
    remake = partial(torch_engine, trained.path)
    return Engine(f"torch on {where}", trained.model.to(where).generate, where, where.type == "cuda", remake)


def torch_engine(checkpoint: Path, device: str) -> Generate:
    from epurecli.checkpoint import load_model

    return load_model(checkpoint).model.to(device).generate


def onnx_engine(folder: Path, device: str) -> Generate:
    import torch

    from epurecli.export.runtime import OnnxSampler

    return OnnxSampler(folder, cuda=device != "cpu", threads=torch.get_num_threads()).generate


def _onnx(folder: Path, device: str, trained: TrainedModel, request: Request) -> Engine:
    import torch

    from epurecli.export.runtime import OnnxSampler
    from epurecli.export.session import CUDA

    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: with ONNX Runtime expected auto, cpu or cuda")
    if not folder.exists():
        command = f"epure export {trained.config.model.type} --onnx --checkpoint {trained.path.parent}"
        raise NotFound(f"{folder}: no such exported folder", hint=f"make it: {command}")
    sampler = OnnxSampler(folder, cuda=None if device == "auto" else device == "cuda")
    sampler.require_checkpoint(trained.digest)
    provider = sampler.provider(request.mode.observes)
    remake = partial(onnx_engine, folder)
    return Engine(f"onnx on {provider}", sampler.generate, torch.device("cpu"), provider == CUDA, remake)


def _seconds(engine: Engine, trained: TrainedModel, request: Request) -> float:
    """Shortest time for one draw of one block, after one to warm up."""
    import torch

    from epurecli.sample.noise import design_noise
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
