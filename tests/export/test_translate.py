"""Operations that we write as ONNX ourselves compute what torch's do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from epurecli.export.convert import to_onnx
from epurecli.export.session import open_session
from epurecli.export.triangular import BLOCK
from epurecli.models.graphs import BATCH, Graph, Port


class CholeskySolve(nn.Module):
    """The factor of A A^T + 1, and a triangular solve with it."""

    def forward(self, matrix: Tensor, right: Tensor) -> Tensor:
        eye = torch.eye(matrix.shape[-1], dtype=matrix.dtype)
        factor = torch.linalg.cholesky(matrix @ matrix.mT + eye)
        return torch.cat([factor, torch.linalg.solve_triangular(factor, right, upper=False)], -1)


class Softmax(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.softmax(1)


class Failing(nn.Module):
    def forward(self, matrix: Tensor) -> Tensor:
        return torch.linalg.cholesky_ex(matrix).L


def run(module: nn.Module, *inputs: Tensor, fixed: bool = False) -> Tensor:
    """Through ONNX Runtime; the first axis is dynamic unless `fixed`."""
    shapes = [tuple(x.shape) if fixed else (BATCH, *x.shape[1:]) for x in inputs]
    ports = tuple(Port(f"x{k}", shape, "") for k, shape in enumerate(shapes))
    model = to_onnx(Graph("graph", module, ports, Port("y", (BATCH, *inputs[0].shape[1:]), "")))
    session = open_session(model.SerializeToString(), cuda=False, threads=1)
    return torch.from_numpy(session.run(None, {f"x{k}": x.numpy() for k, x in enumerate(inputs)})[0])


@pytest.mark.parametrize("size", [1, 5, BLOCK, 2 * BLOCK + 3])
def test_cholesky_and_triangular_solve(size: int) -> None:
    rng = torch.Generator().manual_seed(size)
    matrix, right = torch.randn(4, size, size, generator=rng), torch.randn(4, size, 3, generator=rng)
    exact = CholeskySolve()(matrix.double(), right.double())
    actual = run(CholeskySolve(), matrix, right)
    assert float((actual - exact).abs().max()) < 1e-5 * float(exact.abs().max())
    assert torch.equal(actual[:, :, :size].triu(1), torch.zeros(4, size, size)), "exactly triangular, as torch's is"


def test_a_matrix_without_a_factor_gives_nan_and_leaves_its_neighbours_alone() -> None:
    matrix = torch.eye(3).repeat(2, 1, 1)
    matrix[0, 1, 1] = -1
    factor = run(Failing(), matrix)
    assert factor[0].isnan().any()
    assert torch.equal(factor[1], torch.eye(3))


def test_softmax_over_components() -> None:
    x = 50 * torch.randn(3, 6, 8, 4, generator=torch.Generator().manual_seed(0))
    x[0, 0] = 500  # exp overflows without the maximum taken off
    torch.testing.assert_close(run(Softmax(), x), x.softmax(1), atol=1e-6, rtol=0)
