"""What the report shows besides figures: pictures of designs, and loss curves. Nothing here computes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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

    def tree(self) -> dict[str, Any]:
        """As plain values, as JSON takes them."""

        def card(c: Card) -> dict[str, Any]:
            pictures = [{"label": p.label, "png": b64encode(p.png).decode("ascii")} for p in c.pictures]
            return {"caption": c.caption, "pictures": pictures}

        galleries = [{"title": g.title, "text": g.text, "cards": [card(c) for c in g.cards]} for g in self.galleries]
        return {"components": list(self.components), "galleries": galleries}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any]) -> Album:
        """The inverse of `tree`. Raises: KeyError, TypeError, ValueError: it is none."""

        def card(c: Mapping[str, Any]) -> Card:
            return Card(tuple(Picture(p["label"], b64decode(p["png"])) for p in c["pictures"]), c["caption"])

        galleries = tuple(Gallery(g["title"], g["text"], tuple(map(card, g["cards"]))) for g in tree["galleries"])
        return cls(tuple(tree["components"]), galleries)


@dataclass(frozen=True, slots=True)
class LossCurve:
    """One loss over the epochs of a stage."""

    stage: str
    name: str  # "training", "validation", ...
    unit: str
    epochs: tuple[float, ...]  # (K,)
    values: tuple[float, ...]  # (K,)
