"""Parameters of the shipped configs, counted without data and without allocating a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from epurecli.config import RunConfig, load_config, shipped
from epurecli.models.registry import build, schema_of


@dataclass(frozen=True, slots=True)
class Count:
    """One config's figures. What sampling needs is trainable or frozen; what only training needs comes on top.

    Frozen = trained neither in the last of the model's own stages nor as the flow that follows it.
    """

    config: str
    model: str
    total: int  # to_sample + training_only
    trainable: int
    frozen: int
    to_sample: int  # trainable + frozen
    training_only: int
    claim: str | None  # of the plan, in words
    met: bool | None  # by what sampling needs
    public: int | None  # the public code's

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def count_config(name: str) -> Count:
    """Count one shipped config. Raises: NotFound."""
    return count(load_config(name, schema_of), name)


def count(config: RunConfig, name: str) -> Count:
    """Count what a config makes, on torch's meta device; the plan's claims are about the `_epure_` configs.

    Args:
        name: what the config is called.
    """
    import torch

    from epurecli.models.latent_fit import LATENT_PRIOR

    with torch.device("meta"):
        model = build(config)
    spare = {id(p): p.numel() for module in model.training_only() for p in module.parameters()}
    total, extra = sum(p.numel() for p in model.parameters()), sum(spare.values())
    to_sample = total - extra
    stages = model.stages()
    fit = [stage for stage in stages if stage.name == LATENT_PRIOR]
    last = [stage for stage in stages if stage.name != LATENT_PRIOR][-1]
    trained = [p for stage in (last, *fit) for o in stage.objectives for p in o.parameters()]
    trainable = sum(p.numel() for p in trained if id(p) not in spare)
    claim = type(config).CLAIM if "_epure_" in name else None
    return Count(
        config=name,
        model=config.model.type,
        total=total,
        trainable=trainable,
        frozen=to_sample - trainable,
        to_sample=to_sample,
        training_only=extra,
        claim=claim.text if claim else None,
        met=claim.met(to_sample, trainable) if claim else None,
        public=claim.public if claim else None,
    )


def count_shipped(models: Sequence[str]) -> list[Count]:
    """Every shipped config of these models, in order."""
    return [count_config(name) for model in models for name in sorted(shipped()) if name.startswith(f"{model}_")]
