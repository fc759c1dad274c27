"""The VQ-VAE's prior: it sees given parts, the condition and shown tokens, never what it is to say."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from epurecli.config import load_config
from epurecli.models.registry import build, schema_of
from epurecli.models.vqvae.model import VQVAE
from epurecli.types import Batch

PARTS = "data.component_dirs=[a, b, c]"


@pytest.fixture
def model() -> VQVAE:
    torch.manual_seed(0)
    model = build(load_config("vqvae_toy_test", schema_of, [PARTS])).eval()
    for weight in model.prior.parameters():  # branches that start at zero are silent
        torch.nn.init.normal_(weight, std=0.05)
    return model


MASK = torch.tensor([[1, 0, 0], [0, 1, 1], [0, 0, 0]]).bool().repeat(2, 1)


def nats(model: VQVAE, batch: Batch, tokens: Tensor, time: float = 0.5, condition: float = 0.0) -> Tensor:
    uniform = torch.rand(6, *model.grid, generator=torch.Generator().manual_seed(2))
    asked = Batch(batch.image, batch.condition + condition)
    return model.token_nats(asked, tokens, MASK, torch.ones(6, 1), torch.full((6,), time), uniform)


def test_the_prior_cannot_see_its_target(model: VQVAE, batch: Batch) -> None:
    """Other tokens in the hidden cells and other hidden parts: the logits stay."""
    said: list[Tensor] = []
    model.prior.register_forward_hook(lambda _, inputs, output: said.append(output))
    tokens = model.tokens(batch.image)
    uniform = torch.rand(6, *model.grid, generator=torch.Generator().manual_seed(2))
    other = torch.where(uniform < 0.5, (tokens + 1) % model.quantizer.count, tokens)
    changed = Batch(torch.where(MASK[..., None, None], batch.image, 1 - batch.image), batch.condition)
    nats(model, batch, tokens)
    nats(model, changed, other)
    assert torch.equal(*said)
    nats(model, Batch(1 - batch.image, batch.condition), tokens)
    given = MASK.any(1)
    assert (said[0] != said[2])[given].flatten(1).any(1).all(), "given parts do not reach the prior"


def test_shown_tokens_cost_nothing_and_conditions_count(model: VQVAE, batch: Batch) -> None:
    tokens = model.tokens(batch.image)
    assert not nats(model, batch, tokens, time=0.0).any()
    assert (nats(model, batch, tokens, time=1.0) > nats(model, batch, tokens)).all()
    assert not torch.equal(nats(model, batch, tokens), nats(model, batch, tokens, condition=1.0))


def test_two_given_parts_are_used(model: VQVAE, batch: Batch) -> None:
    mask = torch.tensor([[True, True, False]]).repeat(6, 1)
    present = torch.ones(6, 1)
    both = model.seen(batch.image, mask, present)
    for part in (0, 1):
        less = mask.clone()
        less[:, part] = False
        assert not torch.equal(model.seen(batch.image, less, present), both)
