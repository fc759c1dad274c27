"""Every registered model at its test size, a few designs, and a few steps of its own training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from epurecli.config import RunConfig, load_config, shipped
from epurecli.config.schema import StageConfig
from epurecli.data import toy
from epurecli.models.base import GenerativeModel, Objective, Stage
from epurecli.models.registry import ROOMS, build, schema_of
from epurecli.nn.shard import Shard
from epurecli.training.loop import arm
from epurecli.training.schedule import build_optimizer
from epurecli.types import Batch, Clock

MODELS = sorted(ROOMS)
NAMES = ("one", "two", "three", "four", "five", "six")


def smallest(name: str) -> str:
    """`<name>_toy_test`, or whatever smaller thing a new room ships."""
    return (
        f"{name}_toy_test" if f"{name}_toy_test" in shipped() else min(n for n in shipped() if n.startswith(f"{name}_"))
    )


def config_of(
    name: str, *overrides: str, components: int | None = None, size: tuple[int, int] | None = None
) -> RunConfig:
    extra = []
    if components is not None:
        names = ", ".join(NAMES[:components])
        extra += [f"data.component_dirs=[{names}]", "model.reconstruction.recon_weights=null"]
    if size is not None:
        extra += [f"model.image_size=[{size[0]}, {size[1]}]"]
    return load_config(smallest(name), schema_of, [*extra, *overrides])


def in_each_stage(name: str, **values: object) -> list[str]:
    """Overrides of keys of the training section, or of each stage in it."""
    training = config_of(name).training
    inner = [key for key in type(training).model_fields if isinstance(getattr(training, key), StageConfig)]
    sections = [f"training.{key}" for key in inner] or ["training"]
    return [f"{section}.{key}={value}" for section in sections for key, value in values.items()]


def model_of(config: RunConfig, seed: int = 0) -> GenerativeModel:
    torch.manual_seed(seed)
    return build(config)


def designs(count: int, components: int, size: tuple[int, int], conditions: int, seed: int = 0) -> Batch:
    """Disjoint parts: upright stripes whose borders follow the conditions."""
    rng = np.random.default_rng(seed)
    condition = rng.standard_normal((count, conditions)).astype(np.float32)
    lean = condition.sum(1) if conditions else rng.standard_normal(count)
    borders = np.linspace(0, size[1], components + 2)[None] + np.clip(lean, -2, 2)[:, None]  # (B, C + 2)
    column = np.arange(size[1])
    stripes = (column >= borders[:, :-2, None]) & (column < borders[:, 1:-1, None])  # (B, C, W)
    image = np.broadcast_to(stripes[:, :, None], (count, components, *size)).astype(np.float32)
    return Batch(torch.from_numpy(image.copy()), torch.from_numpy(condition))


def batch_for(model: GenerativeModel, count: int = 12, seed: int = 0) -> Batch:
    return designs(count, len(model.components), model.image_size, model.cond_dim, seed)


def tyres(count: int) -> Batch:
    """Toy tyres with standardised width and height."""
    images, table = toy.draw(0, 0, count)
    raw = np.stack([table["width_px"], table["height_px"]], 1).astype(np.float64)
    condition = ((raw - raw.mean(0)) / raw.std(0)).astype(np.float32)
    return Batch(torch.from_numpy(images / np.float32(255)), torch.from_numpy(condition))


def noise_for(model: GenerativeModel, count: int, draws: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(draws, count, model.noise_dim, generator=torch.Generator().manual_seed(seed))


def steps(model: GenerativeModel, batch: Batch, stage: Stage, count: int, seed: int = 0) -> Iterator[Objective]:
    """Train one stage on one batch; hands back each objective after each of its steps, gradients still there."""
    model.eval()
    shard, batch = Shard(torch.Generator().manual_seed(seed)), stage.view(batch)
    optimizers = [build_optimizer(objective, stage.settings) for objective in stage.objectives]
    for step in range(count):
        for objective, optimizer in zip(stage.objectives, optimizers, strict=True):
            arm(model, objective)
            optimizer.zero_grad(set_to_none=True)
            objective.loss(batch, Clock(stage.settings.epochs - 1, stage.settings.epochs, step), shard).total.backward()
            optimizer.step()
            yield objective


def trained(model: GenerativeModel, batch: Batch, count: int = 12) -> GenerativeModel:
    """The model after a few steps of every stage, ready to draw."""
    for stage in model.stages():
        for _ in steps(model, batch, stage, count):
            pass
    return model.eval().requires_grad_(False)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters and all buffers, saved with the weights or not."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


@pytest.fixture(scope="session")
def house() -> ModuleType:
    """The functions above, for the tests."""
    return sys.modules[__name__]


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def ready() -> Callable[[str], GenerativeModel]:
    """A model of each kind after a few steps, trained once."""
    kept: dict[str, GenerativeModel] = {}

    def get(name: str) -> GenerativeModel:
        if name not in kept:
            model = model_of(config_of(name))
            kept[name] = trained(model, batch_for(model))
        return kept[name]

    return get
