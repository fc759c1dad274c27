"""What would not fit into this machine's memory, told before it starts to swap."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from epurecli.config.schema import ModelConfig
from epurecli.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

GIB = 1 << 30
_FLOAT = 4  # bytes
_ORDINARY = 2048  # sizes up to it fit anywhere; counting weights costs a second, for what torch imports to do it
_COPIES = 4  # of a batch that a step holds at the least: images, output, and the gradients of both


def memory() -> float:
    """Bytes of this machine; infinite where it does not tell."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


def check_weights(make: Callable[[], nn.Module], config: ModelConfig) -> None:
    """Whether the weights of what `make` makes fit twice, with none of them allocated. Raises: ConfigError."""
    if max(_numbers(config.model_dump())) <= _ORDINARY:
        return
    import torch

    name, smaller = config.type, "choose smaller sizes in the config's model section (latent sizes, widths, image_size)"
    try:
        with torch.device("meta"):
            model = make()
        needed = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    except (MemoryError, OverflowError, RuntimeError) as error:  # sizes beyond what can be counted
        raise ConfigError(f"a {name} of these sizes cannot be made ({str(error).splitlines()[0]})", smaller) from error
    if 2 * needed > memory():
        raise ConfigError(f"a {name} of these sizes takes {needed / GIB:,.1f} GiB, {_has()}", smaller)


def check_batch(count: int, components: int, image_size: tuple[int, int]) -> None:
    """Whether a training step on `count` designs can fit at all. Raises: ConfigError."""
    needed = _COPIES * _FLOAT * count * components * image_size[0] * image_size[1]
    if needed > memory():
        raise ConfigError(
            f"training on {count} designs of {image_size[0]}x{image_size[1]} at a time takes more than "
            f"{needed / GIB:,.1f} GiB, {_has()}",
            "choose a smaller batch_size (--set training.batch_size=16), or draw the designs smaller",
        )


def _numbers(value: Any) -> Iterator[float]:
    """Every number in nested dicts and sequences, and 0."""
    yield 0
    if isinstance(value, (int, float)):
        yield value
    elif isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)


def _has() -> str:
    return f"and this machine has {memory() / GIB:,.1f}"
