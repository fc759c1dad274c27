"""`--devices` and `--num-nodes` of `epure train`: which processes train together, and what each of them says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from epurecli.cli import console
from epurecli.errors import Diverged, EpureError, UsageError

if TYPE_CHECKING:
    import torch

    from epurecli.train.ranks import Ranks


def follow_quietly() -> None:
    """A process that rank 0 (or torchrun) has started runs the same command, and says nothing about it."""
    rank = os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))
    if "WORLD_SIZE" in os.environ and rank != "0":
        console.Settings.quiet = True


def counts(devices: str | None, nodes: int, device: torch.device) -> tuple[int, int]:
    """Processes on each machine, and machines. Raises: UsageError."""
    import torch

    from epurecli.train.ranks import launched

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
def joined(devices: str | None, nodes: int, device: torch.device) -> Iterator[tuple[Ranks, torch.device]]:
    """The ranks, and the device of this one. Where this process fails, so do those that it has started.

    Raises: UsageError, EpureError.
    """
    from epurecli.train.ranks import Ranks, start_ranks

    wanted, nodes = counts(devices, nodes, device)
    if wanted * nodes == 1:
        yield Ranks(), device
        return
    ranks = start_ranks(wanted, nodes, device)
    if not ranks.writes:
        console.Settings.quiet = True
    try:
        yield ranks, ranks.fabric.device
    except Diverged:
        if ranks.writes:
            raise  # one for all
    except RuntimeError as error:
        ranks.close(failed=True)
        if isinstance(error, typer.Exit):
            raise
        words = str(error).splitlines()[0]
        if "gloo" in words or "NCCL" in words:
            words = "the connection to another process was lost"
        saved = ranks.folder is not None and (ranks.folder / "state.safetensors").is_file()
        hint = f"go on from the last saved state: --resume {ranks.folder}" if saved else None
        raise EpureError(f"training ended in process {ranks.index} of {ranks.count}: {words}", hint) from error
    except BaseException:
        ranks.close(failed=True)
        raise
    ranks.close(failed=False)
