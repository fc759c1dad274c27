"""The processes that train one model together: one is the rule; Lightning Fabric makes and connects several.

`batch_size` is that of the whole step: each rank computes its rows of every batch, so the loss curve does not depend
on how many there are. (But each rank draws its own dropout, and a last batch of fewer designs than ranks is left
out.) Gradients are averaged by torch's DistributedDataParallel. Rank 0 alone writes.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from epurecli.config.schema import StageConfig
from epurecli.errors import EpureError
from epurecli.models.contract import Loss, Objective
from epurecli.nn.step import Step
from epurecli.train.batch_norm import pool_batch_norms
from epurecli.train.collective import reduce
from epurecli.types import Losses

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Ranks:
    """One process: everything is its own."""

    index, count = 0, 1

    @property
    def writes(self) -> bool:
        return self.index == 0

    def rows(self, whole: int) -> slice:
        """This rank's part of a batch; parts differ by one row at most, and are empty where rows are too few."""
        return slice(whole * self.index // self.count, whole * (self.index + 1) // self.count)

    def step(
        self, generator: torch.Generator, whole: int, settings: StageConfig, epoch: int = 0, index: int = 0
    ) -> Step:
        """What a loss is told of a batch of `whole` designs, of which this rank has its rows."""
        start = min(self.rows(whole).start, whole - 1)
        return Step(generator, settings, epoch, index, start, whole, self.total)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum over ranks."""
        return tensor

    def totals(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """The same for named scalars, read at once."""
        if not sums:
            return {}
        together = self.total(torch.stack(list(sums.values())))
        return dict(zip(sums, together.tolist(), strict=True))

    def agree(self, elapsed: float, stop: int) -> tuple[float, int]:
        """The longest time, and whether anyone was asked to stop: what clocks and signals decide must be the same."""
        return elapsed, stop

    def prepare(self, model: nn.Module) -> None:
        """Let what depends on the rest of a batch see all of it."""

    def loss(self, objective: Objective) -> Loss:
        """The objective's loss, made ready for `backward`."""
        return objective.loss

    def backward(self, total: Tensor, rows: int, step: Step) -> None:
        """Gradients of the mean over the whole batch, from each rank's mean over its own rows."""
        total.backward()

    def first(self) -> AbstractContextManager[None]:
        """Inside, one process of each machine goes before the others: it fills the cache, and fails for all."""
        return nullcontext()

    def agree_on(self, path: Path | None) -> Path:
        """Rank 0's path."""
        assert path is not None
        return path

    def wait(self) -> None:
        """Until all have come here."""

    def close(self, failed: bool) -> None:
        """See to it that the processes which this one has started end."""


class FabricRanks(Ranks):
    """Several processes, on one machine or more."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.index, self.count = fabric.global_rank, fabric.world_size
        self.folder: Path | None = None  # agreed on

    def total(self, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone()
        reduce(total)  # Fabric's own waits for a barrier first
        return total

    def agree(self, elapsed: float, stop: int) -> tuple[float, int]:
        most = torch.tensor([elapsed, float(stop)], dtype=torch.float64)  # on the CPU: no GPU waits for it
        reduce(most, largest=True)
        longest, wanted = most.tolist()
        return longest, int(wanted)

    def prepare(self, model: nn.Module) -> None:
        pool_batch_norms(model)

    def loss(self, objective: Objective) -> Loss:
        joined = self.fabric.strategy.setup_module(_Joined(objective))

        def loss(*arguments) -> Losses:
            total, terms = joined(arguments)
            return Losses(total, terms)

        return loss

    def backward(self, total: Tensor, rows: int, step: Step) -> None:
        # They come out averaged over ranks, whose numbers of rows may differ by one.
        (total * (self.count * rows / step.size(rows))).backward()

    @contextmanager
    def first(self) -> Iterator[None]:
        leads = self.fabric.local_rank == 0
        if not leads:
            self.wait()
        yield
        if leads:  # and has not failed: the others need not fail in the same way
            self.wait()

    def agree_on(self, path: Path | None) -> Path:
        self.folder = self.fabric.broadcast(path)
        return self.folder

    def wait(self) -> None:
        self.agree(0.0, 0)

    def close(self, failed: bool) -> None:
        end_children(self.fabric, failed)


class _Joined(nn.Module):
    """An objective as the one module that DistributedDataParallel wants: forward is the loss."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.parts, self.loss = nn.ModuleList(objective.trains), objective.loss

    def forward(self, arguments: tuple) -> tuple[Tensor, dict[str, Tensor]]:
        losses = self.loss(*arguments)
        return losses.total, losses.terms


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


def start_ranks(devices: int, nodes: int, device: torch.device) -> FabricRanks:
    """Start the other processes of this machine with this process's own command line, and connect all.

    Raises:
        EpureError: a machine cannot be reached.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy

    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # What depends on a clock is agreed on beside the GPUs, which need not wait for it.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    strategy = DDPStrategy(process_group_backend=backend)
    fabric = Fabric(accelerator=device.type, strategy=strategy, devices=devices, num_nodes=nodes)
    try:
        fabric.launch()
    except (RuntimeError, ValueError) as error:
        end_children(fabric, failed=True)
        raise EpureError(f"the training processes could not be connected: {error}") from error
    return FabricRanks(fabric)
