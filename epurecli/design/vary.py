"""Designs made better by drawing parts of them anew, around the others: for models through which no gradient passes.

A completion is a draw of the model's own conditional law, so whatever part is redrawn, designs stay what the model
takes for likely: blocks of a Gibbs sampler (Geman & Geman 1984, sec. XI), of which a search keeps what is nearer.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.design.propose import Candidates, Given, crisp_request, draw_bits
from epurecli.types import Mode


def can_vary(trained: TrainedModel, components: int, given: Given | None) -> bool:
    """Whether there is a part that may be drawn anew, another that stays, and a model that completes."""
    free = components if given is None else int((~given.mask).sum())
    return Mode.INPAINTING in trained.model.modes and components > 1 and free > 0


def vary(trained: TrainedModel, start: Candidates, numbers: range, seed: int, given: Given | None) -> Candidates:
    """Designs of which one part, or two, are drawn anew at the conditions that the whole was asked for.

    Args:
        start: crisp designs; they take turns.
        numbers: of the new designs: each has its own noise.
        given: parts that are kept in any case.
    """
    rows = np.arange(len(numbers)) % len(start)
    kept = np.zeros(start.bits.shape[1], bool) if given is None else given.mask
    shown = shown_parts(kept, len(numbers), np.random.default_rng((seed, numbers.start)))
    condition = start.condition[rows]
    images = start.bits.astype(np.uint8) * 255
    bits = draw_bits(trained, crisp_request(condition, numbers, seed, images=images, rows=rows, mask=shown))
    return Candidates(bits, condition, np.array(numbers), np.ones(len(numbers), bool))


def shown_parts(kept: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:  # (B, C)
    """All parts of each design but one or two that are not kept; one part at least is shown.

    Args:
        kept: (C,), not all.
    """
    order = np.where(kept, np.inf, rng.random((count, len(kept)))).argsort(1)  # free parts first, shuffled
    most = min(2, int((~kept).sum()), len(kept) - 1)
    hidden = np.arange(len(kept)) < rng.integers(1, most + 1, count)[:, None]
    shown = np.ones((count, len(kept)), bool)
    np.put_along_axis(shown, order, ~hidden, 1)
    return shown
