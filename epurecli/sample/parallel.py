"""The sampler in several processes: the same designs, bit for bit, in the same order, however many there are."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import TYPE_CHECKING

import torch

from epurecli.data.conditions import ConditionScaler
from epurecli.data.workers import usable_cores
from epurecli.errors import EpureError
from epurecli.sample.sampler import Generate, Request, cut, draw, grouped
from epurecli.sample.writer import Drawn

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue

SHARE = 4  # blocks a task: enough to hide the way between processes, few enough to keep memory flat

Engine = Callable[[str], Generate]  # a device's name -> a function that generates there; made in each process anew


def draw_in_processes(
    request: Request,
    engine: Engine,
    scaler: ConditionScaler,
    devices: Sequence[str],
    block: int,
) -> Iterator[Drawn]:
    """What `draw` yields, computed by one process for each of the devices ("cpu" may be named several times).

    The cores are shared out among the processes. A closed generator ends them.

    Args:
        engine: can be pickled: a module's function, or a partial of one.

    Raises:
        EpureError: a process was killed; whatever else a process raises.
    """
    context = get_context("spawn")  # a fork would copy torch's threads in whatever state they are
    free = context.SimpleQueue()
    for device in devices:
        free.put(device)
    threads = max(1, usable_cores() // len(devices))
    facts = engine, scaler, block
    pool = ProcessPoolExecutor(len(devices), context, _start, (free, threads, facts))
    pending = deque()
    try:
        for start in range(0, len(request), SHARE * block):
            part = cut(request, start, min(start + SHARE * block, len(request)))
            pending.append(pool.submit(_work, part))
            if len(pending) > 2 * len(devices):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise EpureError(
            "a sampling process ended before its work was done", "if memory ran out, use fewer --devices"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(free: SimpleQueue[str], threads: int, facts: tuple[Engine, ConditionScaler, int]) -> None:
    global _share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(threads)
    engine, scaler, block = facts
    device = free.get()
    _share = engine(device), scaler, torch.device(device), block


def _work(request: Request) -> Drawn:
    (drawn,) = grouped(draw(request, *_share), len(request))
    return drawn
