"""`--devices` and `--num-nodes`: which processes work together, and what each of them says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import typer

from epurecli.cli import console
from epurecli.errors import Diverged, EpureError, UsageError

if TYPE_CHECKING:
    import torch

    from epurecli.ranks import Ranks

R = TypeVar("R", bound="Ranks")


def follow_quietly() -> None:
    """A process that rank 0 (or torchrun) has started runs the same command, and says nothing about it."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    if "WORLD_SIZE" in os.environ and rank != "0":
        console.Settings.quiet = True


def counts(devices: str | None, nodes: int, device: torch.device) -> tuple[int, int]:
    """Processes on each machine, and machines. Raises: UsageError."""
    import torch

    from epurecli.ranks import launched

    there = torch.cuda.device_count() if device.type == "cuda" else 1  # one process takes all cores
    if devices in (None, "auto"):
        wanted = there if devices else 1
    elif devices.isdecimal() and int(devices) > 0:
        wanted = int(devices)
    else:
        raise UsageError(f"--devices {devices}: expected a number of processes, or auto")
    if wanted * nodes > 1 and device.index is not None:
        raise UsageError(f"--device {device}: with several processes each has a GPU of its own", "use --device cuda")
    started = launched()
    if started is not None:
        if device.type == "cuda" and started[0] > there:
            raise UsageError(f"torchrun has started {started[0]} processes on this machine, which has {there} GPUs")
        if devices not in (None, "auto") and wanted != started[0]:
            raise UsageError(f"--devices {devices}: torchrun has started {started[0]} processes on this machine")
        return started
    if device.type == "cuda" and wanted > there:
        raise UsageError(f"--devices {wanted}: there are {there} GPUs")
    if nodes > 1 and "MASTER_ADDR" not in os.environ:
        raise UsageError(
            f"--num-nodes {nodes}: the environment names no MASTER_ADDR to meet at",
            hint="set MASTER_ADDR, MASTER_PORT and NODE_RANK on every machine, or start epure with torchrun",
        )
    return wanted, nodes


@contextmanager
def joined(
    devices: str | None, nodes: int, device: torch.device, kind: type[R], doing: str
) -> Iterator[tuple[R, torch.device]]:
    """The ranks, and the device of this one. Where this process fails, so do those that it has started.

    Args:
        kind: how the ranks work together.
        doing: what, for people.

    Raises: UsageError, EpureError.
    """
    from epurecli.ranks import connect

    wanted, nodes = counts(devices, nodes, device)
    if wanted * nodes == 1:
        yield kind(), device
        return
    fabric = connect(wanted, nodes, device)
    ranks = kind(fabric)
    if not ranks.writes:
        console.Settings.quiet = True
    try:
        yield ranks, fabric.device
    except Diverged:
        if ranks.writes:
            raise  # one for all
    except RuntimeError as error:
        ranks.close(failed=True)
        if isinstance(error, typer.Exit):
            raise
        words = str(error).splitlines()[0]
        if "gloo" in words or "NCCL" in words:
            if not ranks.writes:
                raise typer.Exit(1) from None  # rank 0 tells, or it has failed and has told
            words = "the connection to another process was lost"
        raise EpureError(f"{doing} ended in process {ranks.index} of {ranks.count}: {words}", ranks.advice()) from error
    except BaseException:
        ranks.close(failed=True)
        raise
    ranks.close(failed=False)
