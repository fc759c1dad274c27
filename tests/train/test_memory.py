"""The most memory that training took."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from epurecli.training.memory import peak_memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no /proc to ask")


def test_the_peak_stays_after_what_made_it_has_gone() -> None:
    before = peak_memory(torch.device("cpu"))
    now = resident()
    block = np.ones((before - now + (64 << 20)) // 8)  # 64 MiB above the peak so far
    del block
    assert peak_memory(torch.device("cpu")) >= before + (60 << 20)


def resident() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


def test_a_process_does_not_inherit_its_parents_peak(run_python) -> None:
    """Linux's getrusage() does; so a small training started by a large comparison would look large."""
    code = (
        "import resource, subprocess, sys\n"
        "large = bytearray(600 << 20)\n"
        "code = 'import torch; from epurecli.training.memory import peak_memory; "
        'print(peak_memory(torch.device("cpu")))\'\n'
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)"
    )
    result = run_python(code)
    assert result.code == 0, result.err
    assert 50 << 20 < int(result.out) < 550 << 20
