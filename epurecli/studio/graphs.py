"""ONNX Runtime for the studio: graphs that stand already, or an export beside the work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from epurecli.api.engines import Engine as Backend
from epurecli.api.engines import parse_device
from epurecli.api.run import Run
from epurecli.errors import EpureError
from epurecli.export.folder import onnx_folder
from epurecli.threads import cores
from epurecli.types import Mode

MOST_THREADS = 8  # two dozen small designs keep no more busy


def worthwhile(run: Run) -> bool:
    """Whether ONNX Runtime is the faster one: not beside a GPU. Of models that draw in steps torch is kept, whose steps
    can be told and stopped."""
    return parse_device(run.device).type == "cpu" and run.trained.model.steps == 1


def standing(run: Run) -> Backend | None:
    """What `epure export` has left of these very weights."""
    try:
        return backend_of(run, onnx_folder(run.trained.path))
    except (EpureError, OSError):
        return None


class Export:
    """An export in a process of its own: tracing a model would hold up every answer of this one."""

    def __init__(self, run: Run, folder: Path) -> None:
        self._run, self._folder = run, folder
        graphs = [part for name in _graphs(run) for part in ("--graph", name)]
        where = ("--checkpoint", str(run.trained.path), "--out", str(folder))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "epurecli", "export", run.model, "--onnx", *graphs, *where],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, 10)  # whoever moves a slider goes first

    def result(self) -> Backend | None:
        """Wait for it; None where it has failed or was stopped: torch goes on drawing."""
        if self._process.wait() != 0:
            return None
        try:
            return backend_of(self._run, self._folder)
        except (EpureError, OSError):
            return None

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


def backend_of(run: Run, folder: Path) -> Backend:
    """The graphs of a folder, opened.

    Raises: NotFound, CheckpointError: no graphs of these weights.
    """
    from epurecli.export.runtime import OnnxSampler

    sampler = OnnxSampler(folder, cuda=False, threads=min(len(cores()), MOST_THREADS))
    sampler.require_checkpoint(run.trained.digest)
    for graph in _graphs(run):
        sampler.session(graph)
    return Backend("onnx", f"onnx on {sampler.provider(False)}", sampler.generate, torch.device("cpu"), False)


def _graphs(run: Run) -> tuple[str, ...]:
    return ("sampler", "inpaint") if Mode.INPAINTING in run.trained.model.modes else ("sampler",)
