"""What page and server say to each other: JSON up, checked before anything is done; JSON and binary frames down.

A binary frame is a header, the owner of each pixel of N designs (0 air, c + 1 component c), and for completions how
many of the draws give each pixel to each component:

    sequence uint32 | count uint16 | height uint16 | width uint16 | draws uint16 | parts uint8 | flags uint8 |
    milliseconds float32 | kept float32 | numbers uint32 (N) | labels uint8 (N, H, W) | counts uint16 (C, H, W)

all little-endian; `counts` stands there where `draws` is not 0, and then the first design is the majority of the draws.
"""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter, ValidationError

from epurecli.errors import UsageError
from epurecli.studio.picture import Picture
from epurecli.types import MAX_SEED

LARGEST = 65_536  # bytes of a message; more where a design is larger than that of 64 x 32 pixels
UNSAID = 255  # a pixel of the canvas that nobody has painted
_HEADER = struct.Struct("<IHHHHBBff")
PREVIEW = 1  # flag: a first answer, more of the same request follows
NEAREST = 2  # flag: ranked by agreement with what was painted

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-3e38, le=3e38)]
Text = Annotated[str, Field(max_length=120)]
Seed = Annotated[int, Field(ge=0, le=min(MAX_SEED, 2**53 - 1))]  # what a JavaScript number holds


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("expected base64 text")
    try:
        return np.frombuffer(base64.b64decode(value, validate=True), np.uint8)
    except binascii.Error:
        raise ValueError("not base64") from None


def _to_base64(value: NDArray[np.uint8]) -> str:
    return base64.b64encode(value.tobytes()).decode()


Pixels = Annotated[NDArray[np.uint8], BeforeValidator(_from_base64), PlainSerializer(_to_base64)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, frozen=True)


class Wish(_Strict):
    """What is asked of one condition, raw units."""

    mode: Literal["free", "target", "range"] = "free"
    value: Finite = 0.0
    low: Finite = 0.0
    high: Finite = 0.0
    aim: Literal["none", "more", "less"] = "none"  # what a search should do with it


class Document(_Strict):
    """Everything that undo undoes: the brief, the drawing, which parts are given, the seed."""

    brief: tuple[Wish, ...]  # (D,)
    paint: Pixels  # (H * W,) UNSAID, 0 air, c + 1 component c
    states: tuple[Literal["free", "guided", "given", "none"], ...]  # (C,) none: given, and empty on purpose
    seed: Seed = 0
    draws: Annotated[int, Field(ge=2, le=64)] = 16
    like: Pixels | None = None  # (H * W,) a design that others shall be near


class Kept(_Strict):
    """A design that somebody keeps, with what made it."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")]
    name: Annotated[str, Field(min_length=1, max_length=60)]
    run: Text
    labels: Pixels
    document: Document  # that it was drawn from
    how: Literal["sample", "draw", "majority", "guided", "search", "drawn"]
    number: Annotated[int, Field(ge=0, lt=2**31)] = 0  # of the design (or draw) under its seed
    note: Annotated[str, Field(max_length=500)] = ""


class Settings(_Strict):
    """How the page looks; no part of a design, and nothing that undo undoes."""

    language: Literal["", "en", "fr"] = ""
    unit: Literal["px", "mm"] = "px"
    scale_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] = 1.0
    brush: Annotated[int, Field(ge=1, le=64)] = 3
    eraser: Annotated[int, Field(ge=1, le=64)] = 3
    letters: bool = True  # single-letter keys
    over: bool = False  # whether the brush paints over given parts
    uncertainty: Annotated[int, Field(ge=0, le=3)] = 1
    run: Annotated[int, Field(ge=0, lt=64)] = 0


class Draw(_Strict):
    """Draw what the document asks for; also how a document is saved."""

    kind: Literal["draw"]
    seq: Annotated[int, Field(ge=0, lt=2**32)]
    run: Annotated[int, Field(ge=0, lt=64)] = 0
    document: Document
    first: Annotated[int, Field(ge=0, lt=64)] = 0  # the design that is looked at: shown first where drawing is slow
    refine: bool = False  # whether the strokes are at rest: draw nearer to them


class Measure(_Strict):
    """Facts of a design that is there."""

    kind: Literal["measure"]
    seq: Annotated[int, Field(ge=0, lt=2**32)]
    run: Annotated[int, Field(ge=0, lt=64)] = 0
    labels: Pixels
    brief: tuple[Wish, ...] = ()


class Save(_Strict):
    """A document that nothing is to be drawn of."""

    kind: Literal["save"]
    document: Document


class Set(_Strict):
    kind: Literal["settings"]
    settings: Settings


class Keep(_Strict):
    """Keep a design, or change the one of the same id."""

    kind: Literal["keep"]
    design: Kept


class Drop(_Strict):
    kind: Literal["drop"]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")]


class Search(_Strict):
    """Design for me: a search for designs that meet the brief."""

    kind: Literal["search"]
    seq: Annotated[int, Field(ge=0, lt=2**32)]
    run: Annotated[int, Field(ge=0, lt=64)] = 0
    document: Document


class Fit(_Strict):
    """Fit the predictor of a run."""

    kind: Literal["fit"]
    run: Annotated[int, Field(ge=0, lt=64)] = 0


class Export(_Strict):
    kind: Literal["export"]
    seq: Annotated[int, Field(ge=0, lt=2**32)]
    ids: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,40}$")], ...], Field(min_length=1)]
    formats: tuple[Literal["png", "svg", "dxf", "explorer"], ...] = ("png",)
    scale_mm: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = None


Message = Draw | Measure | Save | Set | Keep | Drop | Search | Fit | Export
_ANY: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def parse(text: str | bytes) -> Message:
    """Raises: UsageError: no JSON, an unknown kind or key, a value that does not fit; names the place."""
    try:
        return _ANY.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"][:6])
        raise UsageError(f"a message that the studio does not know: {where[:80]}: {first['msg'][:160]}") from None


def frame(seq: int, picture: Picture) -> bytes:
    """A picture as it travels."""
    count, height, width = picture.labels.shape
    parts, draws = (0, 0) if picture.counts is None else (len(picture.counts), picture.draws)
    flags = PREVIEW * picture.preview + NEAREST * picture.nearest
    head = _HEADER.pack(seq, count, height, width, draws, parts, flags, picture.milliseconds, picture.strokes_kept)
    pieces = [head, picture.numbers.astype("<u4").tobytes(), picture.labels.astype(np.uint8).tobytes()]
    if picture.counts is not None:
        pieces.append(picture.counts.astype("<u2").tobytes())
    return b"".join(pieces)


def unframe(data: bytes) -> tuple[int, Picture]:
    """The inverse of `frame`: how a program reads what the page reads."""
    seq, count, height, width, draws, parts, flags, spent, kept = _HEADER.unpack_from(data)
    place, pixels = _HEADER.size, height * width
    numbers = np.frombuffer(data, "<u4", count, place)
    place += 4 * count
    labels = np.frombuffer(data, np.uint8, count * pixels, place).reshape(count, height, width)
    place += count * pixels
    counts = np.frombuffer(data, "<u2", parts * pixels, place).reshape(parts, height, width) if draws else None
    return seq, Picture(labels, numbers, counts, draws, bool(flags & PREVIEW), bool(flags & NEAREST), kept, spent)
