"""Every log-likelihood against an independent formula, pixel by pixel, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from epurecli.config.latent import Likelihood
from epurecli.nn.likelihoods import CalibratedGaussian, likelihood_of

B, C, H, W = 3, 4, 8, 5


@pytest.fixture
def maps() -> Tensor:
    return 2 * torch.randn(B, C, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def soft() -> Tensor:
    """Grey images."""
    return torch.rand(B, C, H, W, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.fixture
def parts() -> Tensor:
    """Disjoint binary parts with background left over."""
    owner = torch.randint(0, C + 1, (B, 1, H, W), generator=torch.Generator().manual_seed(3))
    return (owner == torch.arange(1, C + 1)[:, None, None]).double()


def test_gaussian_is_the_negative_squared_error(maps: Tensor, soft: Tensor) -> None:
    found = likelihood_of(Likelihood.GAUSSIAN, C).log_prob(maps, soft)
    density = torch.distributions.Normal(maps, math.sqrt(0.5)).log_prob(soft).sum((-2, -1))
    constant = -0.5 * H * W * math.log(math.pi)
    torch.testing.assert_close(found, density - constant)


def test_calibrated_gaussian_evaluates_with_its_running_variance(maps: Tensor, soft: Tensor) -> None:
    likelihood = CalibratedGaussian(C).double().eval()
    likelihood.variance.copy_(variance := torch.tensor([0.01, 0.1, 0.5, 2.0]).double())
    expected = stats.norm(maps.numpy(), likelihood.variance.sqrt()[:, None, None].numpy()).logpdf(soft.numpy())
    torch.testing.assert_close(likelihood.log_prob(maps, soft), torch.from_numpy(expected.sum((-2, -1))))
    assert torch.equal(likelihood.variance, variance)


def test_calibrated_gaussian_trains_with_the_likeliest_variance(maps: Tensor, soft: Tensor) -> None:
    likelihood = CalibratedGaussian(C).double().train()
    best = likelihood.log_prob(maps, soft).sum()
    variance = (maps - soft).square().mean((0, 2, 3))
    at = torch.distributions.Normal(maps, variance.sqrt()[:, None, None])
    torch.testing.assert_close(best, at.log_prob(soft).sum())
    for factor in (0.9, 1.1):
        other = torch.distributions.Normal(maps, (factor * variance).sqrt()[:, None, None])
        assert other.log_prob(soft).sum() < best
    torch.testing.assert_close(likelihood.variance, 0.95 * torch.full((C,), 0.05).double() + 0.05 * variance)


def test_calibrated_gaussian_has_a_bound(soft: Tensor) -> None:
    likelihood = CalibratedGaussian(C).double().train()
    nats = likelihood.log_prob(soft, soft)
    torch.testing.assert_close(nats, torch.full_like(nats, -0.5 * H * W * math.log(2 * math.pi * likelihood.FLOOR)))


def test_bernoulli_takes_logits_and_grey_values(maps: Tensor, soft: Tensor) -> None:
    likelihood = likelihood_of(Likelihood.BERNOULLI, C)
    found = likelihood.log_prob(maps, soft)
    p = 1 / (1 + torch.exp(-maps))
    torch.testing.assert_close(likelihood.image(maps), p)
    expected = (soft * p.log() + (1 - soft) * (1 - p).log()).sum((-2, -1))
    torch.testing.assert_close(found, expected)


def test_categorical_scores_the_owner_of_each_pixel(maps: Tensor, parts: Tensor) -> None:
    found = likelihood_of(Likelihood.CATEGORICAL, C).log_prob(maps, parts)
    logits = torch.cat([torch.zeros(B, 1, H, W, dtype=torch.float64), maps], 1).movedim(1, -1)
    owner = torch.cat([1 - parts.sum(1, keepdim=True), parts], 1).argmax(1)
    nats = torch.distributions.Categorical(logits=logits).log_prob(owner)  # (B, H, W)
    torch.testing.assert_close(found.sum(1), nats.sum((-2, -1)))
    ground = torch.where(owner == 0, nats, 0.0).sum((-2, -1)) / C
    for c in range(C):
        torch.testing.assert_close(found[:, c], torch.where(owner == c + 1, nats, 0.0).sum((-2, -1)) + ground)


def test_categorical_normalises_what_overlaps(maps: Tensor, parts: Tensor) -> None:
    likelihood = likelihood_of(Likelihood.CATEGORICAL, C)
    doubled = torch.ones(B, C, H, W, dtype=torch.float64)
    torch.testing.assert_close(likelihood.log_prob(maps, doubled), likelihood.log_prob(maps, doubled / C))


def test_categorical_images_share_each_pixel(maps: Tensor) -> None:
    image = likelihood_of(Likelihood.CATEGORICAL, C).image(maps)
    share = maps.exp() / (1 + maps.exp().sum(1, keepdim=True))
    torch.testing.assert_close(image, share)
    assert (image.sum(1) < 1).all()


@pytest.mark.parametrize("kind", Likelihood)
def test_image_is_in_range_and_keeps_leading_axes(kind: Likelihood, maps: Tensor) -> None:
    likelihood = likelihood_of(kind, C)
    image = likelihood.image(4 * maps)
    assert image.shape == maps.shape
    assert image.min() >= 0
    assert image.max() <= 1
    torch.testing.assert_close(likelihood.image(torch.stack([4 * maps, -maps]))[0], image)


@pytest.mark.parametrize("kind", Likelihood)
def test_a_perfect_image_is_likelier_than_any_other(kind: Likelihood, parts: Tensor) -> None:
    """The mean image of the maps that score an image best is that image: no sigmoid applied twice or never."""
    likelihood = likelihood_of(kind, C).eval()
    maps = parts if kind in (Likelihood.GAUSSIAN, Likelihood.GAUSSIAN_CALIBRATED) else 60 * parts - 30
    torch.testing.assert_close(likelihood.image(maps), parts, atol=1e-6, rtol=0)
    assert (likelihood.log_prob(maps, parts) > likelihood.log_prob(maps, parts.roll(1, -1))).all()


@pytest.mark.parametrize("kind", Likelihood)
def test_gradient(kind: Likelihood) -> None:
    rng = torch.Generator().manual_seed(5)
    maps = torch.randn(2, 2, 3, 2, generator=rng, dtype=torch.float64, requires_grad=True)
    image = torch.rand(2, 2, 3, 2, generator=rng, dtype=torch.float64)
    likelihood = likelihood_of(kind, 2).double().train()
    assert torch.autograd.gradcheck(lambda m: likelihood.log_prob(m, image), maps)


@pytest.mark.parametrize("kind", Likelihood)
def test_finite_where_the_network_is_sure_and_wrong(kind: Likelihood, parts: Tensor) -> None:
    maps = (1e4 * (0.5 - parts.float())).requires_grad_()
    nats = likelihood_of(kind, C).log_prob(maps, parts.float())
    nats.sum().backward()
    assert torch.isfinite(nats).all()
    assert torch.isfinite(maps.grad).all()


@pytest.mark.parametrize("kind", list(Likelihood))
def test_complete_keeps_what_is_given_and_without_it_is_the_image(
    kind: Likelihood, maps: Tensor, parts: Tensor
) -> None:
    likelihood = likelihood_of(kind, maps.shape[1])
    mask = torch.zeros(maps.shape[:2], dtype=torch.bool)
    torch.testing.assert_close(likelihood.complete(maps, parts, mask), likelihood.image(maps))
    mask[0, 0] = mask[1, 1] = True
    found = likelihood.complete(maps, parts, mask)
    assert torch.equal(found[mask], parts[mask])


def test_categorical_completes_by_conditioning_on_the_given_labels(maps: Tensor, parts: Tensor) -> None:
    """Bayes at every pixel: a given part's label is ruled out where that part is not, and certain where it is."""
    mask = torch.zeros(maps.shape[:2], dtype=torch.bool)
    mask[:, 0] = True
    found = likelihood_of(Likelihood.CATEGORICAL, maps.shape[1]).complete(maps, parts, mask)
    weights = maps[:, 1:].exp()
    expected = weights / (1 + weights.sum(1, keepdim=True)) * (parts[:, :1] == 0)
    torch.testing.assert_close(found[:, 1:], expected)
    assert found.sum(1).max() <= 1 + 1e-6


@pytest.mark.parametrize("kind", list(Likelihood))
def test_what_is_not_known_says_nothing(kind: Likelihood, maps: Tensor, parts: Tensor) -> None:
    """The score of the known components is that of a set which never had the others, summed over what they may be."""
    known = torch.tensor([[True, False, True, True]]).expand(B, C)
    likelihood = likelihood_of(kind, C).double().eval()
    found = likelihood.log_prob(maps, parts, known)
    noisy = torch.where(known[..., None, None], parts, 1 - parts)
    torch.testing.assert_close(likelihood.log_prob(maps, noisy, known), found)
    torch.testing.assert_close(
        likelihood.log_prob(maps, parts, torch.ones_like(known)), likelihood.log_prob(maps, parts)
    )
    if kind is not Likelihood.CATEGORICAL:
        assert (found[:, 1] == 0).all()
        return
    shares = torch.cat([torch.zeros(B, 1, H, W, dtype=torch.float64), maps], 1).softmax(1)  # background first
    total = torch.zeros(B, dtype=torch.float64)
    for b in range(B):
        for y in range(H):
            for x in range(W):
                owners = [c for c in range(C) if known[b, c] and parts[b, c, y, x] == 1]
                share = shares[b, owners[0] + 1, y, x] if owners else shares[b, 0, y, x] + shares[b, 2, y, x]
                total[b] += share.log()
    torch.testing.assert_close(found.sum(1), total)
