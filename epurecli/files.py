"""Files that are whole or not there, and the lock that tells who is writing. `staging.py` does the same for folders."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Self

from epurecli.errors import CannotWrite, UsageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

OUT_HINT = "choose an --out folder that you may write to"
FULL = {  # what to do where there is no room
    errno.ENOSPC: "the disk is full: free some space, or choose an --out on another disk",
    getattr(errno, "EDQUOT", -1): "the disk quota is used up: free some space, or choose an --out on another disk",
}


@contextmanager
def writing(path: Path | str, hint: str = OUT_HINT) -> Iterator[None]:
    """Turn an operating system's error into one that names the path.

    Raises: CannotWrite.
    """
    try:
        yield
    except OSError as error:
        found = error.filename or path
        raise CannotWrite(f"cannot write {found}: {error.strerror or error}", FULL.get(error.errno, hint)) from error


# --- one file ---------------------------------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes) -> None:
    """Write, flush to disk, rename: a reader sees the old file or the new one, never half of one.

    Raises: CannotWrite: full disk, no permission.
    """
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        flush_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CannotWrite(
            f"{path}: cannot be written: {error.strerror}", hint="free some space or choose another --out"
        ) from error


def write_json(path: Path, tree: Any) -> None:
    """Write a tree of plain values, indented, as UTF-8. Raises: CannotWrite."""
    write_atomic(path, (json.dumps(tree, indent=2, ensure_ascii=False) + "\n").encode())


# --- who is writing ---------------------------------------------------------------------------------------------------


class Lock:
    """A file that one process at a time holds, on whichever machine that sees it. It ends with its process.

    Args:
        path: of the file; its folder must exist.
        what: which thing is in use, for people.

    Raises:
        UsageError: another process holds it; names it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path = path
        self.certain = True  # False where the file system knows no locks
        while True:
            self._file = path.open("a+b")
            try:
                _lock(self._file.fileno())
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    self.certain = False
                    break
                self._file.seek(0)
                holder = self._file.read().decode(errors="replace").strip() or "another process"
                self._file.close()
                raise UsageError(f"{what} is in use by {holder}", "wait for it to end, or stop it") from error
            with contextlib.suppress(OSError):
                if sys.platform == "win32" or os.fstat(self._file.fileno()).st_ino == path.stat().st_ino:
                    break
            self._file.close()  # whoever held it has removed the file that was just locked
        self._file.truncate(0)
        since = datetime.now().astimezone().isoformat(timespec="seconds")
        self._file.write(f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())
        self._file.flush()

    def release(self) -> None:
        """Let others have it; the file goes. May be called twice."""
        if self._file.closed:
            return
        if sys.platform == "win32":  # which removes no open file
            self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)  # beyond the text, which others must be able to read
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def flush_folder(folder: Path) -> None:
    """See to it that a folder's entries survive a power cut, where the operating system can."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):  # some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def open_regular(path: Path) -> BinaryIO:
    """A file, to be read. A pipe or a device in its place could keep its reader for ever.

    Raises: OSError: cannot be read, or is no regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "no regular file", str(path))
    return path.open("rb")
