"""Widths of borders, from designs whose borders move by a known one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from epurecli.evaluate import completions
from epurecli.nn import borders
from epurecli.nn.borders import Borders, honest_width, spread_ratio
from epurecli.nn.labels import owned
from epurecli.nn.likelihoods import likelihood_of
from epurecli.pictures.crisp import crisp

ROWS, DRAWS, SIZE = 400, 4, 24
RNG = torch.Generator().manual_seed(0)


def bits(maps: Tensor) -> Tensor:
    return owned(likelihood_of("categorical", maps.shape[-3]).image(maps))


def stripes(rows: int) -> Tensor:  # -> (rows, 2, SIZE, SIZE)
    """Logits of two parts that stand apart: a nat a pixel away from each border, at places that differ by design."""
    column = torch.arange(SIZE).float().expand(rows, 1, SIZE, SIZE)
    place = 6 + 2 * torch.rand(rows, 1, 1, 1, generator=RNG)
    return torch.cat([2.5 - (column - place).abs(), 2.5 - (column - place - 10).abs()], 1)


def draws_of(maps: Tensor, width: Tensor, count: int) -> Tensor:  # (B, C, H, W), (C,) -> (B, count, C, H, W)
    """As `Borders` draws."""
    layer = Borders(1, maps.shape[1])
    layer.width.copy_(width)
    group = torch.zeros(len(maps), dtype=torch.int64)
    return torch.stack([layer(maps, torch.randn(maps.shape[:2], generator=RNG), group) for _ in range(count)], 1)


@pytest.mark.parametrize("width", [(0.5, 1.5), (1.0, 0.0)])
def test_the_width_that_moved_the_truth_is_found(width: tuple[float, float]) -> None:
    maps, moved = stripes(ROWS), torch.tensor(width)
    truth = bits(draws_of(maps, moved, 1)[:, 0])
    noise = torch.randn(ROWS, DRAWS, 2, generator=RNG)
    found = honest_width(maps.unsqueeze(1).expand(-1, DRAWS, -1, -1, -1), noise, truth, bits)
    torch.testing.assert_close(found, moved, atol=0.2, rtol=0)
    fresh = spread_ratio(bits(draws_of(maps, found, 8).flatten(0, 1)).unflatten(0, (ROWS, 8)), truth)
    assert (fresh[moved > 0] - borders.HONEST).abs().max() < 0.06
    assert fresh[moved == 0].isnan().all()  # every draw is right


def test_draws_that_are_honest_already_keep_their_borders() -> None:
    places = torch.stack([stripes(ROWS) for _ in range(DRAWS)], 1)
    noise = torch.randn(ROWS, DRAWS, 2, generator=RNG)
    assert honest_width(places, noise, bits(stripes(ROWS)), bits).tolist() == [0, 0]


def test_where_no_width_is_enough_the_largest_is_taken_if_it_brings_much() -> None:
    maps = stripes(ROWS)
    noise = torch.randn(ROWS, DRAWS, 2, generator=RNG)
    drawn = maps.unsqueeze(1).expand(-1, DRAWS, -1, -1, -1)
    far = bits(draws_of(maps, torch.tensor([4.0, 4.0]), 1)[:, 0])
    assert honest_width(drawn, noise, far, bits).tolist() == [borders.WIDTHS[-1]] * 2
    sharp, elsewhere = 6 * drawn, ~bits(maps)  # what is missing is not where the borders are
    assert honest_width(sharp, noise, elsewhere, bits).tolist() == [0, 0]


def test_the_ratio_is_that_of_the_reports() -> None:
    draws = torch.rand(20, 5, 3, 6, 6, generator=RNG) < torch.rand(20, 1, 3, 6, 6, generator=RNG)
    truth = torch.rand(20, 3, 6, 6, generator=RNG) < 0.5
    expected = completions.spread_ratio(draws.numpy(), truth.numpy())
    np.testing.assert_allclose(spread_ratio(draws, truth).numpy(), expected, rtol=1e-5)


def test_a_pixel_has_the_owner_that_pictures_give_it() -> None:
    shares = torch.rand(30, 4, 6, 6, generator=RNG).softmax(1) * torch.rand(30, 1, 6, 6, generator=RNG) * 1.3
    for image in (shares, (4 * shares).round() / 4):  # the second is full of ties
        assert np.array_equal(owned(image).numpy(), crisp(image.numpy()) == 1)
