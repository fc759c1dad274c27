"""Parameters of the shipped configs, counted without data and without allocating a weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from epurecli.config import load_config, shipped
from epurecli.models.registry import build, schema_of


@dataclass(frozen=True, slots=True)
class Count:
    """One config's figures. `total` = trainable + frozen is what sampling needs; `training_only` comes on top.

    Frozen = trained neither in the last of the model's own stages nor as the flow that follows it.
    """

    config: str
    model: str
    total: int
    trainable: int
    frozen: int
    training_only: int
    claim: str | None  # in words
    met: bool | None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def count_config(name: str) -> Count:
    """Count one shipped config on torch's meta device."""
    import torch

    from epurecli.models.latent_fit import LATENT_PRIOR

    config = load_config(name, schema_of)
    with torch.device("meta"):
        model = build(config)
    extra = sum(p.numel() for module in model.training_only() for p in module.parameters())
    total = sum(p.numel() for p in model.parameters()) - extra
    stages = model.stages()
    fit = [stage for stage in stages if stage.name == LATENT_PRIOR]
    last = [stage for stage in stages if stage.name != LATENT_PRIOR][-1]
    spare = {id(p) for module in model.training_only() for p in module.parameters()}
    trained = [p for stage in (last, *fit) for o in stage.objectives for p in o.parameters()]
    trainable = sum(p.numel() for p in trained if id(p) not in spare)
    claim = type(config).CLAIM if "_epure_" in name else None
    return Count(
        config=name,
        model=config.model.type,
        total=total,
        trainable=trainable,
        frozen=total - trainable,
        training_only=extra,
        claim=claim.text if claim else None,
        met=claim.met(total, trainable) if claim else None,
    )


def count_shipped(models: Sequence[str]) -> list[Count]:
    """Every shipped config of these models, in order."""
    return [count_config(name) for model in models for name in sorted(shipped()) if name.startswith(f"{model}_")]
