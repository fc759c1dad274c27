"""Without memory a kernel raises MemoryError, on any number of threads."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys, torch
from epurecli.gmrf import GaussianPrior, combine_evidence, condition_gaussian
torch.set_num_threads(int(sys.argv[2]))
size, rows = 4000, 9
sizes = (size // 2, size // 2)
mask = torch.tensor([[True, False]]).expand(rows, 2).contiguous()
zeros, ones = torch.zeros(rows, size), torch.ones(rows, size)
covariance = torch.eye(size).expand(rows, size, size).contiguous() if sys.argv[1] == "condition" else None
prior = GaussianPrior(torch.zeros(size), torch.eye(size))
now = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) * 1024
limit = now + 300_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    if covariance is not None:
        condition_gaussian((zeros, covariance), zeros, mask, sizes)
    else:
        combine_evidence(prior, zeros, ones, mask, sizes)
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets a limit as Linux knows it")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("operation", ["evidence", "condition"])
def test_a_kernel_without_memory(operation: str, threads: int) -> None:
    command = [sys.executable, "-c", PROGRAM, operation, str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr
