"""Two throw-away models that hold the contract beside those with a latent: an adversarial one with two objectives, and
one that draws tokens in steps. They are never shipped; `registered` puts them among the models for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from epurecli.models.registry import REGISTRY, ModelEntry

FOLDER = Path(__file__).parent
THROWAWAY = {
    name: ModelEntry(title, f"throwaway.{name}:{cls}Config", f"throwaway.{name}:{cls}")
    for name, title, cls in (("tiny_gan", "Tiny GAN", "TinyGAN"), ("tiny_tokens", "Tiny tokens", "TinyTokens"))
}


def config_file(name: str) -> Path:
    return FOLDER / f"{name}.yaml"


@contextmanager
def registered() -> Iterator[None]:
    """The two are models like any other inside."""
    REGISTRY.update(THROWAWAY)
    try:
        yield
    finally:
        for name in THROWAWAY:
            del REGISTRY[name]
