"""Our own ONNX forms of a few torch operations, where the exporter's are slow or missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from onnxscript.onnx_opset import opset18 as op

from epurecli.export.triangular import cholesky, cholesky_ex, solve_triangular


def translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The exporter's `custom_translation_table`."""
    aten = torch.ops.aten
    return {
        aten.softmax.int: softmax,
        aten._softmax.default: softmax,
        aten.linalg_cholesky.default: cholesky,
        aten.linalg_cholesky_ex.default: cholesky_ex,
        aten.linalg_solve_triangular.default: solve_triangular,
    }


def softmax(x: Any, dim: int, dtype: int | bool = -1) -> Any:
    """exp(x - max) / sum over one axis, spelled out.

    Along any axis but the last, ONNX Runtime's Softmax transposes there and back: of a decoder of 256 designs that ends
    in a softmax over components it was 108 of 388 ms; with these five nodes the whole takes 310 (two CPU threads).
    """
    top = op.ReduceMax(x, [dim], keepdims=1)
    exponential = op.Exp(op.Sub(x, top))
    return op.Div(exponential, op.ReduceSum(exponential, [dim], keepdims=1))
