"""The instruction set is chosen when the module loads: the baseline, and threads of its own, in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROGRAM = """
import torch
from epurecli.gmrf import _epure_native as ext, native, reference
assert ext.isa() == "base", ext.isa()
ext.share_openmp(0)
assert ext.pool() == "own threads"
torch.set_num_threads(3)
torch.manual_seed(0)
for dtype in (torch.float64, torch.float32):
    for sizes, rows in (((3, 2, 4), 7), ((16,) * 5, 50), ((5, 6), 0)):
        size = sum(sizes)
        packed = (size**2 - sum(s * s for s in sizes)) // 2
        tril = torch.tril(0.1 * torch.randn(size, size, dtype=dtype), -1) + torch.eye(size, dtype=dtype)
        shapes = (rows, size), (rows, size), (rows, packed), (rows, size), (size,)
        leaves = [torch.randn(*shape, dtype=dtype) for shape in shapes]
        leaves[1] = leaves[1].abs() + 0.1
        leaves = [x.requires_grad_(i != 3) for i, x in enumerate([*leaves, tril])]
        wanted = [x for x in leaves if x.requires_grad]
        results = []
        for body in (native, reference):
            sample, kl, _ = body.elbo(*leaves, sizes, 0.9)
            gradients = torch.autograd.grad(sample.sum() + kl.sum(), wanted)
            results.append([sample, kl, *gradients[:-1], gradients[-1].tril()])
        for a, b in zip(*results):
            close = dict(rtol=1e-10, atol=1e-10) if dtype == torch.float64 else dict(rtol=2e-3, atol=2e-3)
            torch.testing.assert_close(a, b, **close)
print("fine")
"""


def test_baseline_and_own_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "EPURE_ISA": "base", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "fine"
