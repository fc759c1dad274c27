"""Writes what was sampled: images, the manifest, the contact sheet."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import numpy as np

from epurecli.data.layout import RESERVED
from epurecli.errors import EpureError, UsageError
from epurecli.files import writing
from epurecli.pictures.section import Side
from epurecli.sample.drawn import Drawn, as_bytes, draws_as_bytes
from epurecli.sample.layout import MANIFEST, SHEET, replaceable
from epurecli.sample.names import check_file_name
from epurecli.sample.sampler import EXAMPLES, SHOWN
from epurecli.sample.sheet import Tile, contact_sheet
from epurecli.sample.sinks import Background, NpzSink, PngSink
from epurecli.staging import StagedFolder
from epurecli.text import csv_cell

_LEADING = ("model", "mode", "seed")  # provenance that stands before the conditions in the manifest


class SampleWriter:
    """Writes blocks of designs into a folder that appears, complete, when the `with` block ends without an exception.

    Format "png": `<component>/<name>_<component>.png`, `uncertainty/<component>/...` (standard deviation, 0..0.5 as
    0..255), `draws/<k>/<component>/...`. Format "npz": `samples_00000.npz`, ... (see `NpzSink`). With both come
    `manifest.csv`, one row per design, and `contact_sheet.png` of the first designs. Images are 8-bit: round(255 x).

    Args:
        out: the folder to appear; it may exist if it is empty.
        components: their names, in the order of the images' axis.
        columns: the conditions' names.
        format: a PNG per component and design, or a few large files.
        overwrite: replace an earlier result.
        provenance: model, mode, seed, checkpoint, ...: each is a column of the manifest, the same in every row.
        workers: writing threads (default: one a core, at most 4).
        sheet_rows: designs on the contact sheet; half as many where truth or uncertainty stand beside them.
        mirror: the edge of the images that is the centre plane.
        beside: further files, by name, that appear with the rest.

    Raises:
        UsageError: `out` is in use (nothing is written), a name cannot be a file name, or two designs have the same.
        EpureError: the disk is full or the folder not writable.
        NumericalError: an image that is not finite.
    """

    def __init__(
        self,
        out: Path,
        components: Sequence[str],
        columns: Sequence[str],
        *,
        format: Literal["png", "npz"] = "png",
        overwrite: bool = False,
        provenance: dict[str, str],
        workers: int | None = None,
        sheet_rows: int = SHOWN,
        mirror: Side = Side.RIGHT,
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> None:
        self._components, self._columns = tuple(components), tuple(columns)
        self._before = {key: str(provenance[key]) for key in _LEADING if key in provenance}
        self._after = {key: str(value) for key, value in provenance.items() if key not in _LEADING}
        self._header = ("name", *self._before, *self._columns, "observed", *self._after)
        twice = sorted({key for key in self._header if self._header.count(key) > 1})
        if twice:
            raise UsageError(
                f"condition {twice[0]!r} has the name of another column of {MANIFEST}", "rename the condition"
            )
        for component in self._components:
            check_file_name(component, "component")
            if component.lower() in RESERVED:
                raise UsageError(f"a component cannot be called {component!r}: results have a folder of that name")
        self._format, self._workers = format, workers
        self._sheet_rows, self._mirror, self._beside = sheet_rows, mirror, beside
        self._staging = StagedFolder(out, replaceable(out, overwrite), last=MANIFEST)
        self._tiles: list[Tile] = []
        self.count = 0  # designs written so far

    def __enter__(self) -> Self:
        folder = self._staging.open()
        self._background = Background(self._workers)
        if self._format == "png":
            self._sink: PngSink | NpzSink = PngSink(folder, self._components, self._background)
        else:
            fixed = {
                "components": np.array(self._components, dtype=np.str_),
                "columns": np.array(self._columns, dtype=np.str_),
            }
            self._sink = NpzSink(folder, fixed, self._background)
        try:
            with writing(folder / MANIFEST):
                self._manifest = (folder / MANIFEST).open("w", encoding="utf-8", newline="")
        except EpureError:
            self._staging.discard()
            raise
        self._rows = csv.writer(self._manifest, lineterminator="\n")
        self._rows.writerow(map(csv_cell, self._header))
        return self

    def write(self, drawn: Drawn) -> None:
        """Take one block. Returns as soon as it is converted to bytes; the arrays may be changed afterwards."""
        _check_shapes(drawn, len(self._components), len(self._columns))
        for name in drawn.names:
            check_file_name(name, "design")
        pixels = as_bytes(drawn, self._components)
        mask = np.zeros(pixels["images"].shape[:2], dtype=bool) if drawn.mask is None else np.array(drawn.mask)
        if drawn.conditions is None:
            conditions = np.full((len(drawn), len(self._columns)), np.nan)
        else:
            conditions = np.array(drawn.conditions, dtype=np.float64)
        self._sink.add(drawn.names, pixels, {"observed": mask, "conditions": conditions})
        with writing(self._staging.folder / MANIFEST):
            for name, given, values in zip(drawn.names, mask, conditions, strict=True):
                cells = ["" if np.isnan(value) else number(value) for value in values]
                seen = "+".join(c for c, g in zip(self._components, given, strict=True) if g)
                before, after = (map(csv_cell, facts.values()) for facts in (self._before, self._after))
                self._rows.writerow([csv_cell(name), *before, *cells, csv_cell(seen), *after])
        alone = drawn.truth is None and drawn.spread is None
        room = self._sheet_rows if alone else -(-self._sheet_rows // 2)
        self._tiles += tiles_of(drawn, pixels["images"], self._components, self._columns, room - len(self._tiles))
        self.count += len(drawn)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        complete = False
        try:
            if kind is None:
                self._sink.finish()
                self._draw_sheet()
                for name, content in self._beside.items():
                    with writing(self._staging.folder / name):
                        (self._staging.folder / name).write_bytes(content)
                with writing(self._staging.folder / MANIFEST):
                    self._manifest.close()
                complete = True
        finally:
            self._background.close()
            if not complete:
                with suppress(OSError):  # the error that ended the block says more
                    self._manifest.close()
                self._staging.discard()
        if complete:
            self._staging.commit()

    def _draw_sheet(self) -> None:
        if not self._tiles:
            return
        title = sheet_title(self._before, len(self._tiles), self.count)
        sheet = contact_sheet(self._tiles, self._components, title=title, mirror=self._mirror)
        path = self._staging.folder / SHEET
        with writing(path):
            sheet.save(path)


def sheet_title(provenance: Mapping[str, str], shown: int, count: int) -> str:
    """What stands over a contact sheet of `shown` of `count` designs."""
    seed = provenance.get("seed")
    parts = [provenance.get("model", ""), provenance.get("mode", ""), f"seed {seed}" if seed is not None else ""]
    return " - ".join(filter(None, [*parts, f"{shown:,} of {count:,} designs" if count > shown else ""]))


def tiles_of(
    drawn: Drawn, images: np.ndarray, components: Sequence[str], columns: Sequence[str], count: int
) -> list[Tile]:
    """The first `count` designs of a block, whose bytes are `images`, for the contact sheet."""
    mask = np.zeros(images.shape[:2], dtype=bool) if drawn.mask is None else drawn.mask
    values = np.full((len(drawn), len(columns)), np.nan) if drawn.conditions is None else drawn.conditions
    examples = _examples(drawn, components)
    return [
        Tile(
            name=drawn.names[b],
            image=images[b].copy(),
            observed=np.array(mask[b]),
            truth=None if drawn.truth is None else np.array(drawn.truth[b]),
            spread=None if drawn.spread is None else np.array(drawn.spread[b]),
            draws=examples[b] if b < len(examples) else None,
            caption=tuple(f"{c} {v:.5g}" for c, v in zip(columns, values[b], strict=True) if not np.isnan(v)),
        )
        for b in range(min(count, len(drawn)))
    ]


def _examples(drawn: Drawn, components: Sequence[str]) -> np.ndarray:
    """A few draws of the first designs, (K, 3, C, H, W) uint8; K may be 0."""
    found = drawn.examples
    if found is None and drawn.draws is not None and drawn.spread is not None:
        found = drawn.draws[:SHOWN, :EXAMPLES]
    return np.empty((0, 0)) if found is None else draws_as_bytes(found, drawn, components)


def number(value: float) -> str:
    """The shortest text that reads back as the same number; whole numbers without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def _check_shapes(drawn: Drawn, components: int, columns: int) -> None:
    batch = len(drawn)
    shape = (batch, components, *drawn.images.shape[-2:])
    if (drawn.mask is None) != (drawn.observed is None):
        raise ValueError("give mask and observed together")
    for name, expected, value in (
        ("images", shape, drawn.images),
        ("mask", shape[:2], drawn.mask),
        ("observed", shape, drawn.observed),
        ("spread", shape, drawn.spread),
        ("truth", shape, drawn.truth),
        ("conditions", (batch, columns), drawn.conditions),
    ):
        if value is not None and value.shape != expected:
            raise ValueError(f"{name}: expected {expected}, got {value.shape}")
    if drawn.draws is not None and (drawn.draws.ndim != 5 or drawn.draws[:, 0].shape != shape):
        raise ValueError(f"draws: expected (B, S, C, H, W) with images {shape}, got {drawn.draws.shape}")
    for name, value in (("observed", drawn.observed), ("truth", drawn.truth)):
        if value is not None and value.dtype != np.uint8:
            raise ValueError(f"{name}: expected uint8, got {value.dtype}")
