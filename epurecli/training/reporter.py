"""What the loop tells whoever watches. The loop never prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from epurecli.config.schema import StageConfig


class Reporter(Protocol):
    """Receives the events of a run."""

    def stage(self, name: str, index: int, count: int, settings: StageConfig, steps_per_epoch: int) -> None: ...

    def step(self, epoch: int, batch: int) -> None: ...

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None: ...

    def note(self, text: str) -> None: ...


class Silent:
    """Watches nothing: for tests and library use."""

    def stage(self, name: str, index: int, count: int, settings: StageConfig, steps_per_epoch: int) -> None: ...

    def step(self, epoch: int, batch: int) -> None: ...

    def epoch(self, row: Mapping[str, float | int | str], improved: bool) -> None: ...

    def note(self, text: str) -> None: ...
