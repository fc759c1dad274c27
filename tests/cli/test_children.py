"""Commands in processes of their own: how many at a time, what they said, and that a stop reaches them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from epurecli.cli.children import Command, Ended, _environment, run_beside
from epurecli.threads import cores


class Heard:
    """Remembers what it was told, and how many ran at once."""

    def __init__(self) -> None:
        self.running, self.most, self.lines = 0, 0, list[str]()
        self.ends: dict[str, Ended] = {}
        self._lock = threading.Lock()

    def began(self, command: Command) -> None:
        self.running += 1
        self.most = max(self.most, self.running)

    def said(self, command: Command, line: str) -> None:
        with self._lock:
            self.lines.append(line)

    def ended(self, how: Ended) -> None:
        self.running -= 1
        self.ends[how.command.name] = how


def test_all_run_some_at_a_time_and_a_fault_stops_no_other() -> None:
    heard = Heard()
    commands = [Command(str(i), argv) for i, argv in enumerate([("train", "vea"), ("--version",), ("--version",)])]
    assert run_beside(commands, 2, heard)
    assert {name: end.code for name, end in heard.ends.items()} == {"0": 2, "1": 0, "2": 0}
    assert heard.most == 2
    assert heard.ends["0"].fault.startswith("no model 'vea' - did you mean 'vae'? hint: models: vae, ")
    assert set(heard.ends["0"].said) <= set(heard.lines)
    assert not any(end.stopped for end in heard.ends.values())


def test_a_stop_ends_what_runs_and_begins_nothing_more(tmp_path: Path) -> None:
    heard, began = Heard(), time.monotonic()
    commands = [
        Command(name, ("data", "make-toy", str(tmp_path / name), "--count", "1000000")) for name in ("one", "two")
    ]
    assert not run_beside(commands, 1, heard, lambda: time.monotonic() - began > 1)
    assert [(end.command.name, end.stopped) for end in heard.ends.values()] == [("one", True)]
    assert heard.ends["one"].code != 0
    assert heard.running == 0


def test_a_fault_here_leaves_no_process(tmp_path: Path) -> None:
    def broken(how: Ended) -> None:
        raise RuntimeError("cannot show it")

    heard = Heard()
    heard.ended = broken  # type: ignore[method-assign]
    long = Command("long", ("data", "make-toy", str(tmp_path / "toys"), "--count", "1000000"))
    with pytest.raises(RuntimeError, match="cannot show it"):
        run_beside([Command("short", ("--version",)), long], 2, heard)
    assert not (tmp_path / "toys").exists()
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".partial"]


def test_processes_share_the_cores_unless_the_user_has_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _environment(3)["OMP_NUM_THREADS"] == "1"  # as the tests have chosen
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert "OMP_NUM_THREADS" not in _environment(1)
    assert _environment(len(cores()))["OMP_NUM_THREADS"] == "1"
    assert _environment(100 * len(cores()))["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert _environment(2)["OMP_NUM_THREADS"] == "5"
