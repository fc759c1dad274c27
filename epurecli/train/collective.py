"""What the training processes add up."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

_HELD: deque = deque(maxlen=16)  # the newest collectives, to the end of the process


def reduce(tensor: Tensor, *, largest: bool = False) -> None:
    """All ranks' sum or maximum, in place.

    gloo's thread lets go of a collective after `wait` has returned. Were it the last to hold the tensor it would need
    the interpreter, and at exit there is none: Python ends such a thread, and the process aborts.
    """
    kinds = torch.distributed.ReduceOp
    work = torch.distributed.all_reduce(tensor, kinds.MAX if largest else kinds.SUM, async_op=True)
    _HELD.append(work)
    work.wait()
