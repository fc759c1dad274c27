"""A folder of results appears when it is complete, or not at all; nobody else's files are ever removed.

Results are collected in a hidden folder, flushed to the disk and renamed. What a killed command left behind is
recognised by its lock, which died with it, and cleared by the next command that writes to the same place.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from epurecli.errors import CannotWrite, EpureError, UsageError
from epurecli.files import OUT_HINT, Lock, flush_folder, writing

MANY = 1000  # files from which on flushing all that the machine has is faster than one by one
_LOCKED = re.compile(r"\.(?:(?P<name>.+)\.)?[0-9a-f]{12}\.lock")

Check = Callable[[Path], None]  # raises UsageError unless the path may be replaced


def must_be_empty(out: Path) -> None:
    """The check of a command that replaces nothing. Raises: UsageError."""
    if not out.is_dir():
        raise UsageError(f"--out {out} is a file, not a folder", "name a new folder")
    if any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty", "name a new folder")


class StagedFolder:
    """Collects files in a hidden folder beside `out` that takes its place at the end, in one step.

    Where `out` is a mount, or the folder around it may not be written to, the hidden one is inside, and its entries
    move one by one.

    Args:
        out: the folder to appear; it may exist if `check` accepts it.
        check: raises unless what stands there may be replaced; asked now, and again in the moment of replacing.
        last: the entry that marks a result as complete, where entries move one by one.
        hint: what to do where the folder cannot be written.

    Raises:
        UsageError: what `check` raises; nothing is written then.
        CannotWrite: the place cannot be looked at.
    """

    def __init__(self, out: Path, check: Check = must_be_empty, *, last: str = "", hint: str = OUT_HINT) -> None:
        self.out, self._check, self._last, self._hint = Path(out).resolve(), check, last, hint
        self._made: list[Path] = []  # folders above `out` that did not exist
        self._lock: Lock | None = None
        with writing(self.out, hint):
            parent = self.out.parent
            self._inside = self.out.is_dir() and (os.path.ismount(self.out) or not os.access(parent, os.W_OK))
            self._home = self.out if self._inside else parent
            clear_leftovers(self._home, "" if self._inside else self.out.name)
            if self.out.exists():
                check(self.out)

    def open(self) -> Path:
        """Make the hidden folder. Raises: CannotWrite."""
        name = "" if self._inside else f"{self.out.name}."
        stem = f".{name}{uuid.uuid4().hex[:12]}"
        self.folder, self._earlier = self._home / f"{stem}.partial", self._home / f"{stem}.replaced"
        self._made = [parent for parent in (self._home, *self._home.parents) if not parent.exists()]
        try:
            with writing(self.folder, self._hint):
                self._home.mkdir(parents=True, exist_ok=True)
                self._lock = Lock(self._home / f"{stem}.lock", str(self.out))
                self.folder.mkdir()
        except BaseException:
            self.discard()
            raise
        return self.folder

    def commit(self) -> None:
        """Let the result appear. An earlier one is kept until the new one stands.

        Raises: CannotWrite: something else has taken the place; the complete result stays in the hidden folder.
        """
        try:
            with writing(self.out, self._hint):
                _flush_tree(self.folder)
                if self._inside:
                    self._move_entries()
                else:
                    self._swap()
                flush_folder(self._home)
        except EpureError as error:  # hours of work may lie in that folder: without a lock nobody clears it
            self._release()
            hint = f"what was made is complete in {self.folder}: move it by hand"
            raise CannotWrite(error.message, hint) from error
        shutil.rmtree(self._earlier, ignore_errors=True)
        self._release()

    def discard(self) -> None:
        """Remove what was made here and nothing else."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._release()
        for parent in self._made:  # innermost first
            try:
                parent.rmdir()
            except OSError:  # never made, or someone else put something there meanwhile
                return

    def _swap(self) -> None:
        if self.out.exists():
            self.out.rename(self._earlier)
        try:
            self._check_again()
            self.folder.rename(self.out)
        except BaseException:
            if self._earlier.exists():
                self._earlier.rename(self.out)
            raise

    def _move_entries(self) -> None:
        ours = {self.folder, self._home / f"{self.folder.stem}.lock"}
        earlier = sorted(set(self.out.iterdir()) - ours, key=lambda path: path.name != self._last)
        self._earlier.mkdir()
        moves = [(path, self._earlier / path.name) for path in earlier]
        results = sorted(self.folder.iterdir(), key=lambda path: path.name == self._last)
        done: list[tuple[Path, Path]] = []
        try:
            for source, target in moves:
                source.rename(target)
                done.append((source, target))
            self._check_again()
            for path in results:
                path.rename(self.out / path.name)
                done.append((path, self.out / path.name))
        except BaseException:
            for source, target in reversed(done):
                target.rename(source)
            self._earlier.rmdir()
            raise
        self.folder.rmdir()

    def _check_again(self) -> None:
        """Of what was moved aside, where nobody adds to it any more."""
        if self._earlier.exists():
            try:
                self._check(self._earlier)
            except UsageError as error:
                raise EpureError(f"{self.out} was filled by something else meanwhile") from error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()


@contextmanager
def staged(out: Path, check: Check = must_be_empty, *, last: str = "", hint: str = OUT_HINT) -> Iterator[Path]:
    """A hidden folder that takes the place of `out` when the block ends without an exception. See `StagedFolder`.

    Raises: UsageError: `out` is in use; CannotWrite.
    """
    folder = StagedFolder(out, check, last=last, hint=hint)
    path = folder.open()
    try:
        with writing(out, hint):
            yield path
    except BaseException:
        folder.discard()
        raise
    folder.commit()


def clear_leftovers(home: Path, name: str | None = None) -> None:
    """Remove what killed commands left in a folder (of one result or, without a name, of all).

    An earlier result that such a command had moved aside, and not yet replaced, comes back.
    """
    if not home.is_dir() or not os.access(home, os.W_OK):
        return
    for path in list(home.iterdir()):
        found = _LOCKED.fullmatch(path.name)
        if found is None or (name is not None and (found["name"] or "") != name):
            continue
        try:
            if not path.stat().st_size:
                continue  # about to be locked
            lock = Lock(path, path.name)
        except (UsageError, OSError):
            continue  # at work
        with lock:
            if lock.certain:
                _clear(path, home / found["name"] if found["name"] else None)


def _clear(lock: Path, out: Path | None) -> None:
    partial, earlier = lock.with_suffix(".partial"), lock.with_suffix(".replaced")
    if earlier.is_dir() and out is None:  # killed while entries moved one by one: that is for people to sort out
        return
    if earlier.is_dir() and out is not None:
        if out.exists():
            shutil.rmtree(earlier, ignore_errors=True)
        else:
            earlier.rename(out)
    shutil.rmtree(partial, ignore_errors=True)


def _flush_tree(folder: Path) -> None:
    """See to it that everything below a folder survives a power cut."""
    tree = [(Path(root), names) for root, _, names in os.walk(folder)]
    if sum(len(names) for _, names in tree) > MANY and hasattr(os, "sync"):
        os.sync()
        return
    for root, names in tree:
        for name in names:
            with (root / name).open("r+b") as file:
                os.fsync(file.fileno())
        flush_folder(root)
