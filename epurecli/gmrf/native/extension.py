"""The compiled extension: which devices it serves, whose threads it uses, and its operations, called by name.

Every operation takes its tensors by name too. A table in csrc/tables.h says what each must be; one that is missing,
not known, of another dtype, device or size, or not contiguous is an exception before any kernel runs.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from epurecli.gmrf import _epure_native as ext

DEVICES = ("cpu", "cuda") if ext.cuda else ("cpu",)


def share_torch_threads() -> None:
    """Run on the OpenMP pool that torch runs on: two pools on one small machine wait for each other's threads.

    The symbol is looked up through libtorch_cpu, so that it is the very library that torch is linked with. Where there
    is none (macOS, Windows) the extension keeps threads of its own, which sleep between calls.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    if not sys.platform.startswith("linux") or not library.exists():
        return
    entry = getattr(ctypes.CDLL(str(library)), "GOMP_parallel", None)
    if entry is not None:
        ext.share_openmp(ctypes.cast(entry, ctypes.c_void_p).value)


share_torch_threads()
ext.exchange_through(getattr(torch.Tensor, "__dlpack_c_exchange_api__", None))


def describe() -> str:
    """One line for `epure doctor`."""
    kinds = " and CUDA" if ext.cuda else ""
    return f"C++ extension, {ext.isa()} instructions{kinds}, on {ext.pool()}"


def run(operation: str, sizes: Sequence[int], rows: int, fields: dict[str, object]) -> int:
    """Run an operation on the CPU, with tensors and numbers by name. -> the first bad row, or -1

    Raises:
        TypeError: an operation or field that is not known, a missing field, another dtype.
        ValueError: a tensor of another size or device, or one that is not contiguous.
    """
    return ext.run(operation, sizes, rows, torch.get_num_threads(), fields)


def launch(
    operation: str, sizes: Sequence[int], like: Tensor, fields: dict[str, object], *, scratch: bool = True
) -> Tensor:
    """Queue an operation on torch's current stream of the GPU of `like` (B, ...). -> (B,) bool: rows without a factor

    Args:
        scratch: give it memory for the matrices that a block's shared memory does not hold.

    Raises:
        TypeError, ValueError: as `run`. RuntimeError: CUDA refuses the launch.
    """
    rows, device = len(like), like.device
    bad = torch.zeros(rows, dtype=torch.int32, device=device)
    with torch.cuda.device(device):
        needed = ext.cuda_scratch(sum(sizes), is_double(like)) * min(rows, ext.cuda_teams) if scratch else 0
        own = {"tables": _tables(tuple(sizes), device), "scratch": like.new_empty(needed), "bad": bad}
        own["stream"] = torch.cuda.current_stream(device).cuda_stream
        ext.run(operation, sizes, rows, 1, own | fields)
    return bad != 0


@lru_cache(maxsize=32)
def _tables(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Of each row of a covariance of even size: how many free entries and where they begin; of each entry: its
    component. One after the other, int32."""
    start, offset, component, packed = [], [], [], 0
    for index, size in enumerate(sizes):
        before = len(start)
        for _ in range(size):
            start.append(before)
            offset.append(packed)
            component.append(index)
            packed += before
    if len(start) % 2:
        start.append(0)
        offset.append(packed)
    return torch.tensor([*start, *offset, *component], dtype=torch.int32, device=device)


def is_double(like: Tensor) -> bool:
    """Whether a tensor is float64."""
    return like.dtype == torch.float64


def contiguous(*tensors: Tensor | None) -> list[Tensor | None]:
    """Each tensor in the layout that the extension reads; None stays None."""
    return [None if x is None else x.contiguous() for x in tensors]


def empty_sample(noise: Tensor | None) -> Tensor | None:
    """Memory for a sample (B, N), which there is where there is noise."""
    return None if noise is None else torch.empty_like(noise)
