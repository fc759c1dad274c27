"""Commands of `epure` in processes of their own, a few beside each other. A stop is passed on to them: they save."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from epurecli.threads import cores

_LOOK_S = 0.05  # between looks at what has ended
_GRACE_S = 30.0  # for processes that have to end now, before they are killed
_REMEMBERED = 50  # lines of a process
_COUNT = "OMP_NUM_THREADS"


@dataclass(frozen=True, slots=True)
class Command:
    """A command of `epure`."""

    name: str  # for people
    argv: tuple[str, ...]  # what follows `epure`


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    command: Command
    code: int
    said: tuple[str, ...]  # the last lines on stderr
    stopped: bool = False  # because we asked it to

    @property
    def fault(self) -> str:
        """What it said was wrong."""
        starts = [i for i, line in enumerate(self.said) if line.startswith("error: ")]
        told = self.said[starts[-1] :] if starts else self.said[-1:]
        return " ".join(line.strip() for line in told).removeprefix("error: ") or f"exit code {self.code}"


class Watcher(Protocol):
    """Is told of the commands, from several threads."""

    def began(self, command: Command) -> None: ...

    def said(self, command: Command, line: str) -> None: ...

    def ended(self, how: Ended) -> None: ...


class _Child:
    """A running command. Its stderr is read to the end, or it would wait for us."""

    def __init__(self, command: Command, environment: dict[str, str], watcher: Watcher) -> None:
        self.command, self._watcher = command, watcher
        self._lines: deque[str] = deque(maxlen=_REMEMBERED)
        self._stopped = False
        # A session of its own: Ctrl-C on the terminal reaches it through us alone, for a second one stops it at once.
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "epurecli", *command.argv],  # -P: no module of the user's folder
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            env=environment,
            start_new_session=sys.platform != "win32",
            **apart,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.append(line.rstrip())
            self._watcher.said(self.command, line.rstrip())

    def stop(self) -> None:
        """Ask it to save and end; the second time, to end at once."""
        if self.process.poll() is None:
            self._stopped = True
            self.process.send_signal(signal.CTRL_BREAK_EVENT if sys.platform == "win32" else signal.SIGINT)

    def ended(self) -> Ended:
        """After it has ended."""
        self._reader.join()
        return Ended(self.command, self.process.returncode, tuple(self._lines), self._stopped)

    def end(self) -> None:
        """See to it that it has ended."""
        try:
            self.process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def run_beside(
    commands: Sequence[Command], beside: int, watcher: Watcher, stop_requested: Callable[[], int] = lambda: 0
) -> bool:
    """Run commands, `beside` of them at a time, which share the cores; returns when all have ended.

    Args:
        stop_requested: asked often; where it says so, nothing more begins and what runs is asked to save and end.

    Returns:
        Whether all of them were begun and none was asked to stop.
    """
    waiting, running, stopped = deque(commands), list[_Child](), False
    environment = _environment(beside)
    try:
        while running or (waiting and not stopped):
            if not stopped and stop_requested():
                stopped = True
                for child in running:
                    child.stop()
            while waiting and not stopped and len(running) < beside:
                command = waiting.popleft()
                running.append(_Child(command, environment, watcher))
                watcher.began(command)
            for child in [c for c in running if c.process.poll() is not None]:
                running.remove(child)
                watcher.ended(child.ended())
            time.sleep(_LOOK_S)
    finally:  # a fault here, or a second Ctrl-C
        for child in running:
            child.stop()
        for child in running:
            child.end()
    return not stopped


def _environment(beside: int) -> dict[str, str]:
    """Ours, with the place that the program runs from, and each command's share of the cores."""
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH"))))
    share = {} if beside == 1 or _COUNT in os.environ else {_COUNT: str(max(1, len(cores()) // beside))}
    return os.environ | {"PYTHONPATH": path, "PYTHONIOENCODING": "utf-8"} | share
