"""Which files a sampling run leaves, so that only those are ever replaced."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from epurecli.errors import UsageError

MANIFEST = "manifest.csv"
SHEET = "contact_sheet.png"
DESIGNED, SIMULATE, BRIEF, REPORT = "designs.csv", "to_simulate.csv", "brief.yaml", "report.html"  # of `epure design`
EXPLORER = "explorer.html"
_SHARD = re.compile(r"samples_\d{5,}\.npz")


def replaceable(
    out: Path, overwrite: bool, stranger: Callable[[Path], str | None] | None = None
) -> Callable[[Path], None]:
    """A check of what stands at `out`: nothing, or (with `overwrite`) an earlier result and nothing else.

    Args:
        stranger: says why a folder is no such result, or None where it is one (default: of a sampling run).

    Returns:
        A function that raises UsageError, naming `out` wherever its contents lie by then.
    """

    def check(found: Path) -> None:
        if not found.is_dir():
            raise UsageError(f"--out {out} is a file, not a folder", "name a new folder")
        if not any(found.iterdir()):
            return
        if not overwrite:
            hint = "name a new folder, or add --overwrite to replace an earlier result"
            raise UsageError(f"--out {out} is not empty", hint)
        reason = (stranger or _stranger)(found)
        if reason is not None:
            hint = "name a new folder, or clear this one by hand"
            raise UsageError(f"--out {out} cannot be overwritten: {reason}", hint)

    return check


def _stranger(out: Path) -> str | None:
    """Why `out` is not the result of a sampling run and nothing else; None if it is."""
    manifest = out / MANIFEST
    if not manifest.is_file() or not manifest.read_bytes()[:64].startswith(b"name,"):
        return f"it has no {MANIFEST} of an earlier sampling run"
    for root, folders, files in os.walk(out):
        for name in (*folders, *files):
            path = Path(root, name)
            ours = name in folders or (
                name in (MANIFEST, SHEET, DESIGNED, SIMULATE, BRIEF, REPORT, EXPLORER) or _SHARD.fullmatch(name)
                if Path(root) == out
                else name.endswith(f"_{Path(root).name}.png")
            )
            if not ours or path.is_symlink():
                return f"it holds {path.relative_to(out)}, which no sampling run wrote"
    return None
