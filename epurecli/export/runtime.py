"""Sampling through the exported graphs: the same function as a model's `generate`, over ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from epurecli.errors import CheckpointError, NativeUnavailable
from epurecli.export.manifest import graph_file, read_manifest
from epurecli.export.session import CUDA, has_cuda_driver, open_session, provider_of, require_self_contained
from epurecli.types import Noise, Query

ROWS = 64  # draws x designs in one call when completing designs: the encoder runs once for them all


class OnnxSampler:
    """Reads an exported folder. Graphs are opened when they are first needed.

    Args:
        folder: what `epure export` wrote.
        cuda: True = must run on CUDA, False = on the CPU, None = on CUDA where that works.
        threads: CPU threads (default: all cores).

    Raises:
        NotFound, CheckpointError: no such folder or graph, or a file that was altered.
        NativeUnavailable: CUDA was asked for and the runtime cannot use it.
    """

    def __init__(self, folder: Path, *, cuda: bool | None = None, threads: int | None = None) -> None:
        self.folder, self.facts = folder, read_manifest(folder)
        self._cuda, self._threads = cuda, threads
        self.session = cache(self._open)

    def require_checkpoint(self, digest: str) -> None:
        """Raises: CheckpointError: the folder was exported from other weights."""
        if self.facts["checkpoint"]["sha256"] != digest:
            raise CheckpointError(
                f"{self.folder} was exported from other weights than this checkpoint's",
                hint=f"export them: epure export {self.facts['model']} --onnx --checkpoint RUN --overwrite",
            )

    def provider(self, observes: bool) -> str:
        """The provider that completing (or free) sampling really runs on."""
        return provider_of(self.session("inpaint" if observes else "sampler"))

    def generate(self, query: Query, noise: Sequence[Noise]) -> Tensor:  # -> (S, B, C, H, W)
        """See `epurecli.models.contract.GenerativeModel.generate`: same noise, same designs."""
        feeds = {"condition": query.condition.cpu().numpy(), "present": query.present.cpu().numpy()}
        if query.observed is None:
            images = [self._run("sampler", feeds | self._drawn("sampler", draw)) for draw in noise]
            return torch.from_numpy(images[0][None] if len(images) == 1 else np.stack(images))
        feeds |= {"images": query.observed.cpu().numpy(), "mask": query.mask.cpu().numpy()}
        step, parts = max(1, ROWS // len(query)), []
        for start in range(0, len(noise), step):
            layers = [self._drawn("inpaint", draw) for draw in noise[start : start + step]]
            together = {name: np.stack([layer[name] for layer in layers]) for name in layers[0]}
            parts.append(self._run("inpaint", feeds | together))
        return torch.from_numpy(np.concatenate(parts))

    def _drawn(self, graph: str, noise: Noise) -> dict[str, NDArray[np.float32]]:
        """One draw's noise for the inputs of a graph that want some, in their order."""
        draw = {"normal": noise.normal, "uniform": noise.uniform}
        lead = 2 if graph == "inpaint" else 1  # axes before the noise's own: batch, and draws
        wanted = [port for port in self.facts["graphs"][graph]["inputs"] if port["content"] in draw]
        return {port["name"]: draw[port["content"]](*port["shape"][lead:]).cpu().numpy() for port in wanted}

    def _run(self, graph: str, feeds: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        return self.session(graph).run(None, feeds)[0]

    def _open(self, graph: str) -> onnxruntime.InferenceSession:
        path = graph_file(self.folder, self.facts, graph)
        wanted = has_cuda_driver() if self._cuda is None else self._cuda
        require_self_contained(path)
        session = open_session(path, cuda=wanted, threads=self._threads)
        if self._cuda and provider_of(session) != CUDA:
            raise NativeUnavailable(
                "ONNX Runtime has no CUDA provider that works here",
                hint="install onnxruntime-gpu and CUDA's libraries, or use --device cpu",
            )
        return session
