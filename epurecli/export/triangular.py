"""Batched Cholesky factors and triangular solves out of ONNX's elementary operations: ONNX has neither.

The matrices' size is known when a graph is traced, so the columns are written out one after the other. Only blocks of
`BLOCK` columns are done that way; between the blocks there are matrix products.

Source: Golub & Van Loan, "Matrix Computations", 4th ed., sections 4.2.6 (block Cholesky) and 3.1.4 (block
substitution).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
from onnxscript.onnx_opset import opset18 as op

BLOCK = 16

Value = Any  # a tensor of the graph that is being traced, (B, rows, columns)
Span = tuple[int, int]


def cholesky_ex(matrix: Value, upper: bool = False, check_errors: bool = False) -> tuple[Value, Value]:
    """`torch.linalg.cholesky_ex`, with an info of zeros."""
    factor = cholesky(matrix, upper)
    return factor, op.Cast(op.ReduceMin(op.Sub(matrix, matrix), [-2, -1], keepdims=0), to=onnx.TensorProto.INT32)


def cholesky(matrix: Value, upper: bool = False) -> Value:
    """`torch.linalg.cholesky`: the lower factor (*, N, N), NaN where there is none."""
    if upper:
        raise NotImplementedError("only lower Cholesky factors are written as ONNX")
    rest, size = _batched(matrix), matrix.shape[-1]
    columns = []
    for first, last in pairwise(_cuts(size)):
        width, left = last - first, size - first
        column, inverse = _factor(_part(rest, (0, width), (0, width)), width)
        if left > width:
            below = op.MatMul(_part(rest, (width, left), (0, width)), _transpose(inverse))
            rest = op.Sub(_part(rest, (width, left), (width, left)), op.MatMul(below, _transpose(below)))
            column = op.Concat(column, below, axis=-2)
        columns.append(op.Pad(column, [0, first, 0, 0, 0, 0]) if first else column)
    return _like(matrix, op.Concat(*columns, axis=-1))


def solve_triangular(matrix: Value, right: Value, upper: bool, left: bool = True, unitriangular: bool = False) -> Value:
    """`torch.linalg.solve_triangular` for lower factors: X with matrix X = right, (*, N, N), (*, N, K) -> (*, N, K)."""
    if upper or not left or unitriangular:
        raise NotImplementedError("only lower triangular solves from the left are written as ONNX")
    square, solved = _batched(matrix), None
    wanted = _batched(right)
    for first, last in pairwise(_cuts(matrix.shape[-1])):
        target = _rows(wanted, (first, last))
        if solved is not None:
            target = op.Sub(target, op.MatMul(_part(square, (first, last), (0, first)), solved))
        found = op.MatMul(_inverse(_part(square, (first, last), (first, last)), last - first), target)
        solved = found if solved is None else op.Concat(solved, found, axis=-2)
    return _like(matrix, solved)


def _factor(square: Value, size: int) -> tuple[Value, Value]:
    """L and L^-1 of symmetric blocks: elimination on [A | 1], each row divided by the root of its pivot."""
    identity = op.Add(op.Sub(square, square), _constant(np.eye(size), square))
    rest, rows = op.Concat(square, identity, axis=-1), []
    for k in range(size):
        row = _rows(rest, (k, k + 1))  # (B, 1, 2 size)
        row = op.Div(row, op.Sqrt(_columns(row, (k, k + 1))))
        rows.append(row)
        if k + 1 < size:
            later = np.arange(size)[:, None] > k  # (size, 1)
            below = op.Mul(_transpose(_columns(row, (0, size))), _constant(later, square))
            rest = op.Sub(rest, op.Mul(below, row))
    both = op.Concat(*rows, axis=-2)  # [L^T | L^-1], rounding in the other triangles
    lower = op.Trilu(_transpose(_columns(both, (0, size))), upper=0)
    return lower, op.Trilu(_columns(both, (size, 2 * size)), upper=0)


def _inverse(square: Value, size: int) -> Value:
    """Inverse of lower triangular blocks, row by row: x_k = (e_k - sum_j<k l_kj x_j) / l_kk."""
    found = None
    for k in range(size):
        row, target = _rows(square, (k, k + 1)), _constant(np.eye(size)[None, k : k + 1], square)
        if found is not None:
            target = op.Sub(target, op.MatMul(_columns(row, (0, k)), found))
        solved = op.Div(target, _columns(row, (k, k + 1)))
        found = solved if found is None else op.Concat(found, solved, axis=-2)
    return found


def _cuts(size: int) -> list[int]:
    return [*range(0, size, BLOCK), size]


def _part(x: Value, rows: Span, columns: Span) -> Value:
    return op.Slice(x, [rows[0], columns[0]], [rows[1], columns[1]], [1, 2])


def _rows(x: Value, span: Span) -> Value:
    return op.Slice(x, [span[0]], [span[1]], [1])


def _columns(x: Value, span: Span) -> Value:
    return op.Slice(x, [span[0]], [span[1]], [2])


def _transpose(x: Value) -> Value:
    return op.Transpose(x, perm=[0, 2, 1])


def _constant(values: np.ndarray, like: Value) -> Value:
    return op.CastLike(op.Constant(value=onnx.numpy_helper.from_array(values.astype(np.float32))), like)


def _batched(x: Value) -> Value:
    """(N, K) -> (1, N, K)."""
    if len(x.shape) > 3:
        raise NotImplementedError("matrices with more than one batch axis")
    return op.Unsqueeze(x, [0]) if len(x.shape) == 2 else x


def _like(given: Value, x: Value) -> Value:
    """Without the axis that `_batched` added."""
    return op.Squeeze(x, [0]) if len(given.shape) == 2 else x
