"""Learning rates as numbers, and the moving average of weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from epurecli.config.schema import OptimizerConfig, StageConfig
from epurecli.models.contract import Objective, Stage
from epurecli.training.ema import Average
from epurecli.training.schedule import learning_rate, on_plateau, stage_budget
from epurecli.training.worker import average_of, build_optimizer


@pytest.mark.parametrize(
    ("settings", "step", "progress", "scale", "expected"),
    [
        ({}, 0, 0.0, 1.0, 0.2),
        ({}, 10**6, 1.0, 1.0, 0.2),
        ({"warmup_steps": 4}, 0, 0.0, 1.0, 0.05),
        ({"warmup_steps": 4}, 3, 0.0, 1.0, 0.2),
        ({"warmup_steps": 4}, 4, 0.0, 1.0, 0.2),
        ({"scheduler": "cosine"}, 0, 0.0, 1.0, 0.2),
        ({"scheduler": "cosine"}, 5, 0.5, 1.0, 0.1),
        ({"scheduler": "cosine"}, 9, 1.0, 1.0, 0.0),
        ({"scheduler": "cosine"}, 9, 1.7, 1.0, 0.0),  # a budget overrun does not turn the rate up again
        ({"scheduler": "cosine"}, 9, 0.25, 1.0, 0.1 * (1 + math.sqrt(0.5))),
        ({"scheduler": "cosine", "warmup_steps": 10}, 4, 0.5, 1.0, 0.05),
        ({"scheduler": "plateau"}, 9, 0.9, 0.25, 0.05),
    ],
)
def test_rates(settings: dict, step: int, progress: float, scale: float, expected: float) -> None:
    stage = StageConfig(lr=0.2, **settings)
    assert learning_rate(stage, stage, step, progress, scale) == pytest.approx(expected, abs=1e-12)


def test_both_names_of_the_plateau() -> None:
    names = ("constant", "cosine", "plateau", "ReduceLROnPlateau")
    assert [on_plateau(StageConfig(scheduler=name)) for name in names] == [False, False, True, True]


def test_the_optimizer_is_the_one_asked_for() -> None:
    part = nn.Linear(2, 2)
    objective = Objective("x", (part, nn.Linear(1, 1)), loss=None)
    adam = build_optimizer(objective, StageConfig(optimizer="adam", lr=0.5, weight_decay=0.1))
    adamw = build_optimizer(objective, StageConfig(optimizer="adamw"))
    assert type(adam) is torch.optim.Adam
    assert type(adamw) is torch.optim.AdamW
    group = adam.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.5, 0.1)
    assert {id(p) for p in group["params"]} == {id(p) for p in objective.parameters()}


def test_an_objective_may_bring_its_own_optimizer_and_go_without_an_average() -> None:
    part, stage = nn.Linear(2, 2), StageConfig(lr=0.5, ema_decay=0.9, warmup_steps=4)
    own = OptimizerConfig(optimizer="adam", lr=0.2, betas=(0.0, 0.9), grad_clip=7.0)
    critic = Objective("critic", (part,), loss=None, optimizer=own, averaged=False)
    optimizer = build_optimizer(critic, stage)
    assert type(optimizer) is torch.optim.Adam
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["betas"]) == (0.2, (0.0, 0.9))
    assert average_of(critic, stage.ema_decay) is None
    assert average_of(Objective("other", (part,), loss=None), stage.ema_decay) is not None
    assert learning_rate(own, stage, 1, 0.0, 1.0) == pytest.approx(0.1)  # the stage's warm-up of its own rate


def test_a_parameter_that_two_modules_share_is_trained_once() -> None:
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    second.weight = first.weight
    assert len(list(Objective("x", (first, second), loss=None).parameters())) == 3


def test_a_budget_is_divided_by_the_shares() -> None:
    stages = [Stage(str(share), StageConfig(share=share), ()) for share in (1.0, 2.0, 5.0)]
    assert [stage_budget(16.0, stages, i) for i in range(3)] == pytest.approx([2.0, 4.0, 10.0])
    assert stage_budget(None, stages, 0) is None


def test_the_average_follows_its_formula() -> None:
    parameter = nn.Parameter(torch.tensor([1.0, 2.0]))
    average = Average([parameter], decay=0.5)
    expected = parameter.detach().clone()
    for update in range(1, 30):
        with torch.no_grad():
            parameter.mul_(-1.1)
        average.update()
        decay = min(0.5, update / (update + 10))  # young averages forget faster
        expected = decay * expected + (1 - decay) * parameter.detach()
        torch.testing.assert_close(average.shadow[0], expected)


def test_the_average_is_lent_to_the_model_and_taken_back() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    average = Average([parameter], decay=0.9)
    with torch.no_grad():
        parameter.fill_(3.0)
    average.update()
    shadow = average.shadow[0].item()
    with average.applied():
        assert parameter.item() == shadow != 3.0
    assert parameter.item() == 3.0
    assert average.shadow[0].item() == shadow


def test_validation_and_checkpoints_see_the_average_and_training_its_own_weights(point) -> None:
    from epurecli.checkpoint import load_tensors
    from epurecli.training.loop import train

    case = point(epochs=3, ema_decay=0.9)
    raw: list[float] = []
    case.model.slopes = lambda step: raw.append(case.model.w) or 1.0
    train(case.run)
    parameter = nn.Parameter(torch.zeros(1, 1))
    average, seen = Average([parameter], 0.9), []
    optimizer = torch.optim.AdamW([parameter], lr=0.1, weight_decay=0, fused=True)
    for step in range(6):
        assert raw[step] == pytest.approx(parameter.item(), rel=1e-6), "training went on from the average"
        optimizer.zero_grad()
        parameter.sum().backward()
        optimizer.step()
        average.update()
        if step % 2:
            seen.append(average.shadow[0].item())
    assert case.model.at_validation == pytest.approx(seen, rel=1e-6)
    last = load_tensors(case.run.folder / "last.safetensors")[0]["inner.weight"].item()
    assert last == pytest.approx(seen[-1], rel=1e-6)
