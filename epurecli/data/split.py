"""Which designs are held out to test and to validate: chosen by their names, so that adding designs moves none."""

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
    held = _chosen([prefixes[row] for row in train], share)
    return train[~held], train[held]


def for_testing(prefixes: Sequence[str], share: float) -> NDArray[np.bool_]:  # -> (M,)
    """Which designs are held out to judge, where nobody says: those whose names hash below `share` in another hash than
    the one that holds out to validate."""
    return _chosen(prefixes, share, b"test")


def _chosen(prefixes: Sequence[str], share: float, salt: bytes = b"") -> NDArray[np.bool_]:
    """Names whose hash is below `share`; of two or more names one at least, and not all."""
    places = np.array([_place(prefix, salt) for prefix in prefixes])
    held = places < share
    if len(held) > 1:
        held[places.argmin()] = True
        held[places.argmax()] = False
    return held


def _place(prefix: str, salt: bytes = b"") -> float:
    """A number in [0, 1) that depends on nothing but the name."""
    digest = hashlib.blake2b(prefix.encode("utf-8", "surrogateescape"), digest_size=6, salt=salt).digest()
    return int.from_bytes(digest, "big") / 2**48
