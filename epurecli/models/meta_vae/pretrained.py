"""Marginal decoders as files, one a component: what stage 1 leaves and `marginal_vae_paths` brings."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from epurecli.errors import CheckpointError, ConfigError
from epurecli.models.meta_vae.networks import MarginalDecoder

NAME = "component"  # the metadata key that says whose decoder a file holds


def file_name(component: str) -> str:
    return f"marginal_vae_{component}.safetensors"


def load_decoder(decoder: MarginalDecoder, path: Path, component: str, components: Sequence[str]) -> None:
    """Fill one component's decoder from a file.

    Args:
        path: `.safetensors`, or `.pt` with a plain dictionary of tensors.
        components: all names, to notice a file that says it belongs to another one.

    Raises:
        ConfigError: the file is another component's.
        CheckpointError: missing, unreadable, or its tensors do not fit; names the file and the tensor.
    """
    if not path.is_file():
        raise CheckpointError(
            f"model.marginal_vae_paths: {path}: no such file (the decoder of {component})",
            hint="leave marginal_vae_paths out to train the marginal VAEs in stage 1",
        )
    tensors, owner = _read(path)
    owner = owner or _named_in(path.stem, components)
    if owner is not None and owner != component:
        raise ConfigError(
            f"model.marginal_vae_paths: {path} is the decoder of {owner}, but stands where {component} is expected",
            hint=f"the order is that of data.component_dirs: {', '.join(components)}",
        )
    _check(tensors, decoder, path)
    decoder.load_state_dict(tensors)


def _read(path: Path) -> tuple[dict[str, Tensor], str | None]:
    """(tensors, the component that the file itself names)."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                return tensors, (file.metadata() or {}).get(NAME)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, OSError, EOFError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: truncated, or not a file of plain tensors ({reason})") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise CheckpointError(
            f"{path}: expected a dictionary of tensors",
            hint="write it with torch.save(decoder.state_dict(), ...) or as .safetensors",
        )
    return tensors, None


def _named_in(stem: str, components: Sequence[str]) -> str | None:
    """The component that a file's name ends with, as `marginal_vae_bt` does with bt."""
    found = [name for name in components if f"_{stem}".endswith(f"_{name}")]
    return max(found, key=len, default=None)


def _check(tensors: dict[str, Tensor], decoder: MarginalDecoder, path: Path) -> None:
    own = decoder.state_dict()
    latent = decoder.expand.in_features
    given = tensors.get("expand.weight")
    if given is not None and given.ndim == 2 and given.shape[1] != latent:
        raise CheckpointError(
            f"{path}: 'expand.weight' takes a latent of size {given.shape[1]}, "
            f"but model.component_latent_dim is {latent}"
        )
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors:
            raise CheckpointError(f"{path}: lacks the tensor {name!r} of a marginal decoder")
        if name not in own:
            raise CheckpointError(f"{path}: holds {name!r}, which a marginal decoder does not have")
        if own[name].shape != tensors[name].shape:
            raise CheckpointError(
                f"{path}: {name!r} has shape {tuple(tensors[name].shape)}, expected {tuple(own[name].shape)}",
                hint="model.marginal_widths, patch_size and image_size must be those it was trained with",
            )
        if not torch.isfinite(tensors[name]).all():
            raise CheckpointError(f"{path}: {name!r} holds values that are not finite")
