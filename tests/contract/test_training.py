"""What every model must do when it is trained."""

from __future__ import annotations

import typing
from enum import EnumType
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel
from throwaway import THROWAWAY, config_file

from epurecli.checkpoint import load_weights, save_weights
from epurecli.config import load_config
from epurecli.errors import CheckpointError, ConfigError
from epurecli.models.contract import set_trainable
from epurecli.models.registry import REGISTRY, schema_of
from epurecli.types import Mode


def objectives_of(model) -> list:
    return [(stage, objective) for stage in model.stages() for objective in stage.objectives]


def test_every_parameter_is_trained_in_some_stage(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name, *tools.with_flow(name)))
    trained = {id(p) for _, objective in objectives_of(model) for p in objective.parameters()}
    assert [key for key, p in model.named_parameters() if id(p) not in trained] == []


def test_the_gradient_reaches_every_trained_parameter(name: str, tools) -> None:
    """In the first few steps: branches that start at zero let nothing through in the very first."""
    model = tools.model_of(tools.config_of(name, "model.cond_dropout=0.5"))
    names = {id(p): key for key, p in model.named_parameters()}
    for stage in model.stages():
        waiting = {id(p) for objective in stage.objectives for p in objective.parameters()}
        for objective in tools.steps(model, tools.batch_for(model), stage, 4):
            waiting -= {id(p) for p in objective.parameters() if p.grad is not None and p.grad.abs().max() > 0}
        assert [names[i] for i in waiting] == [], f"no gradient in stage {stage.name}"


def test_what_an_objective_does_not_train_stays_bit_for_bit(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name, *tools.with_flow(name)))
    batch = tools.batch_for(model)
    for stage in model.stages():
        own = {id(t) for o in stage.objectives for module in o.trains for t in tools.tensors_of(module).values()}
        frozen = {k: (t, t.clone()) for k, t in tools.tensors_of(model).items() if id(t) not in own}
        before = {k: t.clone() for k, t in tools.tensors_of(model).items() if id(t) in own}
        for _ in tools.steps(model, batch, stage, 3):
            pass
        for key, (now, then) in frozen.items():
            assert torch.equal(now, then), f"{key} moved in stage {stage.name}"
        assert any(not torch.equal(tools.tensors_of(model)[k], t) for k, t in before.items())


def test_all_but_what_an_objective_trains_is_frozen(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name, *tools.with_flow(name)))
    for _, objective in objectives_of(model):
        model.requires_grad_(True).train()
        set_trainable(model, objective)
        free = {id(p) for p in objective.parameters()}
        assert free
        assert {id(p) for p in model.parameters() if p.requires_grad} == free
        working = {id(m) for part in objective.trains for m in part.modules()}
        assert {id(m) for m in model.modules() if m.training} == working


def test_the_loss_goes_down(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name, *tools.in_each_stage(name, lr=3e-3, warmup_steps=0)))
    batch = tools.tyres(16)
    for stage in model.stages():

        def score(stage=stage) -> float:
            model.eval()
            with torch.no_grad():
                return tools.judged(stage, batch)["total"].item()

        before = score()
        for _ in tools.steps(model, batch, stage, 25):
            pass
        assert score() < before, stage.name


def test_deterministic_algorithms_are_enough(name: str, tools) -> None:
    """`--deterministic`: no operation of a training step, nor of drawing, is refused."""
    model = tools.model_of(tools.config_of(name, *tools.with_flow(name)))
    batch = tools.batch_for(model)
    torch.use_deterministic_algorithms(True)
    try:
        tools.trained(model, batch, 2)
        model.generate(tools.ask(model, len(batch), batch.condition), tools.noise_for(model, len(batch)))
    finally:
        torch.use_deterministic_algorithms(False)


def test_bfloat16_rounds_the_networks_and_nothing_else(name: str, tools) -> None:
    """Losses come in float32 and hardly differ, gradients point the same way, and the flow does not notice."""
    model = tools.model_of(tools.config_of(name, *tools.with_flow(name)))
    batch = tools.tyres(32)
    for stage in model.stages():
        for _ in tools.steps(model, batch, stage, 8):
            pass
        seen = stage.view(batch)
        for objective in stage.objectives:
            set_trainable(model, objective)
            totals, gradients = [], []
            for rounded in (False, True):
                start = {k: t.clone() for k, t in model.state_dict().items()}
                with torch.autocast("cpu", torch.bfloat16, enabled=rounded):
                    loss = objective.loss(seen, tools.step_of(stage, epoch=0))
                assert {loss.total.dtype, *(term.dtype for term in loss.terms.values())} == {torch.float32}
                totals.append(loss.total.item())
                wanted = [p for p in objective.parameters() if p.requires_grad]
                found = torch.autograd.grad(loss.total, wanted, allow_unused=True)
                gradients.append(torch.cat([g.flatten() for g in found if g is not None]))
                model.load_state_dict(start)  # running moments have moved
            if stage.encode is not None:
                assert totals[0] == totals[1]
                continue
            assert totals[1] == pytest.approx(totals[0], rel=0.01)
            assert torch.cosine_similarity(*gradients, dim=0) > 0.99


def test_validation_changes_nothing_and_is_repeatable(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name)).eval()
    batch = tools.batch_for(model)
    before = {k: t.clone() for k, t in tools.tensors_of(model).items()}
    for stage in model.stages():
        with torch.no_grad():
            first, second = (tools.judged(stage, batch) for _ in range(2))
        assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}
    for key, tensor in tools.tensors_of(model).items():
        assert torch.equal(tensor, before[key]), key


def test_losses_are_means_over_designs(name: str, tools) -> None:
    """Eight times the same designs: the same figure, so that rates and clipping mean the same for every batch size."""
    model = tools.model_of(tools.config_of(name)).eval()
    batch = tools.batch_for(model)
    more = type(batch)(batch.image.repeat(8, 1, 1, 1), batch.condition.repeat(8, 1))
    for stage in model.stages():
        with torch.no_grad():
            small, large = (tools.judged(stage, b)["total"].item() for b in (batch, more))
        assert large == pytest.approx(small, rel=0.1)


def test_the_generator_decides_the_loss(name: str, tools) -> None:
    model = tools.model_of(tools.config_of(name, *tools.in_each_stage(name, max_mask_prob=1, warmup_epochs=0)))
    batch = tools.batch_for(model)
    for stage, objective in objectives_of(model):
        model.requires_grad_(False).eval()  # dropout apart: the loop seeds what it draws from
        seen = stage.view(batch)
        step = tools.step_of(stage, index=9)
        before = step.generator.get_state()
        first = objective.loss(seen, step).total
        if torch.equal(step.generator.get_state(), before):  # an autoencoder's, which draws nothing
            continue
        torch.rand(3)
        assert torch.equal(first, objective.loss(seen, tools.step_of(stage, index=9)).total)
        assert not torch.equal(first, objective.loss(seen, tools.step_of(stage, seed=1, index=9)).total)


def test_weights_survive_saving(name: str, ready, tools, tmp_path) -> None:
    model = ready(name)
    save_weights(tmp_path / "w.safetensors", model, stage="s", epoch=3, metric=1.5)
    other = tools.model_of(tools.config_of(name), seed=9).eval()
    batch = tools.batch_for(model, 4)
    mask = torch.zeros(4, len(model.components), dtype=torch.bool)
    mask[:, 0] = True
    queries = [tools.ask(model, 4), tools.ask(model, 4, batch.condition)]
    queries += [tools.ask(model, 4, None, batch.image, mask)] if Mode.INPAINTING in model.modes else []
    drawn = [model.generate(query, tools.noise_for(model, 4)) for query in queries]
    assert not torch.equal(other.generate(queries[0], tools.noise_for(model, 4)), drawn[0])
    facts = load_weights(other, tmp_path / "w.safetensors")
    assert (facts["model"], facts["stage"], facts["epoch"]) == (name, "s", "3")
    for query, images in zip(queries, drawn, strict=True):
        assert torch.equal(other.generate(query, tools.noise_for(model, 4)), images)


def test_weights_of_another_shape_are_refused(name: str, ready, tools, tmp_path) -> None:
    save_weights(tmp_path / "w.safetensors", ready(name), stage="s", epoch=3, metric=1.5)
    other = tools.model_of(tools.config_of(name, "data.condition_columns=[width_px]", "model.cond_dim=null"))
    with pytest.raises(CheckpointError, match=r"has shape .* expected"):
        load_weights(other, tmp_path / "w.safetensors")


@pytest.mark.parametrize("key", ["model.beta=7", "model.latent_prior=flow", "training.masking=single"])
@pytest.mark.parametrize("throwaway", THROWAWAY)
def test_a_key_that_a_model_does_not_read_is_an_error(throwaway: str, key: str) -> None:
    with pytest.raises(ConfigError, match=f"{throwaway} has no such key"):
        load_config(config_file(throwaway), schema_of, [key])


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
    (n, key, v) for n in sorted(REGISTRY) for key, v in choices(schema_of(n).model_fields["model"].annotation, "model")
]


@pytest.mark.parametrize(("room", "key", "value"), CHOICES, ids=[f"{n}-{k.split('.')[-1]}-{v}" for n, k, v in CHOICES])
def test_every_choice_trains_and_draws(room: str, key: str, value: Any, tools) -> None:
    model = tools.model_of(tools.config_of(room, f"{key}={value}", components=3, size=(16, 16)))
    batch = tools.batch_for(model, 6)
    tools.trained(model, batch, 2)
    mask = torch.tensor([[1, 0, 0], [0, 1, 1]]).bool().repeat(3, 1)
    for query in (tools.ask(model, 6, batch.condition), tools.ask(model, 6, None, batch.image, mask)):
        images = model.generate(query, tools.noise_for(model, 6))
        assert torch.isfinite(images).all()
        assert images.min() >= 0
        assert images.max() <= 1
