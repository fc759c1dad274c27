"""What several commands do with their options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Annotated

import typer

from epurecli.cli.completion import run_folders
from epurecli.errors import CannotWrite, UsageError
from epurecli.files import OUT_HINT, writing

Checkpoint = Annotated[
    Path | None,
    typer.Option(
        help="Run folder or .safetensors file (default: the newest finished run).", autocompletion=run_folders
    ),
]
Which = Annotated[str, typer.Option(help="best or last weights of the run.")]
Runs = Annotated[Path | None, typer.Option(help="Folder of runs (default: outputs/<model>).")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]


@contextmanager
def claimed(out: Path | None, parent: Path, name: str) -> Iterator[Path]:
    """`out`, or else the first `<name>-<n>` in `parent` that is not there: made at once, so that commands which run at
    the same time get folders of their own, and removed where the block fails and leaves it empty.

    Raises: CannotWrite.
    """
    if out is not None:
        yield out
        return
    with writing(parent):
        made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
        parent.mkdir(parents=True, exist_ok=True)
        for n in count():
            folder = parent / f"{name}-{n}"
            try:
                folder.mkdir()
                break
            except FileExistsError:
                continue
    try:
        yield folder
    except BaseException:
        with suppress(OSError):
            for empty in (folder, *made):
                empty.rmdir()
        raise


def check_out(out: Path | None, parent: Path) -> None:
    """Before hours of work: whether a new folder `out` (or one in `parent`) can be made.

    Raises:
        UsageError: `out` is in use.
        CannotWrite: no permission.
    """
    wanted = out or parent / "new"
    with writing(wanted):
        if wanted.exists() and not wanted.is_dir():
            raise UsageError(f"--out {wanted} is a file, not a folder", hint="choose another --out")
        if wanted.is_dir() and any(wanted.iterdir()):
            raise UsageError(f"{wanted}: holds something already", hint="choose another --out")
        nearest = next(folder for folder in (wanted, *wanted.absolute().parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        raise CannotWrite(f"cannot write {wanted}: {nearest} is not yours to write to", OUT_HINT)


def check_which(which: str) -> None:
    """Raises: UsageError."""
    if which not in ("best", "last"):
        raise UsageError(f"--which {which}: expected best or last")
