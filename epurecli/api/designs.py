"""Designs as arrays, frames and pictures: what sampling returns and what completing takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from epurecli.api import outlines, pictures
from epurecli.errors import UsageError
from epurecli.pictures.crisp import labels_of
from epurecli.sample.drawn import Drawn, as_bytes
from epurecli.sample.names import parse_component
from epurecli.sample.sheet import contact_sheet
from epurecli.sample.writer import sheet_title, tiles_of

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

Index = int | slice | Sequence[int] | Sequence[bool] | NDArray[np.integer[Any]] | NDArray[np.bool_]


@dataclass(frozen=True, eq=False, repr=False)
class Designs:
    """B designs of C components. Nothing in it changes: arrays are read-only, methods return new designs.

    Indexing, slicing and iterating give designs again; `a + b` puts them one after the other.

    Attributes:
        images: (B, C, H, W) uint8, 0 to 255: how much of each pixel each component fills. For completed designs the
            mean of the draws; components that were given are theirs bit for bit.
        components: the C names.
        names: B names, which files are called after.
        columns: the D conditions' names.
        values: (B, D) conditions that were asked for, raw units; NaN = not asked for. `conditions` is a frame of them.
        given: (B, C) bool, True = given rather than drawn. Of partial designs: all that there is.
        spread: (B, C, H, W) float32, standard deviation of the draws as shares of a pixel (0 to 0.5), or None.
        draws: (B, S, C, H, W) uint8, every completion, or None.
        truth: (B, C, H, W) uint8, the designs that parts were hidden of, or None.
        partial: whether only what is given is there, the rest still to be drawn (its pixels are 0).
        provenance: model, mode, seed, backend, checkpoint, ...; written with every design.
    """

    images: NDArray[np.uint8]
    components: tuple[str, ...]
    names: tuple[str, ...]
    columns: tuple[str, ...] = ()
    values: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    given: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    spread: NDArray[np.float32] | None = None
    draws: NDArray[np.uint8] | None = None
    truth: NDArray[np.uint8] | None = None
    partial: bool = False
    provenance: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = np.asarray(self.images)
        if images.ndim != 4 or images.dtype != np.uint8 or images.shape[1] != len(self.components):
            raise UsageError(
                f"images: expected (B, {len(self.components)}, H, W) uint8, got {images.shape} {images.dtype}"
            )
        count = len(images)
        if len(self.names) != count:
            raise UsageError(f"{len(self.names)} names for {count} designs")
        values = np.full((count, len(self.columns)), np.nan) if self.values.ndim == 1 else self.values
        given = np.zeros(images.shape[:2], bool) if self.given.ndim == 1 else self.given
        for name, array in (("values", values), ("given", given)):
            object.__setattr__(self, name, array)
        for name in ("images", "values", "given", "spread", "draws", "truth"):
            array = getattr(self, name)
            if array is not None:
                frozen = np.array(array)
                frozen.flags.writeable = False
                object.__setattr__(self, name, frozen)
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    @classmethod
    def of(
        cls, drawn: Drawn, components: Sequence[str], columns: Sequence[str], provenance: Mapping[str, str]
    ) -> Designs:
        """What the sampler made, as the bytes that would be written.

        Raises: NumericalError: values that are not finite.
        """
        pixels = as_bytes(drawn, components)
        return cls(
            images=pixels["images"],
            components=tuple(components),
            names=tuple(drawn.names),
            columns=tuple(columns),
            values=np.empty(0) if drawn.conditions is None else drawn.conditions,
            given=np.empty(0, bool) if drawn.mask is None else drawn.mask,
            spread=drawn.spread,
            draws=pixels.get("draws"),
            truth=drawn.truth,
            provenance=provenance,
        )

    # --- a part, or more ----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Index) -> Designs:
        """Raises: IndexError."""
        if isinstance(index, (int, np.integer)):
            if not -len(self) <= index < len(self):
                raise IndexError(f"there are {len(self)} designs, counted from 0")
            index = [int(index)]
        chosen = np.arange(len(self))[index]
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            **{key: value[chosen] for key, value in self._arrays().items()},
        )

    def __iter__(self) -> Iterator[Designs]:
        return (self[i] for i in range(len(self)))

    def __add__(self, other: Designs) -> Designs:
        """These designs, then those. What only one side has (spread, draws, a column) is left out; equal names differ.

        Raises: UsageError: other components or another size; only one side is partial.
        """
        if not isinstance(other, Designs):
            return NotImplemented
        if self.components != other.components or self.images.shape[1:] != other.images.shape[1:]:
            raise UsageError(f"designs that differ in components or size cannot be joined: {self!r}, {other!r}")
        if self.partial != other.partial:
            raise UsageError("partial designs cannot be joined with whole ones", "complete them first")
        columns = tuple(c for c in self.columns if c in other.columns)
        arrays = other._arrays()
        both: dict[str, Any] = {
            key: np.concatenate([value, arrays[key]])
            for key, value in self._arrays().items()
            if key != "values" and key in arrays and value.shape[1:] == arrays[key].shape[1:]
        }
        both["values"] = np.concatenate([d.values[:, [d.columns.index(c) for c in columns]] for d in (self, other)])
        absent: dict[str, Any] = {key: None for key in ("spread", "draws", "truth") if key not in both}
        provenance = {k: v for k, v in self.provenance.items() if other.provenance.get(k) == v}
        names = _distinct((*self.names, *other.names))
        return replace(self, names=names, columns=columns, provenance=provenance, **both, **absent)

    def only(self, *components: str | int) -> Designs:
        """Partial designs of which these components, by name or number, are given, to be completed.

        Raises: UsageError: no such component; nothing would be left.
        """
        kept = {parse_component(c, self.components) for c in components}
        return self._partial([c in kept for c in range(len(self.components))])

    def without(self, *components: str | int) -> Designs:
        """Partial designs of which all but these components are given, to be completed.

        Raises: UsageError: no such component; nothing would be left.
        """
        hidden = {parse_component(c, self.components) for c in components}
        return self._partial([c not in hidden for c in range(len(self.components))])

    def reordered(self, components: Sequence[str]) -> Designs:
        """These components in this order; the rest is left out.

        Raises: UsageError: no such component.
        """
        order = [parse_component(c, self.components) for c in components]
        arrays = self._arrays()
        del arrays["values"]
        draws = arrays.pop("draws", None)
        changed = {key: value[:, order] for key, value in arrays.items()}
        if draws is not None:
            changed["draws"] = draws[:, :, order]
        return replace(self, components=tuple(self.components[c] for c in order), **changed)

    def _partial(self, shown: Sequence[bool]) -> Designs:
        there = self.given if self.partial else np.ones_like(self.given)
        given = there & np.array(shown)
        if not given.any(1).all():
            raise UsageError("nothing of a design would be given", "keep at least one of its components")
        images = np.where(given[:, :, None, None], self.images, np.uint8(0))
        truth = self.truth if self.partial else self.images
        return replace(self, images=images, given=given, truth=truth, partial=True, spread=None, draws=None)

    def _arrays(self) -> dict[str, Any]:
        named = {key: getattr(self, key) for key in ("images", "values", "given", "spread", "draws", "truth")}
        return {key: value for key, value in named.items() if value is not None}

    # --- numbers ------------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> NDArray[np.uint8]:
        """(B, H, W) the one part that each pixel belongs to: 0 the background, c + 1 component c."""
        return labels_of(self.images)

    @property
    def conditions(self) -> pd.DataFrame:
        """A row a design, a column a condition, raw units; NaN = not asked for."""
        import pandas as pd

        return pd.DataFrame(self.values.copy(), index=pd.Index(self.names, name="name"), columns=list(self.columns))

    def to_frame(self) -> pd.DataFrame:
        """A row a design: its conditions, what was given, and the area of each component (pixels from 128 on)."""
        frame = self.conditions
        frame["given"] = ["+".join(np.array(self.components)[row]) for row in self.given]
        for component, area in zip(self.components, (self.images >= 128).sum((2, 3)).T, strict=True):
            frame[f"{component}_px"] = area
        return frame

    # --- pictures and files -------------------------------------------------------------------------------------------

    def pil(self) -> Image:
        """The full section of one design, one colour a part; several stand side by side."""
        return pictures.strip(self.images, 4)

    def sheet(self, most: int = 24) -> Image:
        """The contact sheet of the first designs: sections, parts, conditions, truth and uncertainty.

        Raises: UsageError: there is no design.
        """
        if not len(self):
            raise UsageError("there is no design to show")
        shown = self[:most]
        tiles = tiles_of(shown.as_drawn(), shown.images, shown.components, shown.columns, len(shown))
        return contact_sheet(tiles, shown.components, title=sheet_title(shown.provenance, len(tiles), len(self)))

    def save(
        self,
        folder: str | Path,
        *,
        format: Literal["png", "npz"] = "png",
        overwrite: bool = False,
        beside: Mapping[str, bytes] = MappingProxyType({}),
    ) -> Path:
        """Write what `epure sample` writes: images, manifest.csv, contact_sheet.png. All of it, or nothing.

        Args:
            folder: to appear; it may exist if it is empty, or (`overwrite`) holds an earlier result.
            format: png, or npz (a few large files).
            beside: further files, by name, that appear with the rest.

        Raises: UsageError: the folder is in use; CannotWrite.
        """
        from epurecli.sample.writer import SampleWriter

        with SampleWriter(
            Path(folder), self.components, self.columns, format=format, overwrite=overwrite,
            provenance=dict(self.provenance), beside=beside,
        ) as writer:  # fmt: skip
            writer.write(self.as_drawn())
        return Path(folder)

    def explorer(
        self,
        path: str | Path = "explorer.html",
        *,
        title: str | None = None,
        values: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Write one HTML file to look through these designs, as `epure explore` does: no model, no network.

        Args:
            title: what it says above (default: the file's name).
            values: further numbers or words, one a design: a frame, or lists by name.

        Raises: UsageError: the file exists, there is no design, or not one value a design; CannotWrite.
        """
        from epurecli.explore import write_explorer

        further: list[tuple[str, ArrayLike]] = [] if values is None else [(str(k), v) for k, v in values.items()]
        return write_explorer(
            path, images=self.images, labels=self.labels, names=self.names, components=self.components,
            values=[*zip(self.columns, self.values.T, strict=True), *further],
            known=self.given if self.partial else None, title=title, overwrite=overwrite,
        )  # fmt: skip

    to_svg, to_dxf, to_geojson = outlines.to_svg, outlines.to_dxf, outlines.to_geojson

    def as_drawn(self) -> Drawn:
        """What the writer takes."""
        given = self.given if self.given.any() else None
        return Drawn(
            names=self.names,
            images=self.images,
            mask=given,
            observed=None if given is None else self.images,
            spread=self.spread,
            draws=self.draws,
            truth=self.truth,
            conditions=self.values,
        )

    def __repr__(self) -> str:
        count, (height, width) = len(self), self.images.shape[2:]
        parts = f"{count} design{'s' if count != 1 else ''} of {', '.join(self.components)}"
        asked = f", conditions {', '.join(self.columns)}" if np.isfinite(self.values).any() else ""
        given = " (partial)" if self.partial else ""
        return f"<Designs: {parts}; {height} x {width} px{asked}{given}>"

    def _repr_png_(self) -> bytes | None:
        return pictures.png(self[:24].pil()) if len(self) else None

    def _repr_html_(self) -> str:
        title = repr(self)[1:].rstrip(">")
        return pictures.html(title, self.images, self.names, self.columns, self.values)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """Names in order, those that were there before with a number."""
    seen: set[str] = set()
    found = []
    for name in names:
        number, distinct = 1, name
        while distinct in seen:
            number += 1
            distinct = f"{name}-{number}"
        seen.add(distinct)
        found.append(distinct)
    return tuple(found)
