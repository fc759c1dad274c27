"""ONNX Runtime sessions: which device they really run on, how many threads, no noise on stderr."""

from __future__ import annotations

import ctypes.util
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnxruntime
from google.protobuf.message import DecodeError

from epurecli.errors import CheckpointError
from epurecli.threads import threads_to_spare

CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
_FATAL = 4


def has_cuda_driver() -> bool:
    """Whether this machine has NVIDIA's driver library. The runtime's own list of providers names CUDA without one."""
    return ctypes.util.find_library("nvcuda" if sys.platform == "win32" else "cuda") is not None


def open_session(model: Path | bytes, *, cuda: bool, threads: int | None = None) -> onnxruntime.InferenceSession:
    """A session on the CPU, or on CUDA where asked for and possible; `provider_of` tells which it became.

    Args:
        threads: CPU threads (default: as many as others leave free now). Given outright, none is pinned.
    """
    onnxruntime.set_default_logger_severity(_FATAL)  # a CUDA library that does not load is an answer here, not an error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    options.intra_op_num_threads = threads or threads_to_spare()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # see `epurecli.threads`
    wanted = [CUDA, CPU] if cuda and CUDA in onnxruntime.get_available_providers() else [CPU]
    if cuda:
        onnxruntime.preload_dlls()  # finds CUDA's libraries where pip put them
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=wanted)


def require_self_contained(path: Path) -> None:
    """A graph may keep its weights in other files, anywhere on the machine; ours never does.

    Raises: CheckpointError: no ONNX graph, or one that names other files.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError) as error:
        raise CheckpointError(f"{path}: not an ONNX graph ({error})", hint="export the model again") from error
    graphs = (model.graph, *model.functions)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for graph in graphs for tensor in _tensors(graph)):
        raise CheckpointError(f"{path}: names other files for its weights, which is refused; no export does so")


def _tensors(graph: onnx.GraphProto | onnx.FunctionProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor, those of subgraphs among them."""
    yield from getattr(graph, "initializer", ())
    sparse = list(getattr(graph, "sparse_initializer", ()))
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            sparse += (attribute.sparse_tensor, *attribute.sparse_tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner) if inner.node or inner.initializer or inner.sparse_initializer else ()
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def provider_of(session: onnxruntime.InferenceSession) -> str:
    """What the session runs on first: `CUDAExecutionProvider` or `CPUExecutionProvider`."""
    return session.get_providers()[0]
