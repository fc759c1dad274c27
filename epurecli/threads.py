"""How many threads compute, and how long they spin, on a machine that others use too.

Threads that wait for each other at a barrier spin for a while: alone that is the fastest way, but beside other
processes each spins away the time that the one it waits for would need. So they spin for less long, and there are fewer
of them where others keep cores busy. Whoever sets OpenMP's own variables (`OMP_NUM_THREADS`,
`OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`) is obeyed. docs/threads.md has the measurements.
"""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path

SPIN_COUNT = "10000"  # turns of a loop; libgomp's own is 300,000
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_COUNT = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_STAT = Path("/proc/stat")
_FIRST_LOOK_S = 0.1


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let OpenMP's threads spin briefly, unless the user has chosen. Only OpenMP libraries that load later see it."""
    if not any(name in environment for name in _WAITING):
        environment["GOMP_SPINCOUNT"] = SPIN_COUNT


def cores() -> frozenset[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def threads_beside(cores: int, busy: float) -> int:
    """Threads to compute with where others keep `busy` cores at work: what is left, rounded, and one at least."""
    return max(1, min(cores, round(cores - busy)))


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time spent until a moment, in seconds."""

    at: float
    everyone: float  # on the processors that this process may use
    own: float  # by this process

    def others_since(self, before: Usage) -> float:
        """Cores that other processes have kept busy since then."""
        wall = max(self.at - before.at, 1e-9)
        return max(0.0, (self.everyone - before.everyone) - (self.own - before.own)) / wall


def usage(stat: Path = _STAT) -> Usage | None:
    """None where the system does not tell (elsewhere than on Linux)."""
    allowed = cores()
    try:
        lines = stat.read_text(encoding="ascii").splitlines()
        rows = [line.split() for line in lines if line.startswith("cpu") and line[3:4].isdigit()]
        # user, nice, system, irq, softirq, steal: not idle (4), not waiting for a disk (5)
        spent = sum(int(row[i]) for row in rows if int(row[0][3:]) in allowed for i in (1, 2, 3, 6, 7, 8))
    except (OSError, ValueError, IndexError):
        return None
    own = os.times()
    return Usage(time.monotonic(), spent / os.sysconf("SC_CLK_TCK"), own.user + own.system)


def threads_to_spare() -> int:
    """Threads to compute with from now on; takes a tenth of a second, where the user has not chosen."""
    chosen = [os.environ[name] for name in _COUNT if os.environ.get(name, "").isdecimal()]
    if chosen:
        return max(1, int(chosen[0]))
    before = usage()
    if before is None:
        return len(cores())
    time.sleep(_FIRST_LOOK_S)
    after = usage()
    return len(cores()) if after is None else threads_beside(len(cores()), after.others_since(before))


class Threads:
    """torch's threads, as many as the machine has to spare each time that one looks.

    Args:
        fixed: leave their number alone, whatever others do.
    """

    def __init__(self, *, fixed: bool = False) -> None:
        self.fixed = fixed or any(name in os.environ for name in _COUNT)
        self._before: Usage | None = None

    def adjust(self) -> int:
        """Look, choose, and return the number. The first look takes a tenth of a second."""
        import torch

        if self.fixed:
            return torch.get_num_threads()
        if self._before is None:
            self._before = usage()
            time.sleep(_FIRST_LOOK_S)
        now = usage()
        if now is not None and self._before is not None:
            wanted = threads_beside(len(cores()), now.others_since(self._before))
            if wanted != torch.get_num_threads():
                torch.set_num_threads(wanted)
        self._before = now
        return torch.get_num_threads()
