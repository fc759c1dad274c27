"""The models there are, as strings: nothing heavy is imported until one is wanted.

A new model is one folder under `models/`, one line here and YAMLs named `<name>_*.yaml`; a test demands that the three
agree.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from epurecli.config.load import shipped
from epurecli.config.schema import RunConfig
from epurecli.errors import ConfigError, UsageError
from epurecli.models.size import check_weights

if TYPE_CHECKING:
    from epurecli.models.contract import GenerativeModel


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """Where a model lives."""

    title: str
    config: str  # module:class of its RunConfig
    model: str  # module:class of its GenerativeModel
    good_at: str = ""  # in one line; its figures stand in docs/experiments.md: public tyres, minutes on two cores


REGISTRY: dict[str, ModelEntry] = {
    "vae": ModelEntry(
        "Beta-VAE",
        "epurecli.models.vae.config:VAEConfig",
        "epurecli.models.vae.model:VAE",
        "the first to try: after 3 minutes near the best in everything (Frechet 1.1, real 0.33; sizes 0.72)",
    ),
    "gmrf_mvae": ModelEntry(
        "GMRF MVAE",
        "epurecli.models.gmrf_mvae.config:GMRFConfig",
        "epurecli.models.gmrf_mvae.model:GMRFMVAE",
        "the free designs nearest to real ones (Frechet 0.8, real 0.33); tells which parts depend on which",
    ),
    "meta_vae": ModelEntry(
        "Meta-VAE",
        "epurecli.models.meta_vae.config:MetaVAEConfig",
        "epurecli.models.meta_vae.model:MetaVAE",
        "parts that are learned one by one; behind the other VAEs after 3 minutes (Frechet 4.0, sizes 0.31)",
    ),
    "mmvaeplus": ModelEntry(
        "MM-VAE+",
        "epurecli.models.mmvaeplus.config:MMVAEPlusConfig",
        "epurecli.models.mmvaeplus.model:MMVAEPlus",
        "completions as varied as the truth (0.89-1.16) in one pass; free designs need longer (Frechet 4.7)",
    ),
    "flow_matching": ModelEntry(
        "Flow matching",
        "epurecli.models.flow_matching.config:FlowMatchingConfig",
        "epurecli.models.flow_matching.model:FlowMatching",
        "the completions most like real designs (Frechet 1.03 times real), and after 10 minutes sizes (0.97)",
    ),
    "ddpm": ModelEntry(
        "DDPM",
        "epurecli.models.ddpm.config:DDPMConfig",
        "epurecli.models.ddpm.model:DDPM",
        "the completions most as varied as the truth (0.91-1.04); free designs need longer (Frechet 1.7)",
    ),
    "wgan_gp": ModelEntry(
        "WGAN-GP",
        "epurecli.models.wgan_gp.config:WGANConfig",
        "epurecli.models.wgan_gp.model:WGAN",
        "completions as varied as the truth (0.98-1.09) in one pass; free designs need far longer (17.6)",
    ),
    "vqvae": ModelEntry(
        "VQ-VAE",
        "epurecli.models.vqvae.config:VQVAEConfig",
        "epurecli.models.vqvae.model:VQVAE",
        "discrete codes; completions in one piece (0.965 at worst); sizes need longer (0.36)",
    ),
    "mdm": ModelEntry(
        "MDM",
        "epurecli.models.mdm.config:MDMConfig",
        "epurecli.models.mdm.model:MDM",
        "completions nearly as varied as the truth (.81-.92); borders stay ragged, and 64 steps take long",
    ),
}


def entry_of(name: str) -> ModelEntry:
    """Raises: UsageError, naming the models there are."""
    if name not in REGISTRY:
        models = [model for model in REGISTRY if name.startswith(f"{model}_")]
        if name in shipped() and models:
            model = max(models, key=len)
            raise UsageError(f"{name!r} is a configuration, not a model", f"epure train {model} --config {name}")
        near = difflib.get_close_matches(name, REGISTRY, n=1)
        raise UsageError(
            f"no model {name!r}" + (f" - did you mean {near[0]!r}?" if near else ""),
            hint=f"models: {', '.join(REGISTRY)}",
        )
    return REGISTRY[name]


def _load(path: str) -> type:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def schema_of(name: str) -> type[RunConfig]:
    """The config schema of a model. Imports no torch. Raises: ConfigError."""
    try:
        return _load(entry_of(name).config)
    except UsageError as error:
        raise ConfigError(f"model.type: {error.message}", hint=error.hint) from error


def model_class(name: str) -> type[GenerativeModel]:
    """The class of a model; imports torch. Raises: UsageError."""
    return _load(entry_of(name).model)


def models_with_a_bound() -> list[str]:
    """Models that bound the likelihood of a design; imports torch."""
    return [name for name in REGISTRY if model_class(name).bound_name is not None]


def build(config: RunConfig) -> GenerativeModel:
    """An untrained model, with torch's current default device and seed. Raises: ConfigError: it would not fit here."""
    made = model_class(config.model.type)
    check_weights(lambda: made(config), config.model)
    return made(config)
