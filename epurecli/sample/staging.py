"""The output folder appears when it is complete, or not at all; nobody else's files are ever removed."""

from __future__ import annotations

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epurecli.errors import EpureError, UsageError

MANIFEST = "manifest.csv"
SHEET = "contact_sheet.png"
_SHARD = re.compile(r"samples_\d{5,}\.npz")
_HINTS = {
    "ENOSPC": "the disk is full: free some space, or choose an --out on another disk",
    "EDQUOT": "the disk quota is used up: free some space, or choose an --out on another disk",
}


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn an operating system's error into one that names the path."""
    try:
        yield
    except OSError as error:
        hint = _HINTS.get(errno.errorcode.get(error.errno or 0, ""), "choose an --out folder that you may write to")
        raise EpureError(f"cannot write {error.filename or path}: {error.strerror or error}", hint) from error


class Staging:
    """Collects results in a hidden folder and moves them to `out` at the end.

    Args:
        out: the folder to appear; it may exist if it is empty.
        overwrite: also accept a folder that holds an earlier result, and nothing else; it is replaced at the end.

    Raises:
        UsageError: `out` is a file, is not empty, or (with `overwrite`) holds something that no sampling run wrote.
    """

    def __init__(self, out: Path, *, overwrite: bool) -> None:
        self.out = Path(out).resolve()
        self._old = _replaceable(self.out, overwrite)
        self._parents: list[Path] = []  # folders above `out` that did not exist

    def open(self) -> Path:
        """Make the hidden folder: inside `out` where that exists (it may be a mount), else beside it."""
        home = self.out if self.out.is_dir() else self.out.parent
        self.folder = home / f".{self.out.name}.partial-{uuid.uuid4().hex[:12]}"
        self._parents = [p for p in (home, *home.parents) if not p.exists()]
        with writing(self.folder):
            self.folder.mkdir(parents=True)
        return self.folder

    def commit(self) -> None:
        """Let the result appear: in one step where `out` is new, else the manifest last, which marks it complete."""
        try:
            with writing(self.out):
                if not self.out.exists():
                    self.folder.rename(self.out)
                    return
                if set(self.out.iterdir()) - {self.folder, *self._old}:
                    raise EpureError(f"{self.out} was filled by something else meanwhile")
                for path in self._old:
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                for path in sorted(self.folder.iterdir(), key=lambda p: p.name == MANIFEST):
                    path.rename(self.out / path.name)
                self.folder.rmdir()
        except EpureError as error:  # hours of sampling may lie in that folder
            raise EpureError(
                error.message, f"what was sampled is complete in {self.folder}: move it by hand"
            ) from error

    def discard(self) -> None:
        """Remove what was made here and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for path in self._parents:  # innermost first
            try:
                path.rmdir()
            except OSError:  # someone else put something there meanwhile
                return


def _replaceable(out: Path, overwrite: bool) -> tuple[Path, ...]:
    """The entries of an earlier result in `out`, the manifest first."""
    with writing(out):
        if not out.exists():
            return ()
        if not out.is_dir():
            raise UsageError(f"--out {out} is a file, not a folder", "name a new folder")
        entries = sorted(out.iterdir(), key=lambda p: (p.name != MANIFEST, p.name))
        if not entries:
            return ()
        if not overwrite:
            hint = "name a new folder, or add --overwrite to replace an earlier result"
            raise UsageError(f"--out {out} is not empty", hint)
        stranger = _stranger(out)
    if stranger is not None:
        hint = "name a new folder, or clear this one by hand"
        raise UsageError(f"--out {out} cannot be overwritten: {stranger}", hint)
    return tuple(entries)


def _stranger(out: Path) -> str | None:
    """Why `out` is not the result of a sampling run and nothing else; None if it is."""
    manifest = out / MANIFEST
    if not manifest.is_file() or not manifest.read_bytes()[:64].startswith(b"name,"):
        return f"it has no {MANIFEST} of an earlier sampling run"
    for root, folders, files in os.walk(out):
        for name in (*folders, *files):
            path = Path(root, name)
            ours = name in folders or (
                name in (MANIFEST, SHEET) or _SHARD.fullmatch(name)
                if Path(root) == out
                else name.endswith(f"_{Path(root).name}.png")
            )
            if not ours or path.is_symlink():
                return f"it holds {path.relative_to(out)}, which no sampling run wrote"
    return None
