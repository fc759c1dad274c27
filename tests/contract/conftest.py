"""Every registered model and two throw-away ones at their test sizes, a few designs, and a few steps of training."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from throwaway import THROWAWAY, config_file, registered
from torch import Tensor, nn

from epurecli.config import RunConfig, load_config
from epurecli.config.latent import LatentRunConfig
from epurecli.config.schema import StageConfig
from epurecli.data import toy
from epurecli.models.contract import GenerativeModel, Objective, Stage, set_trainable
from epurecli.models.registry import REGISTRY, build, schema_of
from epurecli.nn.step import Step
from epurecli.sample.noise import DesignNoise, design_noise
from epurecli.training.worker import build_optimizer
from epurecli.types import Batch, Query

LATENT = sorted(name for name in REGISTRY if issubclass(schema_of(name), LatentRunConfig))
MODELS = [*sorted(REGISTRY), *THROWAWAY]
NAMES = ("one", "two", "three", "four", "five", "six")


def smallest(name: str) -> str:
    """The config of its tests."""
    return str(config_file(name)) if name in THROWAWAY else f"{name}_toy_test"


def config_of(
    name: str, *overrides: str, components: int | None = None, size: tuple[int, int] | None = None
) -> RunConfig:
    extra = []
    if components is not None:
        names = ", ".join(NAMES[:components])
        extra += [f"data.component_dirs=[{names}]"]
        extra += ["model.reconstruction.recon_weights=null"] if name in LATENT else []
    if size is not None:
        extra += [f"model.image_size=[{size[0]}, {size[1]}]"]
    return load_config(smallest(name), schema_of, [*extra, *overrides])


def with_flow(name: str) -> list[str]:
    """A flow as the last stage of models that have a latent."""
    return ["model.latent_prior=flow"] if name in LATENT else []


def in_each_stage(name: str, **values: object) -> list[str]:
    """Overrides of keys of the training section, or of each stage in it, where they are known."""
    training = config_of(name).training
    inner = {f"training.{key}": getattr(training, key) for key in type(training).model_fields}
    sections = {key: stage for key, stage in inner.items() if isinstance(stage, StageConfig)} or {"training": training}
    return [
        f"{section}.{key}={value}"
        for section, stage in sections.items()
        for key, value in values.items()
        if key in type(stage).model_fields
    ]


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


def noise_for(model: GenerativeModel, count: int, draws: int = 1, seed: int = 0) -> list[DesignNoise]:
    return design_noise(seed, 0, count, draws)


def ask(
    model: GenerativeModel,
    count: int,
    condition: Tensor | None = None,
    observed: Tensor | None = None,
    mask: Tensor | None = None,
) -> Query:
    if condition is None:
        return Query(torch.zeros(count, model.cond_dim), torch.zeros(count, 1), observed, mask)
    return Query(condition, torch.ones(count, 1), observed, mask)


def step_of(stage: Stage, seed: int = 0, index: int = 0, epoch: int | None = None) -> Step:
    """A step of the stage's last epoch, or of another."""
    epoch = stage.settings.epochs - 1 if epoch is None else epoch
    return Step(torch.Generator().manual_seed(seed), stage.settings, epoch, index)


def judged(stage: Stage, batch: Batch, seed: int = 0) -> dict[str, Tensor]:
    """What the stage says of some validation designs."""
    seen, step = stage.view(batch), step_of(stage, seed, epoch=0)
    losses = stage.score([seen], step) if stage.validate is None else stage.validate(seen, step)
    return {"total": losses.total, **losses.terms}


def steps(model: GenerativeModel, batch: Batch, stage: Stage, count: int, seed: int = 0) -> Iterator[Objective]:
    """Train one stage on one batch; hands back each objective after each of its steps, gradients still there."""
    model.eval()
    rng, batch = torch.Generator().manual_seed(seed), stage.view(batch)
    optimizers = [build_optimizer(objective, stage.settings) for objective in stage.objectives]
    for index in range(count):
        for objective, optimizer in zip(stage.objectives, optimizers, strict=True):
            set_trainable(model, objective)
            optimizer.zero_grad(set_to_none=True)
            step = Step(rng, stage.settings, stage.settings.epochs - 1, index)
            objective.loss(batch, step).total.backward()
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
def tools() -> ModuleType:
    """The functions above, for the tests."""
    return sys.modules[__name__]


@pytest.fixture(scope="module", autouse=True)
def _throwaway_models() -> Iterator[None]:
    with registered():
        yield


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=LATENT)
def latent(request: pytest.FixtureRequest) -> str:
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
