"""Conditions, their absence, and how often training drops them."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import nn

from epurecli.nn.conditioning import EMBEDDING, ConditionEmbedding, scale_latent_weights
from epurecli.nn.grouped import GroupedLinear
from epurecli.nn.step import Step


def test_no_condition_starts_at_zero_and_ignores_the_values() -> None:
    embed = ConditionEmbedding(3)
    absent = torch.zeros(4, 1)
    assert torch.equal(embed(torch.randn(4, 3), absent), torch.zeros(4, EMBEDDING))
    torch.nn.init.normal_(embed.null)
    assert torch.equal(embed(torch.randn(4, 3), absent), embed.null.expand(4, EMBEDDING))


def test_a_condition_of_zero_is_not_no_condition() -> None:
    embed = ConditionEmbedding(2)
    assert not torch.allclose(embed(torch.zeros(1, 2), torch.ones(1, 1)), embed(torch.zeros(1, 2), torch.zeros(1, 1)))


def test_one_batch_mixes_both() -> None:
    embed = ConditionEmbedding(2)
    torch.nn.init.normal_(embed.null)
    condition = torch.randn(3, 2)
    mixed = embed(condition, torch.tensor([[1.0], [0.0], [1.0]]))
    torch.testing.assert_close(mixed[[0, 2]], embed.mlp(condition)[[0, 2]])
    torch.testing.assert_close(mixed[1], embed.null)


def test_the_plan_sizes() -> None:
    embed = ConditionEmbedding(2)
    assert sum(p.numel() for p in embed.mlp.parameters()) == 2 * 128 + 128 + 128 * 256 + 256
    assert embed.null.shape == (256,)


def test_a_model_without_conditions() -> None:
    embed = ConditionEmbedding(0)
    assert embed(torch.empty(5, 0), torch.ones(5, 1)).shape == (5, EMBEDDING)
    assert [name for name, _ in embed.named_parameters()] == ["null"]


def test_presence_is_dropped_at_the_stated_rate_from_the_generator() -> None:
    embed = ConditionEmbedding(2, dropout=0.1)
    present = embed.draw_presence(20_000, Step(torch.Generator().manual_seed(0)))
    assert present.shape == (20_000, 1)
    assert set(present.unique().tolist()) == {0.0, 1.0}
    assert stats.binomtest(int((present == 0).sum()), 20_000, 0.1).pvalue > 0.01
    assert torch.equal(present, embed.draw_presence(20_000, Step(torch.Generator().manual_seed(0))))
    assert ConditionEmbedding(2, dropout=0.0).draw_presence(1000, Step(torch.Generator().manual_seed(0))).all()


@pytest.mark.parametrize("layer", [nn.Linear(8 + EMBEDDING, 500), GroupedLinear(2, 8 + EMBEDDING, 500)])
def test_a_latent_is_heard_as_if_it_were_the_only_input(layer: nn.Module) -> None:
    before = layer.weight.detach().clone()
    scale_latent_weights(layer, 8)
    assert torch.equal(layer.weight[:, 8:], before[:, 8:])
    alone = nn.Linear(8, 5000).weight.std()
    torch.testing.assert_close(layer.weight[:, :8].std(), alone, rtol=0.05, atol=0)
