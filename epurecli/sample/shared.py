"""The sampler in several processes: the same designs, bit for bit, in the same order, however many there are.

A design's bits depend on the seed and its number alone, so each rank draws some blocks of designs, and they travel to
rank 0, which writes them as if it had drawn them all: files do not depend on who drew what, and no other rank needs
the folder they go to.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from epurecli.data.conditions import ConditionScaler
from epurecli.errors import EpureError
from epurecli.ranks import Ranks
from epurecli.sample.drawn import Drawn, join
from epurecli.sample.sampler import BLOCK, Generate, Request, cut, draw

SHARE = 4  # blocks at a time: enough to hide the way between processes, few enough to keep memory flat


def draw_shared(
    request: Request,
    generate: Generate,
    scaler: ConditionScaler,
    device: torch.device,
    block: int = BLOCK,
    ranks: Ranks | None = None,
) -> Iterator[Drawn]:
    """What `draw` yields, at rank 0, each rank having drawn its share; nothing at the others.

    Raises:
        EpureError: what any rank has raised, at rank 0.
        RuntimeError: the connection to a rank is lost; of a rank that has failed, once rank 0 has told.
    """
    ranks = ranks or Ranks()
    if ranks.count == 1:
        yield from draw(request, generate, scaler, device, block)
        return
    blocks = -(-len(request) // block)
    share = min(SHARE, -(-blocks // ranks.count)) * block
    for start in range(0, len(request), share * ranks.count):
        first = start + ranks.index * share
        stop = min(first + share, len(request))
        outcome: Drawn | EpureError | None = None
        try:
            if first < stop:
                outcome = join(list(draw(cut(request, first, stop), generate, scaler, device, block)))
        except EpureError as error:
            outcome = error
        except Exception as error:
            where = f"process {ranks.index} of {ranks.count}"
            outcome = EpureError(f"sampling failed in {where}: {type(error).__name__}: {error}")
        for part in ranks.gather(outcome):
            if isinstance(part, EpureError):
                raise part
            if part is not None:
                yield part
        if isinstance(outcome, EpureError):
            ranks.wait()  # for rank 0 to end this process too
