"""Small models with weights that make their designs differ, and an exported folder of each kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from epurecli.checkpoint import TrainedModel
from epurecli.config import load_config
from epurecli.data.conditions import ConditionScaler
from epurecli.export.folder import export_folder
from epurecli.models.iterative import IterativeModel
from epurecli.models.registry import build, schema_of
from epurecli.sample.noise import DesignNoise, design_noise
from epurecli.types import Query

COLUMNS = ("width_px", "height_px")
THREE = "data.component_dirs=[one, two, three]"
KINDS: dict[str, tuple[str, ...]] = {  # name: config and what is set
    "vae": ("vae_toy_test", THREE),
    "vae with a flow, without conditions": (
        "vae_toy_test",
        THREE,
        "model.latent_prior.kind=flow",
        "data.condition_columns=[]",
        "model.reconstruction.likelihood=gaussian",
    ),
    "conjugate gmrf_mvae": ("gmrf_mvae_toy_test", THREE, "model.posterior=conjugate", "model.latent_dim=4"),
    "assembled gmrf_mvae": ("gmrf_mvae_toy_test", THREE, "model.posterior=assembled", "model.latent_dim=4"),
    "meta_vae": ("meta_vae_toy_test", THREE),
    "flow_matching": ("flow_matching_toy_test", THREE, "sampling.guidance=1.5"),
    "ddpm that renews its noise": ("ddpm_toy_test", THREE, "sampling.solver=ancestral", "model.prediction=v"),
    "mdm": ("mdm_toy_test", THREE),
    "mdm of random labels": ("mdm_toy_test", THREE, "model.transitions=uniform"),
    "vqvae": ("vqvae_toy_test", THREE),
    "wgan_gp": ("wgan_gp_toy_test", THREE),
    "mmvaeplus of Laplace": ("mmvaeplus_toy_test", THREE, "model.family=laplace"),
}


def trained_model(kind: str, seed: int = 0) -> TrainedModel:
    """As `load_model` gives it, with weights from a generator."""
    config = load_config(KINDS[kind][0], schema_of, list(KINDS[kind][1:]))
    torch.manual_seed(seed)
    model = build(config).eval().requires_grad_(False)
    for name, tensor in model.named_parameters():
        if tensor.ndim > 1 and not name.startswith(("learned_prior.", "flow.")):  # keeps variances from layer to layer
            started_at_zero = not tensor.any()  # such branches would hide faults
            gain = 1.5 if isinstance(model, IterativeModel) else 2.2  # which many steps would take to a power
            tensor.copy_(torch.randn_like(tensor) / tensor[0].numel() ** 0.5 if started_at_zero else gain * tensor)
    if getattr(model, "flow", None) is not None:
        for tensor in model.flow.parameters():
            tensor.add_(torch.randn_like(tensor), alpha=0.03)
    for name, buffer in model.named_buffers():  # BatchNorm statistics that are not the identity
        if name.endswith("running_mean"):
            buffer.normal_()
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    columns = config.data.condition_columns
    count = len(columns)
    scaler = ConditionScaler(columns, (50.0,) * count, (4.0,) * count, (49.0,) * count, (64.0,) * count)
    facts = {"condition_moments": {"mean": [55.0] * count, "covariance": torch.eye(count).tolist()}}
    return TrainedModel(model, config, facts, scaler, Path("best.safetensors"), f"digest of {kind}", "s", 1, 0.5)


def queries(trained: TrainedModel, count: int) -> dict[str, Query]:
    """One query of each shape there is; masks differ from design to design."""
    rng = torch.Generator().manual_seed(3)
    model, components = trained.model, len(trained.model.components)
    condition = torch.randn(count, model.cond_dim, generator=rng)
    observed = torch.rand(count, components, *model.image_size, generator=rng)
    mask = torch.rand(count, components, generator=rng) < 0.5
    mask[torch.arange(count), torch.arange(count) % components] = True
    mask[torch.arange(count), (torch.arange(count) + 1) % components] = False
    none, with_one, without = torch.zeros_like(condition), torch.ones(count, 1), torch.zeros(count, 1)
    return {
        "free": Query(none, without),
        "conditioned": Query(condition, with_one),
        "completed": Query(none, without, observed, mask),
        "completed under conditions": Query(condition, with_one, observed, mask),
    }


def noise_for(draws: int, count: int, seed: int = 5) -> list[DesignNoise]:
    return design_noise(seed, 0, count, draws)


@pytest.fixture(scope="session")
def tools() -> ModuleType:
    """The functions above, for the tests."""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[TrainedModel, Path]]:
    """(model, folder) of a kind, exported once and verified; read only."""
    kept: dict[str, tuple[TrainedModel, Path]] = {}

    def get(kind: str) -> tuple[TrainedModel, Path]:
        if kind not in kept:
            trained = trained_model(kind)
            folder = tmp_path_factory.mktemp("onnx") / "exported"
            export_folder(trained, folder)
            kept[kind] = trained, folder
        return kept[kind]

    return get
