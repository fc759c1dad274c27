"""What several commands do with their options."""

from __future__ import annotations

from pathlib import Path

from epurecli.errors import UsageError


def fresh_folder(parent: Path, name: str) -> Path:
    """The first `<name>-<n>` that is not there."""
    n = 0
    while (parent / f"{name}-{n}").exists():
        n += 1
    return parent / f"{name}-{n}"


def check_which(which: str) -> None:
    """Raises: UsageError."""
    if which not in ("best", "last"):
        raise UsageError(f"--which {which}: expected best or last")
