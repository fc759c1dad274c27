"""Which components training shows: the right subsets, equally often, from one explicit generator."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from epurecli.config.latent import MaskedStage, Masking
from epurecli.nn.masking import draw_masks, mask_probability
from epurecli.nn.step import Step


def codes(mask: torch.Tensor) -> torch.Tensor:
    return (mask.long() << torch.arange(mask.shape[1])).sum(1)


@pytest.mark.parametrize("components", [2, 3, 5])
def test_subset_draws_every_proper_subset_equally_often(components: int) -> None:
    step = Step(torch.Generator().manual_seed(0))
    mask = draw_masks(20_000, components, 1.0, Masking.SUBSET, step)
    counts = torch.bincount(codes(mask), minlength=2**components)
    assert counts[0] == 0
    assert counts[-1] == 0
    assert stats.chisquare(counts[1:-1].numpy()).pvalue > 0.01


@pytest.mark.parametrize("components", [2, 3, 5])
def test_single_keeps_one_component_equally_often(components: int) -> None:
    mask = draw_masks(20_000, components, 1.0, Masking.SINGLE, Step(torch.Generator().manual_seed(1)))
    assert (mask.sum(1) == 1).all()
    assert stats.chisquare(mask.sum(0).numpy()).pvalue > 0.01


@pytest.mark.parametrize("kind", Masking)
def test_a_share_of_the_designs_is_masked(kind: Masking) -> None:
    mask = draw_masks(20_000, 5, 0.3, kind, Step(torch.Generator().manual_seed(0)))
    masked = int((~mask.all(1)).sum())
    assert stats.binomtest(masked, 20_000, 0.3).pvalue > 0.01


def test_which_designs_are_masked_says_nothing_about_which_parts_they_keep() -> None:
    mask = draw_masks(20_000, 3, 0.5, Masking.SUBSET, Step(torch.Generator().manual_seed(0)))
    counts = torch.bincount(codes(mask[~mask.all(1)]), minlength=8)[1:-1]
    assert stats.chisquare(counts.numpy()).pvalue > 0.01


@pytest.mark.parametrize(("components", "probability"), [(1, 1.0), (5, 0.0)])
def test_nothing_is_hidden(components: int, probability: float) -> None:
    for kind in Masking:
        mask = draw_masks(50, components, probability, kind, Step(torch.Generator().manual_seed(0)))
        assert mask.shape == (50, components)
        assert mask.dtype == torch.bool
        assert mask.all()


def test_the_generator_decides_and_nothing_else() -> None:
    draws = []
    for _ in range(2):
        torch.rand(7)
        draws.append(draw_masks(100, 5, 0.7, Masking.SUBSET, Step(torch.Generator().manual_seed(3))))
    assert torch.equal(*draws)
    assert not torch.equal(draws[0], draw_masks(100, 5, 0.7, Masking.SUBSET, Step(torch.Generator().manual_seed(4))))


@pytest.mark.parametrize(
    ("epoch", "warmup", "expected"),
    [(0, 20, 0.0), (5, 20, 0.35), (20, 20, 0.7), (99, 20, 0.7), (1, 20, 0.7 * 20**-0.5), (0, 0, 0.7), (3, 0, 0.7)],
)
def test_schedule(epoch: int, warmup: int, expected: float) -> None:
    stage = MaskedStage(max_mask_prob=0.7, warmup_epochs=warmup)
    assert mask_probability(epoch, stage) == pytest.approx(expected)
