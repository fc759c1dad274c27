"""Trunks: shapes for any size and patch, groups that do not see each other, zero branches at the start."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from epurecli.errors import ConfigError
from epurecli.nn.grouped import GroupedLinear
from epurecli.nn.resnet import Decoder, Encoder, ResBlock, widths

SIZES = [(64, 32), (8, 8), (16, 24), (40, 8)]


def shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, the branches that start at zero included."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=rng))
    return module.eval()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("patch", [1, 2, 4, 8])
def test_shapes(size: tuple[int, int], patch: int) -> None:
    sizes = widths(4, 8, patch)
    encoder = Encoder(3, size, sizes, patch_size=patch)
    decoder = Decoder(5, size, sizes[::-1], patch_size=patch)
    eighth = size[0] // 8 * (size[1] // 8)
    assert encoder.features == decoder.features == sizes[-1] * eighth
    assert encoder(torch.rand(2, 3, *size)).shape == (2, encoder.features)
    assert decoder(torch.rand(2, decoder.features)).shape == (2, 5, *size)


def test_widths_double_up_to_the_cap_until_an_eighth_of_the_image() -> None:
    assert widths(32, 256) == [32, 64, 128, 256]
    assert widths(32, 100) == [32, 64, 100, 100]
    assert [len(widths(8, 8, patch)) for patch in (1, 2, 4, 8)] == [4, 3, 2, 1]


@pytest.mark.parametrize("kind", [Encoder, Decoder])
def test_an_image_that_cannot_be_halved_so_often_is_refused(kind: type[nn.Module]) -> None:
    with pytest.raises(ConfigError, match=r"image_size 40x20 is not a multiple of 8"):
        kind(1, (40, 20), [4, 4, 4], patch_size=2)


def test_a_block_starts_as_its_shortcut() -> None:
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(ResBlock(4, 4)(x), x)
    block = ResBlock(4, 7)
    torch.testing.assert_close(block(x), block.shortcut(x))
    assert not torch.allclose(shake(ResBlock(4, 4))(x), x)


def test_dropout_acts_in_training_only() -> None:
    block = shake(ResBlock(8, 8, dropout=0.5))
    x = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(x), block(x))
    block.train()
    assert not torch.equal(block(x), block(x))


def test_every_pixel_counts() -> None:
    encoder = shake(Encoder(2, (16, 16), [4, 8], patch_size=2))
    image = torch.rand(1, 2, 16, 16, requires_grad=True)
    encoder(image).square().sum().backward()
    assert (image.grad != 0).all()


def test_grouped_linear_is_one_linear_a_group() -> None:
    layer = shake(GroupedLinear(3, 4, 5))
    x = torch.randn(2, 3, 4)
    for g in range(3):
        torch.testing.assert_close(layer(x)[:, g], x[:, g] @ layer.weight[g] + layer.bias[g, 0])


def test_a_block_that_doubles_is_the_block_on_the_doubled_grid() -> None:
    plain, doubling = shake(ResBlock(6, 4)), shake(ResBlock(6, 4, doubles=True))
    x = torch.randn(2, 6, 3, 5, generator=torch.Generator().manual_seed(1))
    wide = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(doubling(x), plain(wide))
