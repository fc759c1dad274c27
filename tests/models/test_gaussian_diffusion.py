"""Flow matching and DDPM against a law of sixteen outcomes whose endpoints are known, and what every loss must see."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from epurecli.config import load_config
from epurecli.errors import UsageError
from epurecli.models.ddpm.model import DDPM
from epurecli.models.flow_matching.model import FlowMatching
from epurecli.models.gaussian_diffusion import GaussianDiffusion
from epurecli.models.registry import build, schema_of
from epurecli.nn.noise import GeneratorNoise
from epurecli.nn.step import Step
from epurecli.types import Batch, Query

OUTCOMES = torch.tensor(list(product((1.0, 0.0), repeat=4)), dtype=torch.float64).view(16, 1, 2, 2)
LAW = 0.8 * torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(16, 0.6))) + 0.2 / 16  # far from independent
ENTROPY = -(LAW * LAW.log()).sum().item()

ROOMS = pytest.mark.parametrize("name", ["flow_matching", "ddpm"])


class ExactFlow(FlowMatching):
    """Knows the law: the logits of E[x | x_t]."""

    def network(self, state: Tensor, time: Tensor, *_: Tensor) -> Tensor:
        return exact(self, state, time)


class ExactDDPM(DDPM):
    def network(self, state: Tensor, time: Tensor, *_: Tensor) -> Tensor:
        return exact(self, state, time)


def exact(model: GaussianDiffusion, state: Tensor, time: Tensor) -> Tensor:
    a, s = (f(time.double()).view(-1, 1, 1, 1, 1) for f in (model.path.signal, model.path.noise))
    apart = (state.double()[:, None] - a * (2 * OUTCOMES - 1)) / s.clamp_min(1e-6)
    weight = (LAW.log() - apart.square().sum((2, 3, 4)) / 2).softmax(1)
    return torch.logit((weight[..., None, None, None] * OUTCOMES).sum(1).clamp(1e-12, 1 - 1e-12)).to(state.dtype)


def knowing(name: str, *overrides: str) -> GaussianDiffusion:
    extra = ["model.image_size=[8, 8]", "data.component_dirs=[one]", "data.condition_columns=[]", *overrides]
    config = load_config(f"{name}_toy_test", schema_of, extra)
    model = (ExactFlow if name == "flow_matching" else ExactDDPM)(config)
    model.image_size = (2, 2)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "solver", "steps"),
    [
        *(("flow_matching", solver, steps) for solver, steps in (("euler", 300), ("heun", 199), ("multistep", 150))),
        *(("ddpm", solver, steps) for solver, steps in (("ddim", 300), ("multistep", 150), ("ancestral", 400))),
    ],
)
def test_draws_have_the_law(name: str, solver: str, steps: int) -> None:
    model = knowing(name, f"sampling.solver={solver}", f"sampling.steps={steps}", "model.time_shift=1")
    count = 6_000
    query = Query(torch.zeros(count, 0), torch.zeros(count, 1))
    drawn = model.generate(query, [GeneratorNoise(torch.Generator().manual_seed(0), count)])[0].double()
    found = ((drawn[:, None] - OUTCOMES).abs() < 0.5).all(4).all(3).all(2).double().mean(0)
    assert (found - LAW).abs().max() < 0.02


@ROOMS
def test_the_bound_is_the_entropy_where_the_network_is_exact(name: str) -> None:
    """Over the law, -E[bound] is the entropy: half the integral of the mean squared error over the ratio of signal to
    noise (Guo, Shamai & Verdu, IEEE Trans. Inf. Theory 51, 2005)."""
    copies = 100
    batch = Batch(OUTCOMES.float().repeat(copies, 1, 1, 1), torch.zeros(16 * copies, 0))
    noise = GeneratorNoise(torch.Generator().manual_seed(0), 16 * copies)
    found = knowing(name).bound(batch, [noise] * 100).double().view(copies, 16).mean(0)
    assert -(found * LAW).sum().item() == pytest.approx(ENTROPY, abs=0.06)


@ROOMS
def test_directions_have_no_bound(name: str) -> None:
    direction = "velocity" if name == "flow_matching" else "v"
    model = build(load_config(f"{name}_toy_test", schema_of, [f"model.prediction={direction}"]))
    batch = Batch(torch.zeros(1, 5, 64, 32), torch.zeros(1, 2))
    with pytest.raises(UsageError, match=f"{name} with model.prediction {direction} has no bound"):
        model.bound(batch, [])


def three(name: str) -> GaussianDiffusion:
    torch.manual_seed(0)
    return build(load_config(f"{name}_toy_test", schema_of, ["data.component_dirs=[a, b, c]"])).eval()


MASK = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]]).bool().repeat(2, 1)


@ROOMS
def test_given_parts_stand_clean_in_every_state(name: str, batch: Batch) -> None:
    model = three(name)
    seen: list[Tensor] = []
    model.denoiser.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model.generate(
        Query(batch.condition, torch.ones(6, 1), batch.image, MASK),
        [GeneratorNoise(torch.Generator().manual_seed(0), 6)],
    )
    step = Step(torch.Generator().manual_seed(0), model.config.training)
    model.losses(batch, MASK, torch.ones(6, 1), step)
    assert len(seen) == model.config.sampling.steps + 1
    for state in seen:
        assert torch.equal(state[MASK], 2 * batch.image[MASK] - 1)
        assert not torch.equal(state[~MASK], 2 * batch.image[~MASK] - 1)


@ROOMS
def test_losses_count_hidden_parts_only_and_see_the_condition(name: str, batch: Batch) -> None:
    model, time = three(name), torch.linspace(0.2, 0.9, 6)
    for weight in model.denoiser.parameters():  # branches that start at zero are silent
        torch.nn.init.normal_(weight, std=0.05)
    noise = torch.randn(6, 3, 64, 32, generator=torch.Generator().manual_seed(1))

    def errors(mask: Tensor = MASK, known: Tensor | None = None, change: float = 0.0) -> Tensor:
        asked = Batch(batch.image, batch.condition + change, known)
        return model.errors(asked, mask, torch.ones(6, 1), time, noise)

    everything = torch.ones(6, 3, dtype=torch.bool)
    assert (errors(everything).abs() < 1e-4).all(), "nothing is hidden"
    assert (errors() > 1).all()
    assert not torch.equal(errors(), errors(change=1.0)), "the condition does not reach the loss"
    assert (errors(known=MASK, mask=MASK) < errors()).all(), "unknown parts are counted"
