"""Is the spread that is shown as wide as it should be? Measured for the parts that are given, on designs that training
did not see, so that a page can say it beside the picture."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from epurecli.evaluate.completions import spread_ratio
from epurecli.pictures.crisp import planes
from epurecli.studio.engine import Engine
from epurecli.studio.messages import UNSAID, Document, Wish


def shown_spread(
    engine: Engine, given: tuple[bool, ...], designs: NDArray[np.uint8], stop: Callable[[], bool]
) -> float | None:
    """Pixels in which two draws differ, by those in which a draw and the truth differ; 1 where both come from one law.

    Args:
        given: (C,) parts that are given.
        designs: (N, H, W) held-out ones.
        stop: asked between designs.

    Returns: the mean over hidden parts; None where `stop` said so, or where draws are never wrong.
    """
    parts, drawn = len(given), []
    shown = np.flatnonzero(given) + 1
    for design in designs:
        if stop():
            return None
        flat = design.ravel()
        document = Document.model_construct(
            brief=tuple(Wish() for _ in engine.columns),
            paint=np.where(np.isin(flat, shown), flat, UNSAID).astype(np.uint8),
            states=tuple(_state(flat, part + 1, known) for part, known in enumerate(given)),
            seed=0,
            draws=16,
            like=None,
        )
        *_, picture = engine.answer(document, stop)
        drawn.append(planes(picture.labels[1:], parts))
    ratio = spread_ratio(np.stack(drawn), planes(designs, parts))[~np.array(given)]
    return None if np.isnan(ratio).all() else float(np.nanmean(ratio))


def _state(design: NDArray[np.uint8], part: int, given: bool) -> str:
    if not given:
        return "free"
    return "given" if (design == part).any() else "none"
