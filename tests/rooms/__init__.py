"""Two throw-away models that hold the contract beside those with a latent: an adversarial one with two objectives, and
one that draws tokens in steps. They are never shipped; `registered` puts them among the models for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epurecli.models.registry import ROOMS, Room

FOLDER = Path(__file__).parent
THROWAWAY = {
    "tiny_gan": Room("Tiny GAN", "rooms.tiny_gan:TinyGANConfig", "rooms.tiny_gan:TinyGAN"),
    "tiny_tokens": Room("Tiny tokens", "rooms.tiny_tokens:TinyTokensConfig", "rooms.tiny_tokens:TinyTokens"),
}


def config_file(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


@contextmanager
def registered() -> Iterator[None]:
    """The two are models like any other inside."""
    ROOMS.update(THROWAWAY)
    try:
        yield
    finally:
        for name in THROWAWAY:
            del ROOMS[name]
