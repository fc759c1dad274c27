"""Threads on a machine that others use: how many, how long they spin, and who is obeyed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epurecli.threads import Threads, Usage, cores, limit_spinning, threads_beside, usage

SPIN = "while True: pass"


def test_threads_spin_briefly_unless_the_user_has_chosen() -> None:
    environment: dict[str, str] = {}
    limit_spinning(environment)
    assert environment == {"GOMP_SPINCOUNT": "10000"}
    for own in ({"GOMP_SPINCOUNT": "7"}, {"OMP_WAIT_POLICY": "active"}, {"KMP_BLOCKTIME": "0"}):
        environment = dict(own)
        limit_spinning(environment)
        assert environment == own


def test_the_command_sets_it_before_torch_is_loaded(run_python) -> None:
    code = (
        "import os, sys\n"
        "os.environ.pop('GOMP_SPINCOUNT', None)\n"
        "sys.argv = ['epure', 'models']\n"
        "class Watch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch': print('torch, spin count', os.environ.get('GOMP_SPINCOUNT'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "from epurecli.cli import main\n"
        "main()"
    )
    assert "torch, spin count 10000" in run_python(code).out


@given(count=st.integers(1, 64), busy=st.floats(0, 100))
def test_what_is_left_computes_and_one_at_least(count: int, busy: float) -> None:
    wanted = threads_beside(count, busy)
    assert 1 <= wanted <= count
    assert wanted == 1 or abs(wanted - (count - busy)) <= 0.5


def test_two_cores() -> None:
    assert [threads_beside(2, busy) for busy in (0.0, 0.4, 0.7, 1.0, 2.0)] == [2, 2, 1, 1, 1]


def test_what_others_use_is_all_but_our_own() -> None:
    before, after = Usage(10.0, 100.0, 5.0), Usage(12.0, 103.5, 7.0)
    assert after.others_since(before) == pytest.approx(0.75)
    assert Usage(11.0, 100.5, 6.0).others_since(before) == 0.0  # clocks that tick apart


def test_only_allowed_processors_count(tmp_path: Path) -> None:
    allowed = min(cores())
    other = max(cores()) + 1
    text = f"cpu  9 9 9 9 9 9 9 9\ncpu{allowed} 100 20 30 999 999 4 5 6 7 8\ncpu{other} 5 5 5 5 5 5 5 5 5 5\nintr 1\n"
    (tmp_path / "stat").write_text(text)
    found = usage(tmp_path / "stat")
    assert found is not None
    assert found.everyone == (100 + 20 + 30 + 4 + 5 + 6) / os.sysconf("SC_CLK_TCK")
    assert usage(tmp_path / "nothing") is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells what others use")
def test_another_process_is_seen() -> None:
    process = subprocess.Popen([sys.executable, "-c", SPIN])
    try:
        time.sleep(0.3)
        before = usage()
        time.sleep(1.0)
        after = usage()
    finally:
        process.kill()
        process.wait()
    assert before is not None
    assert after is not None
    assert after.others_since(before) > 0.3


def test_a_number_that_the_user_sets_stays(monkeypatch) -> None:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert Threads().adjust() == torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert Threads(fixed=True).adjust() == torch.get_num_threads()
