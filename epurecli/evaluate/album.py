"""What the report shows besides figures: pictures of designs, and loss curves. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a design."""

    label: str  # "drawn", "truth", ...
    png: bytes


@dataclass(frozen=True, slots=True)
class Card:
    """One design: its pictures side by side, and what is to be said about it."""

    pictures: tuple[Picture, ...]
    caption: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """Designs that belong together."""

    title: str
    text: str  # how they were chosen and what to look for
    cards: tuple[Card, ...]


@dataclass(frozen=True, slots=True)
class Album:
    """All pictures of one model's designs."""

    components: tuple[str, ...]  # C names, in the order of their colours
    galleries: tuple[Gallery, ...]


@dataclass(frozen=True, slots=True)
class LossCurve:
    """One loss over the epochs of a stage."""

    stage: str
    name: str  # "training", "validation", ...
    unit: str
    epochs: tuple[float, ...]  # (K,)
    values: tuple[float, ...]  # (K,)
