"""Who is told about the work: nobody, unless somebody asks. Only the command line prints."""

from __future__ import annotations

import warnings
from typing import Protocol


class Listener(Protocol):
    """Is told what happens; returns at once."""

    def note(self, text: str) -> None:
        """A line about the work."""

    def warn(self, text: str) -> None:
        """Something that may not be what was meant."""

    def progress(self, what: str, done: int, total: int) -> None:
        """How far a piece of work is."""


class Quiet:
    """Keeps notes and progress to itself; warnings become Python's."""

    def note(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        warnings.warn(text, UserWarning, stacklevel=2)

    def progress(self, what: str, done: int, total: int) -> None: ...


class Silent(Quiet):
    """Hears nothing at all: for work whose warnings are shown otherwise, or that is done many times."""

    def warn(self, text: str) -> None: ...


QUIET, SILENT = Quiet(), Silent()
