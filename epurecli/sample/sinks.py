"""Where pixels go: folders of PNGs or sharded .npz files. Both write in the background, one block ahead of the caller.

Threads, not processes: zlib releases the interpreter's lock, nothing has to be pickled, and Windows is served alike.
Encoding and writing alone, on two idle cores and a memory disk, 64 x 32 images in five components, in designs/s:
Pillow 1,100 on one thread, 1,800 on two; an encoder like `grey_pngs` 2,300 on one thread, 3,400 on two, 2,800 on four,
4,400 in two processes (start-up not counted).
"""

from __future__ import annotations

import os
import zipfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from epurecli.errors import UsageError
from epurecli.files import writing
from epurecli.sample.png import grey_pngs

MAX_THREADS = 4  # beyond that they wait for the interpreter's lock


class Background:
    """A few threads, each with at most one task waiting or running; a task's exception comes out of a later call."""

    def __init__(self, workers: int | None) -> None:
        self.workers = workers or min(MAX_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(self.workers)
        self._pending: deque[Future[None]] = deque()

    def submit(self, task: Callable[..., None], *args: object) -> None:
        while len(self._pending) >= self.workers:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(task, *args))

    def wait(self) -> None:
        while self._pending:
            self._pending.popleft().result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class PngSink:
    """`<folder>/[uncertainty/|draws/<k>/]<component>/<name>_<component>.png`, 8-bit grey."""

    def __init__(self, folder: Path, components: Sequence[str], background: Background) -> None:
        self._folder, self._components, self._background = folder, components, background
        self._made: set[Path] = set()

    def add(self, names: Sequence[str], pixels: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
        """Write one block: uint8 `images`, perhaps `uncertainty` (B, C, H, W) and `draws` (B, S, C, H, W)."""
        folders = [(self._folder, pixels["images"])]
        if "uncertainty" in pixels:
            folders.append((self._folder / "uncertainty", pixels["uncertainty"]))
        if "draws" in pixels:
            draws = pixels["draws"].swapaxes(0, 1)  # (S, B, C, H, W)
            folders += [(self._folder / "draws" / str(k), draw) for k, draw in enumerate(draws)]
        for folder, _ in folders:
            for component in self._components:
                self._make(folder / component)
        step = -(-len(names) // self._background.workers)
        for start in range(0, len(names), step):
            part = slice(start, start + step)
            blocks = [(folder, block[part]) for folder, block in folders]
            self._background.submit(_write_pngs, names[part], self._components, blocks)

    def finish(self) -> None:
        self._background.wait()

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            with writing(folder):
                folder.mkdir(parents=True)
            self._made.add(folder)


class NpzSink:
    """`samples_00000.npz`, ...: `size` designs each: a million designs are a thousand files, and memory stays flat.

    Arrays of a shard: names (N,), components (C,), columns (D,), images (N, C, H, W) uint8, observed (N, C) bool,
    conditions (N, D) float64 (NaN = not given); where there are any, uncertainty (N, C, H, W) and draws
    (N, S, C, H, W) uint8.
    """

    def __init__(self, folder: Path, fixed: dict[str, np.ndarray], background: Background, size: int = 1024) -> None:
        self._folder, self._fixed, self._background, self._size = folder, fixed, background, size
        self._rows: list[dict[str, np.ndarray]] = []
        self._held = 0
        self._shards = 0

    def add(self, names: Sequence[str], pixels: dict[str, np.ndarray], labels: dict[str, np.ndarray]) -> None:
        """Collect one block; a full shard goes out. Shards do not depend on the size of the blocks."""
        block = {"names": np.array(names, dtype=np.str_), **pixels, **labels}
        if self._rows and self._rows[0].keys() != block.keys():
            raise ValueError(f"blocks of one run must hold the same arrays: {list(self._rows[0])}, then {list(block)}")
        start = 0
        while start < len(names):
            stop = min(len(names), start + self._size - self._held)
            self._rows.append({key: value[start:stop] for key, value in block.items()})
            self._held += stop - start
            start = stop
            if self._held == self._size:
                self._flush()

    def finish(self) -> None:
        if self._held:
            self._flush()
        self._background.wait()

    def _flush(self) -> None:
        arrays = {key: np.concatenate([row[key] for row in self._rows]) for key in self._rows[0]}
        path = self._folder / f"samples_{self._shards:05d}.npz"
        self._rows, self._held, self._shards = [], 0, self._shards + 1
        self._background.submit(_write_npz, path, {**self._fixed, **arrays})


def _write_pngs(names: Sequence[str], components: Sequence[str], blocks: Sequence[tuple[Path, np.ndarray]]) -> None:
    for folder, block in blocks:  # (B, C, H, W)
        for c, component in enumerate(components):
            for name, data in zip(names, grey_pngs(block[:, c]), strict=True):
                path = os.path.join(folder, component, f"{name}_{component}.png")  # noqa: PTH118 - a Path costs as much as the PNG
                with writing(path):
                    _write_new(path, data)


def _write_new(path: str, data: bytes) -> None:
    try:
        with open(path, "xb") as file:  # noqa: PTH123 - see above
            file.write(data)
    except FileExistsError:
        name = os.path.basename(path)  # noqa: PTH119 - see above
        message = f"two designs would be written to the same file {name}"
        raise UsageError(message, "give every design its own name") from None


def _write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    # What np.savez_compressed does, but at zlib's fastest level: five times as fast, files a tenth larger.
    with writing(path), zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for key, value in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                whole = np.ascontiguousarray(value)  # whatever its memory order: the same values are the same bytes
                np.lib.format.write_array(file, whole, allow_pickle=False)
