"""One file, whole or not there; a lock that names its holder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from epurecli.errors import CannotWrite, UsageError
from epurecli.files import Lock, write_atomic, write_json

HOLDER = """
import sys
from pathlib import Path
from epurecli.files import Lock
lock = Lock(Path(sys.argv[1]), "the run")
print("held", flush=True)
sys.stdin.read()
lock.release()
"""


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "inside").write_text("x")
    with pytest.raises(CannotWrite, match="taken: cannot be written"):
        write_atomic(tmp_path / "taken", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(CannotWrite, match="cannot be written"):
        write_atomic(tmp_path / "no" / "such" / "folder", b"new")
    write_atomic(tmp_path / "file", b"old")
    write_atomic(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "taken"]


def test_json_is_for_people_too(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "é": [\n    1\n  ]\n}\n'


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for kill in (True, False):
        other = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UsageError, match=f"the run is in use by process {other.pid} on .+ since 2") as caught:
            Lock(path, "the run")
        assert "stop it" in caught.value.hint
        if kill:
            os.kill(other.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
        other.communicate()
        with Lock(path, "the run"):
            assert f"process {os.getpid()} " in path.read_text()
        assert not path.exists()


def test_of_many_that_ask_at_once_one_has_it(tmp_path: Path) -> None:
    held = 0
    locks = []
    for _ in range(5):
        try:
            locks.append(Lock(tmp_path / "lock", "it"))
            held += 1
        except UsageError:
            pass
    assert held == 1
    locks[0].release()
    locks[0].release()
    Lock(tmp_path / "lock", "it").release()
