"""What the studio remembers: one JSON file a session, whole at any moment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from epurecli.errors import CannotWrite, EpureError, UsageError
from epurecli.files import Lock, write_atomic, writing
from epurecli.studio.messages import UNSAID, Document, Kept, Settings, Wish
from epurecli.version import __version__

MOST_KEPT = 500
_NAME = re.compile(r"\w[\w .-]{0,59}")


class SessionFile(BaseModel):
    """The file's contents."""

    model_config = ConfigDict(extra="forbid")

    studio: Literal[1] = 1
    epure: str = __version__
    components: tuple[str, ...]
    size: tuple[int, int]  # height, width
    columns: tuple[str, ...]
    document: Document
    settings: Settings = Settings()
    kept: tuple[Kept, ...] = ()


class Session:
    """A session that one process at a time holds.

    Args:
        folder: of all sessions.
        name: of this one; the file is `<name>.json`.
        components, size, columns: of the runs that are open.

    Raises:
        UsageError: a name that is no file's, a session of other parts or of another process, a damaged file.
        CannotWrite: the folder cannot be made.
    """

    def __init__(
        self, folder: Path, name: str, components: tuple[str, ...], size: tuple[int, int], columns: tuple[str, ...]
    ) -> None:
        self.name, self.path = name, folder / f"{checked_name(name)}.json"
        with writing(folder, "run `epure studio` in a folder that you may write to, or choose another --out"):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(folder / f".{name}.lock", f"the session {name!r}")
        try:
            self.state = self._read(components, size, columns)
        except EpureError:
            self._lock.release()
            raise
        self.changed = False

    def _read(self, components: tuple[str, ...], size: tuple[int, int], columns: tuple[str, ...]) -> SessionFile:
        fresh = SessionFile(
            components=components, size=size, columns=columns, document=empty_document(len(components), size, columns)
        )
        if not self.path.exists():
            return fresh
        try:
            found = SessionFile.model_validate_json(self.path.read_bytes())
        except (ValidationError, OSError) as error:
            first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise UsageError(
                f"{self.path}: no session of this version of the studio ({first})",
                "move the file away, or start another with --session NAME",
            ) from error
        if (found.components, found.size) != (components, size):
            theirs = f"{', '.join(found.components)} at {found.size[0]} x {found.size[1]}"
            raise UsageError(
                f"{self.path}: a session about other designs ({theirs})", "start another with --session NAME"
            )
        if found.columns == columns:
            return found
        wishes = dict(zip(found.columns, found.document.brief, strict=False))  # the run has other conditions
        brief = tuple(wishes.get(name, Wish()) for name in columns)
        document = found.document.model_copy(update={"brief": brief})
        return found.model_copy(update={"columns": columns, "document": document})

    # --- what changes -------------------------------------------------------------------------------------------------

    def update(self, **parts: Document | Settings) -> None:
        """A new document, or new settings."""
        self._set(**parts)

    def keep(self, design: Kept) -> None:
        """Add a design, or replace that of the same id. Raises: UsageError: too many."""
        kept = {one.id: one for one in self.state.kept} | {design.id: design}
        if len(kept) > MOST_KEPT:
            raise UsageError(f"{MOST_KEPT} designs are kept: no more fit", "export them and let some go")
        self._set(kept=tuple(kept.values()))

    def drop(self, id: str) -> None:
        self._set(kept=tuple(one for one in self.state.kept if one.id != id))

    def _set(self, **parts: object) -> None:
        self.state = self.state.model_copy(update=parts)
        self.changed = True

    def save(self) -> None:
        """Write what has changed. Raises: CannotWrite."""
        if not self.changed:
            return
        self.changed = False
        try:
            write_atomic(self.path, self.state.model_dump_json(indent=1).encode())
        except CannotWrite:
            self.changed = True
            raise

    def close(self) -> None:
        """Save, and let others have it."""
        try:
            self.save()
        finally:
            self._lock.release()


def checked_name(name: str) -> str:
    """Raises: UsageError: a name that might leave its folder, or that some system does not write."""
    if not _NAME.fullmatch(name) or name[-1] in " .":
        raise UsageError(
            f"--session {name!r}: expected letters, digits, spaces, - and _", "the session is a file of that name"
        )
    return name


def empty_document(parts: int, size: tuple[int, int], columns: tuple[str, ...]) -> Document:
    """Nothing asked for, nothing painted."""
    paint = np.full(size[0] * size[1], UNSAID, np.uint8)
    return Document.model_construct(
        brief=tuple(Wish() for _ in columns), paint=paint, states=("free",) * parts, seed=0, draws=16, like=None
    )
