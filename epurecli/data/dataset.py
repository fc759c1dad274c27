"""A data set as all else sees it: memory-mapped images, raw conditions, a split, a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epurecli.config.schema import DataConfig
from epurecli.data import toy
from epurecli.data.conditions import Columns, ConditionScaler, fit_scaler
from epurecli.data.images import padded_size
from epurecli.data.layout import MISSING
from epurecli.data.pack import BLOCK, OnProgress, Pack, PackSpec, build_pack, default_cache_dir, find_pack, write_block
from epurecli.data.problems import refuse
from epurecli.data.split import hold_out
from epurecli.data.store import ImageStore
from epurecli.data.survey import Survey, survey
from epurecli.data.table import Part
from epurecli.errors import DataError
from epurecli.types import Batch

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """M designs of C components."""

    components: tuple[str, ...]
    image_size: tuple[int, int]  # (height, width)
    prefixes: Sequence[str]  # (M,)
    store: ImageStore  # the images
    conditions: NDArray[np.float64]  # (M, D) in raw units
    train: NDArray[np.int64]  # designs to learn from
    validation: NDArray[np.int64]  # designs that choose epochs and rates: a part of the training split
    test: NDArray[np.int64]  # designs that judge, which training never reads
    scaler: ConditionScaler
    digest: str  # of the content: images, prefixes, conditions, split; the same wherever the files lie
    source: str  # one line for people
    known: NDArray[np.bool_] | None = None  # (M, C) the components that each design has; None: all of them
    warnings: tuple[str, ...] = ()  # what may not be as it was meant
    notes: tuple[str, ...] = ()  # what was taken for what

    def __len__(self) -> int:
        return len(self.conditions)

    @property
    def images(self) -> np.memmap:
        """(M, C, H, W) uint8, mapped read-only: for slices and statistics; `raw_images` is the way to pick designs."""
        return self.store.view

    def raw_images(self, indices: ArrayLike) -> NDArray[np.uint8]:  # -> (B, C, H, W)
        """Grey levels as they are stored."""
        return self.store.take(indices)

    def batch(self, indices: ArrayLike, device: str | torch.device = "cpu") -> Batch:
        """Images in [0, 1] and standardised conditions, on a device."""
        from epurecli.data.batch import to_batch

        chosen = np.asarray(indices, np.int64)
        there = self.there(chosen)
        known = None if there.all() else there
        return to_batch(self.raw_images(chosen), self.scaler.encode(self.conditions[chosen]), device, known)

    def whole(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Those of some designs that lack no component."""
        return indices[self.there(indices).all(1)]

    def there(self, indices: NDArray[np.int64]) -> NDArray[np.bool_]:  # -> (B, C)
        """The components that each of some designs has."""
        if self.known is None:
            return np.ones((len(indices), len(self.components)), bool)
        return self.known[indices]


def open_dataset(config: DataConfig, progress: OnProgress | None = None, cache_dir: Path | None = None) -> Dataset:
    """Open a data set; the first time, its images are decoded (or drawn) into the cache on all cores.

    Args:
        progress: called with (stage, designs done, designs in all) while the cache is filled.
        cache_dir: default `EPURE_CACHE_DIR`, else the platform's cache folder.

    Raises:
        NotFound: no such folder or CSV.
        DataError: the data has faults; nothing is written then.
        EpureError: the cache cannot be written.
    """
    cache_dir = default_cache_dir() if cache_dir is None else cache_dir
    if config.toy is not None:
        return _open_toy(config, progress, cache_dir)
    return _open_folder(config, progress, cache_dir)


def _open_folder(config: DataConfig, progress: OnProgress | None, cache_dir: Path) -> Dataset:
    listed = survey(config)
    refuse(listed.root, listed.problems)
    source = json.dumps([str(listed.root), str(config.csv_path), config.component_dirs, config.filename_pattern])
    ink = hashlib.sha256(repr(listed.ink).encode()).hexdigest()[:8]
    spec = PackSpec(
        identity=f"{listed.root.name[:40]}-{hashlib.sha256(source.encode()).hexdigest()[:16]}",
        fingerprint=f"{listed.located.fingerprint[:32]}-{ink}",
        shape=(len(listed.table.prefixes), len(config.component_dirs), *padded_size(listed.image_size)),
    )
    pack = find_pack(cache_dir, spec) or build_pack(
        cache_dir,
        spec,
        "epurecli.data.survey:decode_block",
        listed.jobs(),
        progress,
        accept=lambda results: _accepted(listed, results),
    )
    known = listed.located.branch != MISSING
    dataset = _assemble(
        config,
        pack,
        listed.table.prefixes,
        listed.table.columns,
        listed.part,
        str(config.root_dir),
        None if known.all() else known,
    )
    return replace(dataset, warnings=(*listed.warnings, *pack.warnings), notes=listed.notes)


def _accepted(listed: Survey, results: list[dict[str, Any]]) -> list[str]:
    refuse(listed.root, listed.faults(results))
    return listed.oddities(results)


def _open_toy(config: DataConfig, progress: OnProgress | None, cache_dir: Path) -> Dataset:
    assert config.toy is not None
    count, seed = config.toy.count, config.toy.seed
    unknown = [name for name in config.component_dirs if name not in toy.COMPONENTS]
    if unknown:
        raise DataError(f"the toy set has no component {unknown[0]!r}", f"it has {', '.join(toy.COMPONENTS)}")
    channels = [toy.COMPONENTS.index(name) for name in config.component_dirs]
    spec = PackSpec(
        identity=f"toy-v{toy.VERSION}-seed{seed}",
        fingerprint=f"{count}-{''.join(map(str, channels))}",
        shape=(count, len(channels), toy.HEIGHT, toy.WIDTH),
        table_width=len(toy.COLUMNS),
        replaces=False,
    )
    jobs = (
        {"seed": seed, "start": start, "count": min(BLOCK, count - start), "channels": channels}
        for start in range(0, count, BLOCK)
    )
    pack = find_pack(cache_dir, spec) or build_pack(
        cache_dir, spec, "epurecli.data.dataset:draw_block", jobs, progress, accept=lambda results: []
    )
    columns = toy.with_norms({name: pack.table[:, i] for i, name in enumerate(toy.COLUMNS)})
    missing = [name for name in config.condition_columns if name not in columns]
    if missing:
        raise DataError(f"the toy set has no condition {missing[0]!r}", f"it has {', '.join(columns)}")
    return _assemble(
        config,
        pack,
        ToyPrefixes(count),
        columns,
        np.where(toy.is_train(0, count), Part.TRAIN, Part.TEST),
        f"built-in toy set ({count:,} designs, seed {seed})",
    )


def _assemble(
    config: DataConfig,
    pack: Pack,
    prefixes: Sequence[str],
    columns: Columns,
    part: NDArray[np.integer],
    source: str,
    known: NDArray[np.bool_] | None = None,
) -> Dataset:
    """Put the pieces together; the digest covers all that a model could learn from."""
    is_train, validation = part != Part.TEST, np.flatnonzero(part == Part.VALIDATION)
    train = np.flatnonzero(part == Part.TRAIN)
    if not len(validation):
        train, validation = hold_out(train, prefixes, config.validation_share)
    names = config.condition_columns
    conditions = np.stack([columns[name] for name in names], axis=1) if names else np.empty((len(is_train), 0))
    digest = hashlib.sha256(json.dumps([config.component_dirs, names, pack.digest]).encode())
    digest.update("\0".join(prefixes).encode("utf-8", "surrogatepass"))
    digest.update(np.ascontiguousarray(conditions, "<f8").data)
    digest.update(is_train.tobytes())
    if known is not None:
        digest.update(known.tobytes())
    if (part == Part.VALIDATION).any():
        digest.update(validation.astype("<i8").tobytes())
    return Dataset(
        components=config.component_dirs,
        image_size=pack.images.view.shape[2:],
        prefixes=prefixes,
        store=pack.images,
        conditions=conditions,
        train=train,
        validation=validation,
        test=np.flatnonzero(part == Part.TEST),
        scaler=fit_scaler(names, columns, train, config.normalized),
        digest=digest.hexdigest(),
        source=source,
        known=known,
    )


class ToyPrefixes(Sequence[str]):
    """Names of toy designs, made when asked for: a million of them cost nothing."""

    def __init__(self, count: int) -> None:
        self._indices = range(count)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        chosen = self._indices[index]
        return [toy.prefix(i) for i in chosen] if isinstance(chosen, range) else toy.prefix(chosen)


def draw_block(job: dict[str, Any]) -> dict[str, Any]:
    """A worker's job: draw toy designs straight into a pack."""
    images, table = toy.draw(job["seed"], job["start"], job["count"])
    images = np.ascontiguousarray(images[:, job["channels"]])
    rows = np.stack([table[name] for name in toy.COLUMNS], axis=1).astype(np.float64)
    error = write_block(job["folder"], "images.u8", job["start"] * images[0].nbytes, images)
    error = error or write_block(job["folder"], "table.f64", job["start"] * rows[0].nbytes, rows)
    return {"digest": hashlib.sha256(images.data).hexdigest()} | ({"write_error": error} if error else {})
