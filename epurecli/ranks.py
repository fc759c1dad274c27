"""The processes that do one piece of work together, on one machine or more: one is the rule.

Lightning Fabric makes and connects several, or torchrun or Slurm has started them. Training shares every batch among
them (`train/ranks.py`), sampling the designs (`sample/shared.py`). Rank 0 alone writes and speaks.
"""

from __future__ import annotations

import atexit
import logging
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from epurecli.errors import EpureError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")
LOOPBACK = ("lo", "lo0")
MEETING = "EPURE_MEETING"  # in the environment of the processes of one machine: the folder where they find each other
_ENDING = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}
_HELD: deque[Any] = deque(maxlen=16)  # the newest collectives, to the end of the process


class Ranks:
    """This process among those that work together. Without a fabric it is the only one.

    All of them must call the same methods in the same order.
    """

    def __init__(self, fabric: Fabric | None = None) -> None:
        self.fabric = fabric
        self.index, self.count = (0, 1) if fabric is None else (fabric.global_rank, fabric.world_size)

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes and speaks."""
        return self.index == 0

    def rows(self, whole: int) -> slice:
        """This rank's part of `whole` rows; parts differ by one row at most, and are empty where rows are too few."""
        return slice(whole * self.index // self.count, whole * (self.index + 1) // self.count)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over ranks."""
        if self.fabric is None:
            return tensor
        total = tensor.detach().clone()
        reduce(total)  # Fabric's own waits for a barrier first
        return total

    def totals(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """The same for named scalars, read at once."""
        if not sums:
            return {}
        together = self.total(torch.stack(list(sums.values())))
        return dict(zip(sums, together.tolist(), strict=True))

    def agree(self, elapsed: float, stop: int) -> tuple[float, int]:
        """The longest time, and whether anyone was asked to stop: what clocks and signals decide must be the same."""
        if self.fabric is None:
            return elapsed, stop
        most = torch.tensor([elapsed, float(stop)], dtype=torch.float64)  # on the CPU: no GPU waits for it
        reduce(most, largest=True)
        longest, wanted = most.tolist()
        return longest, int(wanted)

    @contextmanager
    def first(self) -> Iterator[None]:
        """Inside, one process of each machine goes before the others: it fills the cache, and fails for all."""
        leads = self.fabric is None or self.fabric.local_rank == 0
        if not leads:
            self.wait()
        yield
        if leads:  # and has not failed: the others need not fail in the same way
            self.wait()

    def agree_on(self, value: T) -> T:
        """Rank 0's value."""
        return value if self.fabric is None else self.fabric.broadcast(value)

    def gather(self, value: T) -> list[T]:
        """Every rank's value, in order, at rank 0; an empty list at the others."""
        if self.fabric is None:
            return [value]
        return [pickle.loads(data) for data in _gather(pickle.dumps(value))]  # from our own processes

    def wait(self) -> None:
        """Until all have come here."""
        self.agree(0.0, 0)

    def advice(self) -> str | None:
        """What people can do where one of the processes is lost."""
        return "if memory ran out, use fewer --devices"

    def close(self, failed: bool) -> None:
        """See to it that the processes which this one has started end."""
        if self.fabric is not None:
            end_children(self.fabric, failed)


def end_children(fabric: Fabric, failed: bool) -> None:
    """Wait for the processes that Fabric has started; where this one has failed, they may be waiting for it."""
    processes = getattr(fabric.strategy.launcher, "procs", [])
    children = list(processes)
    processes.clear()  # Fabric watches these, and would kill this process on seeing one of them killed
    for child in children if failed else ():
        child.kill()
    for child in children:
        child.wait()


def launched() -> tuple[int, int] | None:
    """(processes on this machine, machines) where torchrun has already started the ranks."""
    if not torch.distributed.is_available() or not torch.distributed.is_torchelastic_launched():
        return None
    local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    return local, world // local


def connect(devices: int, nodes: int, device: torch.device) -> Fabric:
    """Start the other processes of this machine with this process's own command line, and connect all.

    Raises:
        EpureError: a machine cannot be reached.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if nodes == 1:
        _stay_on_this_machine()
        _forget_stale_ranks()
    # What depends on a clock is agreed on beside the GPUs, which need not wait for it.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    started = launched() is not None or _on_slurm(devices * nodes)  # by others
    alone = nodes == 1 and not started

    class Strategy(DDPStrategy):
        def setup_environment(self) -> None:
            if alone:  # torch's own store listens on every interface, and anyone may write to it
                rank, where = int(os.environ["LOCAL_RANK"]), f"file://{os.environ[MEETING]}/store"
                torch.distributed.init_process_group(backend, init_method=where, rank=rank, world_size=devices)
            super().setup_environment()

    strategy = Strategy(process_group_backend=backend)
    plugins = None if started else LightningEnvironment()
    fabric = Fabric(accelerator=device.type, strategy=strategy, devices=devices, num_nodes=nodes, plugins=plugins)
    if alone and MEETING not in os.environ:
        os.environ[MEETING] = folder = tempfile.mkdtemp(prefix="epure-")  # nobody else may look into it
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    try:
        with _ending_at_once(fabric):
            fabric.launch()
    except (RuntimeError, ValueError) as error:
        end_children(fabric, failed=True)
        raise EpureError(f"the processes could not be connected: {error}") from error
    return fabric


def _forget_stale_ranks() -> None:
    """A shell may still hold ranks of something that ended: Fabric's own processes have a world besides."""
    if launched() is None and not ("WORLD_SIZE" in os.environ and MEETING in os.environ):
        for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", MEETING):
            os.environ.pop(name, None)


@contextmanager
def _ending_at_once(fabric: Fabric) -> Iterator[None]:
    """While processes connect, they wait in C++, where Python hears no signal: a thread does, and ends them all."""
    if threading.current_thread() is not threading.main_thread() or sys.platform == "win32":
        yield
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def listen() -> None:
        while number := os.read(read, 1)[0]:
            if number in _ENDING:
                for child in getattr(fabric.strategy.launcher, "procs", []):
                    child.kill()
                    child.wait()
                os._exit(128 + number)

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(write, b"\0")
        listener.join()
        os.close(read)
        os.close(write)


def _on_slurm(count: int) -> bool:
    """Whether srun has started this command `count` times. Inside `salloc` or a batch script Slurm's variables are set
    for a command that it has started once."""
    return os.environ.get("SLURM_STEP_NUM_TASKS") == str(count) and "SLURM_PROCID" in os.environ


def _stay_on_this_machine() -> None:
    """Meet on the loopback interface, whatever the machine's name resolves to: nobody else can connect."""
    if launched() is None:
        os.environ["MASTER_ADDR"] = "127.0.0.1"
    names = [name for _, name in socket.if_nameindex() if name in LOOPBACK]
    if names:
        os.environ["GLOO_SOCKET_IFNAME"] = names[0]


def reduce(tensor: Tensor, *, largest: bool = False) -> None:
    """All ranks' sum or maximum, in place.

    gloo's thread lets go of a collective after `wait` has returned. Were it the last to hold the tensor it would need
    the interpreter, and at exit there is none: Python ends such a thread, and the process aborts.
    """
    kinds = torch.distributed.ReduceOp
    work = torch.distributed.all_reduce(tensor, kinds.MAX if largest else kinds.SUM, async_op=True)
    _HELD.append(work)
    work.wait()


def _gather(data: bytes) -> list[bytes]:
    """Every rank's bytes, in order, at rank 0; an empty list at the others."""
    index, count = torch.distributed.get_rank(), torch.distributed.get_world_size()
    sizes = torch.zeros(count, dtype=torch.int64)
    sizes[index] = len(data)
    reduce(sizes)
    padded = torch.zeros(int(sizes.max()), dtype=torch.uint8)
    padded[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    parts = [torch.empty_like(padded) for _ in range(count)] if index == 0 else None
    torch.distributed.gather(padded, parts)
    reduce(torch.zeros(1))  # all are through, and gloo's thread with them: see above
    return [bytes(part[:size].numpy()) for part, size in zip(parts or (), sizes.tolist(), strict=False)]
