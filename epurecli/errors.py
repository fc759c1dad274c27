"""Errors for people: what was wrong, where, what was expected, what to do. Each carries the exit code of the
command."""

from __future__ import annotations


class EpureError(Exception):
    """Base of everything that `epure` reports without a traceback.

    Args:
        message: one sentence that names the file, row or key and what was found there.
        hint: what to do about it, if that can be said.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(EpureError):
    """A flag, name or value that does not fit; nothing was started."""

    exit_code = 2


class ConfigError(UsageError):
    """A YAML file or `--set` that does not fit the schema; names file, key and the nearest valid key."""


class DataError(UsageError):
    """A data set with faults; names file and row."""


class UnsupportedMode(UsageError):
    """A mode that a model cannot serve; names those it can."""


class CannotWrite(EpureError):
    """A file or folder that the operating system refuses to write; names it."""


class Infeasible(EpureError):
    """A brief that no design answers; says what stands in the way, and what would open it."""


class NativeUnavailable(EpureError):
    """The native backend (or a device) was asked for and is not there."""

    exit_code = 3


class NotFound(EpureError):
    """A run, checkpoint or data set that is not there; says which command makes one."""

    exit_code = 4


class CheckpointError(NotFound):
    """A run folder or checkpoint that is missing, truncated or altered."""


class NumericalError(EpureError):
    """Training or sampling left the finite numbers; names the step and the terms."""

    exit_code = 5


class Diverged(NumericalError):
    """Training left the finite numbers in a way that every process which shares it sees alike."""


class NotPositiveDefinite(NumericalError):
    """A matrix has no Cholesky factor, even with the jitter that the policy allows; names the row."""
