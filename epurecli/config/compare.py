"""Two configs side by side, key by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from epurecli.config.schema import RunConfig


@dataclass(frozen=True, slots=True)
class Difference:
    """A key whose values differ. One that a side does not have is `ABSENT` there."""

    key: str  # dotted: training.lr
    one: Any
    other: Any


class Absent:
    """The value of a key that a config does not have: None is a value."""

    def __repr__(self) -> str:
        return "-"


ABSENT = Absent()


def differences(one: RunConfig, other: RunConfig) -> list[Difference]:
    """Every key that the resolved configs do not agree on, in the order of the first one's keys."""
    a, b = (dict(leaves(config.model_dump(mode="json"))) for config in (one, other))
    pairs = ((key, a.get(key, ABSENT), b.get(key, ABSENT)) for key in {**a, **b})
    return [Difference(*pair) for pair in pairs if pair[1] != pair[2]]


def leaves(tree: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of a dumped config; lists and empty sections are values."""
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
