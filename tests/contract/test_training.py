"""What every model must do when it is trained."""

from __future__ import annotations

import typing
from enum import EnumType
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel

from epurecli.checkpoint import load_weights, save_weights
from epurecli.errors import CheckpointError
from epurecli.models.registry import ROOMS, schema_of
from epurecli.nn.shard import Shard
from epurecli.training.loop import arm
from epurecli.types import Clock, Query


def objectives_of(model) -> list:
    return [(stage, objective) for stage in model.stages() for objective in stage.objectives]


def test_every_parameter_is_trained_in_some_stage(name: str, house) -> None:
    model = house.model_of(house.config_of(name, "model.latent_prior=flow"))
    trained = {id(p) for _, objective in objectives_of(model) for p in objective.parameters()}
    assert [key for key, p in model.named_parameters() if id(p) not in trained] == []


def test_the_gradient_reaches_every_trained_parameter(name: str, house) -> None:
    """In the first few steps: branches that start at zero let nothing through in the very first."""
    model = house.model_of(house.config_of(name, "model.cond_dropout=0.5"))
    names = {id(p): key for key, p in model.named_parameters()}
    for stage in model.stages():
        waiting = {id(p) for objective in stage.objectives for p in objective.parameters()}
        for objective in house.steps(model, house.batch_for(model), stage, 4):
            waiting -= {id(p) for p in objective.parameters() if p.grad is not None and p.grad.abs().max() > 0}
        assert [names[i] for i in waiting] == [], f"no gradient in stage {stage.name}"


def test_what_an_objective_does_not_train_stays_bit_for_bit(name: str, house) -> None:
    model = house.model_of(house.config_of(name, "model.latent_prior=flow"))
    batch = house.batch_for(model)
    for stage in model.stages():
        own = {id(t) for o in stage.objectives for module in o.trains for t in house.tensors_of(module).values()}
        frozen = {k: (t, t.clone()) for k, t in house.tensors_of(model).items() if id(t) not in own}
        before = {k: t.clone() for k, t in house.tensors_of(model).items() if id(t) in own}
        for _ in house.steps(model, batch, stage, 3):
            pass
        for key, (now, then) in frozen.items():
            assert torch.equal(now, then), f"{key} moved in stage {stage.name}"
        assert any(not torch.equal(house.tensors_of(model)[k], t) for k, t in before.items())


def test_arming_freezes_all_but_what_is_trained(name: str, house) -> None:
    model = house.model_of(house.config_of(name, "model.latent_prior=flow"))
    for _, objective in objectives_of(model):
        model.requires_grad_(True).train()
        arm(model, objective)
        free = {id(p) for p in objective.parameters()}
        assert free
        assert {id(p) for p in model.parameters() if p.requires_grad} == free
        working = {id(m) for part in objective.trains for m in part.modules()}
        assert {id(m) for m in model.modules() if m.training} == working


def test_the_loss_goes_down(name: str, house) -> None:
    model = house.model_of(house.config_of(name, *house.in_each_stage(name, lr=3e-3, warmup_steps=0)))
    batch = house.tyres(16)
    for stage in model.stages():

        def score(stage=stage) -> float:
            model.eval()
            with torch.no_grad():
                return stage.validate(
                    stage.view(batch), Clock(0, 1, 0), Shard(torch.Generator().manual_seed(0))
                ).total.item()

        before = score()
        for _ in house.steps(model, batch, stage, 25):
            pass
        assert score() < before, stage.name


def test_deterministic_algorithms_are_enough(name: str, house) -> None:
    """`--deterministic`: no operation of a training step, nor of drawing, is refused."""
    model = house.model_of(house.config_of(name, "model.latent_prior=flow"))
    batch = house.batch_for(model)
    torch.use_deterministic_algorithms(True)
    try:
        house.trained(model, batch, 2)
        model.generate(Query(len(batch), batch.condition), house.noise_for(model, len(batch)))
    finally:
        torch.use_deterministic_algorithms(False)


def test_bfloat16_rounds_the_networks_and_nothing_else(name: str, house) -> None:
    """Losses come in float32 and hardly differ, gradients point the same way, and the flow does not notice."""
    model = house.model_of(house.config_of(name, "model.latent_prior=flow"))
    batch = house.tyres(32)
    for stage in model.stages():
        for _ in house.steps(model, batch, stage, 8):
            pass
        seen = stage.view(batch)
        for objective in stage.objectives:
            arm(model, objective)
            totals, gradients = [], []
            for rounded in (False, True):
                start = {k: t.clone() for k, t in model.state_dict().items()}
                with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                    loss = objective.loss(seen, Clock(0, 1, 0), Shard(torch.Generator().manual_seed(0)))
                assert {loss.total.dtype, *(term.dtype for term in loss.terms.values())} == {torch.float32}
                totals.append(loss.total.item())
                wanted = [p for p in objective.parameters() if p.requires_grad]
                found = torch.autograd.grad(loss.total, wanted, allow_unused=True)
                gradients.append(torch.cat([g.flatten() for g in found if g is not None]))
                model.load_state_dict(start)  # what learns by following has moved
            if stage.encode is not None:
                assert totals[0] == totals[1]
                continue
            assert totals[1] == pytest.approx(totals[0], rel=0.01)
            assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_validation_changes_nothing_and_is_repeatable(name: str, house) -> None:
    model = house.model_of(house.config_of(name)).eval()
    batch = house.batch_for(model)
    before = {k: t.clone() for k, t in house.tensors_of(model).items()}
    for stage in model.stages():
        with torch.no_grad():
            first, second = (
                stage.validate(stage.view(batch), Clock(0, 1, 0), Shard(torch.Generator().manual_seed(0)))
                for _ in range(2)
            )
        assert torch.equal(first.total, second.total)
        assert {k: v.item() for k, v in first.terms.items()} == {k: v.item() for k, v in second.terms.items()}
    for key, tensor in house.tensors_of(model).items():
        assert torch.equal(tensor, before[key]), key


def test_losses_are_means_over_designs(name: str, house) -> None:
    """Eight times the same designs: the same figure, so that rates and clipping mean the same for every batch size."""
    model = house.model_of(house.config_of(name)).eval()
    batch = house.batch_for(model)
    more = type(batch)(batch.image.repeat(8, 1, 1, 1), batch.condition.repeat(8, 1))
    for stage in model.stages():
        with torch.no_grad():
            small, large = (
                stage.validate(stage.view(b), Clock(0, 1, 0), Shard(torch.Generator().manual_seed(0)))
                for b in (batch, more)
            )
        assert large.total.item() == pytest.approx(small.total.item(), rel=0.1)


def test_the_generator_decides_the_loss(name: str, house) -> None:
    model = house.model_of(house.config_of(name, *house.in_each_stage(name, max_mask_prob=1, warmup_epochs=0)))
    batch = house.batch_for(model)
    for stage, objective in objectives_of(model):
        model.requires_grad_(False).eval()  # dropout apart: the loop seeds what it draws from
        clock, seen = Clock(stage.settings.epochs - 1, stage.settings.epochs, 9), stage.view(batch)
        first = objective.loss(seen, clock, Shard(torch.Generator().manual_seed(0))).total
        torch.rand(3)
        assert torch.equal(first, objective.loss(seen, clock, Shard(torch.Generator().manual_seed(0))).total)
        assert not torch.equal(first, objective.loss(seen, clock, Shard(torch.Generator().manual_seed(1))).total)


def test_weights_survive_saving(name: str, ready, house, tmp_path) -> None:
    model = ready(name)
    save_weights(tmp_path / "w.safetensors", model, stage="s", epoch=3, metric=1.5)
    other = house.model_of(house.config_of(name), seed=9).eval()
    noise, batch = house.noise_for(model, 4), house.batch_for(model, 4)
    mask = torch.zeros(4, len(model.components), dtype=torch.bool)
    mask[:, 0] = True
    queries = [Query(4), Query(4, batch.condition), Query(4, None, batch.image, mask)]
    drawn = [model.generate(query, noise) for query in queries]
    assert not torch.equal(other.generate(queries[0], noise), drawn[0])
    facts = load_weights(other, tmp_path / "w.safetensors")
    assert (facts["model"], facts["stage"], facts["epoch"]) == (name, "s", "3")
    for query, images in zip(queries, drawn, strict=True):
        assert torch.equal(other.generate(query, noise), images)


def test_weights_of_another_shape_are_refused(name: str, ready, house, tmp_path) -> None:
    save_weights(tmp_path / "w.safetensors", ready(name), stage="s", epoch=3, metric=1.5)
    other = house.model_of(house.config_of(name, "data.condition_columns=[width_px]", "model.cond_dim=null"))
    with pytest.raises(CheckpointError, match=r"has shape .* expected"):
        load_weights(other, tmp_path / "w.safetensors")


def choices(schema: type[BaseModel], path: str) -> list[tuple[str, Any]]:
    """Every (key, value) of keys that take one of a few words or sizes."""
    found = []
    for key, field in schema.model_fields.items():
        kind = field.annotation
        if isinstance(kind, EnumType):
            found += [(f"{path}.{key}", value.value) for value in kind]
        elif typing.get_origin(kind) is Literal and len(typing.get_args(kind)) > 1:
            found += [(f"{path}.{key}", value) for value in typing.get_args(kind)]
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            found += choices(kind, f"{path}.{key}")
    return found


CHOICES = [
    (n, key, v) for n in sorted(ROOMS) for key, v in choices(schema_of(n).model_fields["model"].annotation, "model")
]


@pytest.mark.parametrize(("room", "key", "value"), CHOICES, ids=[f"{n}-{k.split('.')[-1]}-{v}" for n, k, v in CHOICES])
def test_every_choice_trains_and_draws(room: str, key: str, value: Any, house) -> None:
    model = house.model_of(house.config_of(room, f"{key}={value}", components=3, size=(16, 16)))
    batch = house.batch_for(model, 6)
    house.trained(model, batch, 2)
    mask = torch.tensor([[1, 0, 0], [0, 1, 1]]).bool().repeat(3, 1)
    for query in (Query(6, batch.condition), Query(6, None, batch.image, mask)):
        images = model.generate(query, house.noise_for(model, 6))
        assert torch.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1
