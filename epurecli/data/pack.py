"""The packed cache: all images of a data set in one raw uint8 file that is memory-mapped, so epochs decode nothing.

    <cache>/<identity>/<fingerprint>/images.u8     (M, C, H, W) uint8
                                     table.f64     (M, T) float64, toy sets only
                                     pack.json     shape, digest, digest of each block

A pack is built in a folder of its own, flushed to the disk and renamed into place when complete: readers see a whole
pack or none, and of two processes that build the same one, the first wins and the other's is dropped. Each time it is
opened some of its blocks are compared with their digests: what a disk lost is packed anew, never believed. Nothing in
it can be executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epurecli.data.store import ImageStore
from epurecli.data.workers import Job, Result, processes_for, run_jobs
from epurecli.errors import CannotWrite, EpureError
from epurecli.staging import clear_leftovers, staged

BLOCK = 512  # designs per job and per partial digest; part of the digest's definition
_VERSION = 3
_LOOKED_AT = 3  # blocks that are compared with their digests at each opening: some 10 ms

OnProgress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class PackSpec:
    """What is to be packed, and where it is looked for."""

    identity: str  # names the source; packs of one identity replace each other if `replaces`
    fingerprint: str  # changes with the source's content
    shape: tuple[int, int, int, int]  # (M, C, H, W)
    table_width: int = 0
    replaces: bool = True


@dataclass(frozen=True, slots=True)
class Pack:
    """An opened pack."""

    images: ImageStore  # (M, C, H, W) uint8
    table: np.ndarray  # (M, T) float64, read-only
    digest: str
    warnings: tuple[str, ...] = ()  # of the images, found when they were decoded


def default_cache_dir() -> Path:
    """`EPURE_CACHE_DIR`, or the platform's cache folder; where there is no home, one for temporary files."""
    try:
        return _chosen_cache_dir()
    except RuntimeError:  # a container's user without a home
        return Path(tempfile.gettempdir()) / f"epure-cache-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def _chosen_cache_dir() -> Path:
    if chosen := os.environ.get("EPURE_CACHE_DIR"):
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "epure" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "epure"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epure"


def find_pack(cache_dir: Path, spec: PackSpec) -> Pack | None:
    """The pack, if a whole one of this shape is there."""
    folder = cache_dir / spec.identity / spec.fingerprint
    try:
        header = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        images, table = folder / "images.u8", folder / "table.f64"
        table_shape = (spec.shape[0], spec.table_width)
        whole = (
            header["version"] == _VERSION
            and tuple(header["shape"]) == spec.shape
            and images.stat().st_size == int(np.prod(spec.shape, dtype=np.int64))
            and (not spec.table_width or table.stat().st_size == 8 * table_shape[0] * table_shape[1])
        )
        if not whole:
            return None
        blocks = header["blocks"]
        if header["digest"] != _digest_of(blocks, spec) or not _sound(images, blocks, spec):
            return None
        if spec.table_width and hashlib.sha256(table.read_bytes()).hexdigest() != header["table"]:
            return None
        rows = np.memmap(table, np.float64, "r", shape=table_shape) if spec.table_width else np.empty(table_shape)
        return Pack(ImageStore(images, spec.shape), rows, header["digest"], tuple(header["warnings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None  # absent, or damaged from outside: it is built anew


def build_pack(
    cache_dir: Path,
    spec: PackSpec,
    task: str,
    jobs: Iterable[Job],
    progress: OnProgress | None,
    accept: Callable[[list[Result]], list[str]],
) -> Pack:
    """Run jobs that fill the files, then publish the pack.

    Args:
        task, jobs: as `run_jobs`; each job has `start` and `count` and gets `folder` added. Its result holds the
            `digest` of its block of images, or `write_error`.
        accept: looks at all results and raises if the pack must not be published; gives warnings to keep with it.

    Raises:
        EpureError: the cache folder cannot be written.
    """
    home = cache_dir / spec.identity
    total, finished = spec.shape[0], 0

    def done(job: Job) -> None:
        nonlocal finished
        finished += job["count"]
        if progress:
            progress("packing", finished, total)

    try:
        with suppress(_BuiltMeanwhile), staged(home / spec.fingerprint, lambda damaged: None) as folder:
            _allocate(folder / "images.u8", int(np.prod(spec.shape, dtype=np.int64)))
            if spec.table_width:
                _allocate(folder / "table.f64", 8 * total * spec.table_width)
            results = run_jobs(
                task,
                ({**job, "folder": str(folder)} for job in jobs),
                done,
                processes=processes_for(total * spec.shape[1]),
            )
            failed = next((result["write_error"] for result in results if "write_error" in result), None)
            if failed:
                raise CannotWrite(failed)
            warnings = accept(results)
            blocks = [result["digest"] for result in results]
            header: dict[str, Any] = {"version": _VERSION, "shape": spec.shape, "digest": _digest_of(blocks, spec)}
            header |= {"blocks": blocks, "warnings": warnings}
            if spec.table_width:
                header["table"] = hashlib.sha256((folder / "table.f64").read_bytes()).hexdigest()
            (folder / "pack.json").write_text(json.dumps(header), encoding="utf-8")
            if find_pack(cache_dir, spec) is not None:
                raise _BuiltMeanwhile
    except CannotWrite as error:
        if find_pack(cache_dir, spec) is None:
            raise _unwritable(cache_dir, error.message) from None
    if spec.replaces:
        _tidy(home, keep=spec.fingerprint)
    pack = find_pack(cache_dir, spec)
    if pack is None:
        raise _unwritable(cache_dir, "what was written cannot be read back")
    return pack


def _digest_of(blocks: Sequence[str], spec: PackSpec) -> str:
    """Of the whole pack, from its blocks' digests."""
    return hashlib.sha256(f"{spec.shape[1:]}{''.join(blocks)}".encode()).hexdigest()


def _sound(images: Path, blocks: Sequence[str], spec: PackSpec) -> bool:
    """Whether the last block and some others, other ones each time, hold what was written."""
    size = BLOCK * int(np.prod(spec.shape[1:], dtype=np.int64))
    if len(blocks) != -(-spec.shape[0] // BLOCK):
        return False
    chosen = {len(blocks) - 1, *random.SystemRandom().choices(range(len(blocks)), k=_LOOKED_AT - 1)}
    with images.open("rb") as stream:
        for number in chosen:
            stream.seek(number * size)
            if hashlib.sha256(stream.read(size)).hexdigest() != blocks[number]:
                return False
    return True


class _BuiltMeanwhile(Exception):
    """By another process, whose pack is kept: it may be in use."""


def write_block(folder: str, name: str, offset: int, data: np.ndarray) -> str | None:
    """Write an array at a byte offset; the error's text if the disk refuses (a map would kill the process)."""
    try:
        with (Path(folder) / name).open("r+b") as stream:
            stream.seek(offset)
            stream.write(np.ascontiguousarray(data).data)
    except OSError as error:
        return str(error)
    return None


def _allocate(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)


def _tidy(home: Path, keep: str) -> None:
    """Remove packs of the source's former contents, and builds that were killed. Whoever maps an old pack keeps it."""
    clear_leftovers(home)
    for other in home.iterdir():
        if other.name != keep and not other.name.startswith("."):
            shutil.rmtree(other, ignore_errors=True)


def _unwritable(cache_dir: Path, error: str) -> EpureError:
    return EpureError(
        f"the image cache {cache_dir} cannot be written: {error}", "set EPURE_CACHE_DIR to a folder with room"
    )
