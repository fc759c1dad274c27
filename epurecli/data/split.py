"""Which training designs are held out to validate: chosen by their names, so that adding designs moves none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def hold_out(
    train: NDArray[np.int64], prefixes: Sequence[str], share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the rows of the training designs into those that train and those that validate.

    A design validates where the hash of its prefix, a number in [0, 1), is below `share`. Both parts get a design where
    there are two: the design with the smallest hash validates, the one with the largest trains.

    Args:
        train: (K,) rows.
        prefixes: (M,) of all designs.
        share: in (0, 1).

    Returns:
        (rows that train, rows that validate), each in order.
    """
    places = np.array([_place(prefixes[row]) for row in train])
    held = places < share
    if len(train) > 1:
        held[places.argmin()] = True
        held[places.argmax()] = False
    return train[~held], train[held]


def _place(prefix: str) -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(prefix.encode("utf-8", "surrogateescape"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
