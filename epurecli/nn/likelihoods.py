"""p(image | decoder output). Every log-likelihood is in nats, summed over pixels, one figure per design and component.

A decoder emits one raw map per component; a likelihood scores an image under them (`log_prob`), turns them into the
image that they mean (`image`) and says what they mean once some components are known (`complete`). Keeping these here
is what prevents a sigmoid from being applied twice, or never.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.config.latent import Likelihood
from epurecli.types import Query


class ImageLikelihood(nn.Module, ABC):
    """A likelihood of images of C components."""

    logits: ClassVar[bool] = False  # whether maps are log odds, in nats

    def __init__(self, components: int) -> None:
        super().__init__()
        self.components = components

    @abstractmethod
    def log_prob(self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        """Nats per component, summed over pixels: (B, C, H, W) twice -> (B, C).

        Args:
            known: (B, C) bool, the components that a design has; the others say nothing, and count zero.
            given: (B, C) bool, components on which it is conditioned (see `complete`): they count zero.
        """

    @abstractmethod
    def image(self, maps: Tensor) -> Tensor:  # (..., C, H, W) -> same, in [0, 1]
        """The mean image."""

    def complete(self, maps: Tensor, observed: Tensor, mask: Tensor) -> Tensor:  # (B, C, H, W) twice, (B, C)
        """The mean image given the observed components, which come back as they are."""
        return torch.where(mask[..., None, None], observed, self.image(maps))

    def answer(self, maps: Tensor, query: Query) -> Tensor:  # (B, C, H, W) -> same
        """The mean image, completed by what a query gives."""
        if query.observed is None or query.mask is None:
            return self.image(maps)
        return self.complete(maps, query.observed, query.mask)


class Gaussian(ImageLikelihood):
    """-SSE: a Gaussian of variance 1/2 without its constant. Source: docs/plan.md,
    beta-VAE."""

    def log_prob(self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        return _of(_counting(known, given), -(maps - image).square().sum((-2, -1)))

    def image(self, maps: Tensor) -> Tensor:
        return maps.clamp(0, 1)


class CalibratedGaussian(Gaussian):
    """Gaussian with the likeliest variance of each component: the batch's mean squared error.

    log p = -D/2 (log(2 pi s_c) + SE / (D s_c)) with s_c the batch MSE of component c in training, and its running mean
    in evaluation. Source: Rybkin et al., "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021, eq.
    7.
    """

    FLOOR = 1e-4  # binary images are fitted exactly somewhere: without a floor the density has no bound

    variance: Tensor

    def __init__(self, components: int) -> None:
        super().__init__(components)
        self.register_buffer("variance", torch.full((components,), 0.05))

    def log_prob(self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        counting = _counting(known, given)
        error = (maps - image).square().sum((-2, -1))  # (B, C)
        pixels = image.shape[-1] * image.shape[-2]
        if self.training:
            mean = error.mean(0)
            if counting is not None:
                mean = _of(counting, error).sum(0) / counting.sum(0).clamp_min(1)
            variance = (mean / pixels).clamp_min(self.FLOOR)
            with torch.no_grad():
                self.variance.lerp_(variance.detach(), 0.05)
        else:
            variance = self.variance
        return _of(counting, -0.5 * (pixels * (2 * math.pi * variance).log() + error / variance))


class Bernoulli(ImageLikelihood):
    """Independent pixels, logits: -BCE. Grey values count as probabilities."""

    logits = True

    def log_prob(self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        nats = -F.binary_cross_entropy_with_logits(maps, image, reduction="none").sum((-2, -1))
        return _of(_counting(known, given), nats)

    def image(self, maps: Tensor) -> Tensor:
        return maps.sigmoid()


class Categorical(ImageLikelihood):
    """Each pixel belongs to one of background + C components: a softmax, so parts cannot overlap by construction.

    The maps are the components' logits against a background at zero, so C maps say all that there is to say.
    Target shares are the image's own values, the background taking 1 - sum (values are normalised where they sum to
    more than one). The background's nats are split evenly over the components. Where a component is not known, a pixel
    that no known one owns may be its own: such a pixel scores log(p_0 + sum of the unknown ones' p).
    """

    logits = True

    def log_prob(self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None) -> Tensor:
        owned, ground = self.pixels(maps, image, known, given)
        return owned.sum((-2, -1)) + ground.sum((-2, -1)).unsqueeze(-1) / self.components

    def pixels(
        self, maps: Tensor, image: Tensor, known: Tensor | None = None, given: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:  # (B, C, H, W) twice, (B, C) twice -> (B, C, H, W), (B, H, W)
        """The nats of each pixel's components, and of its background."""
        if known is not None:
            image = torch.where(known[..., None, None], image, 0.0)
        image = image / image.sum(-3, keepdim=True).clamp_min(1)
        background = 1 - image.sum(-3)
        if given is not None:  # what is left of each pixel is shared among the others and the background
            maps = maps.masked_fill(given[..., None, None], -torch.inf)
        log_share = F.pad(maps, (0, 0, 0, 0, 1, 0)).log_softmax(-3)
        owned, ground = log_share[..., 1:, :, :], log_share[..., 0, :, :]
        if known is not None:
            unowned = owned.masked_fill(known[..., None, None], -torch.inf)
            ground = torch.cat([ground.unsqueeze(-3), unowned], -3).logsumexp(-3)
        if given is not None:
            owned = owned.masked_fill(given[..., None, None], 0.0)
        return image * owned, background * ground

    def image(self, maps: Tensor) -> Tensor:
        return F.pad(maps, (0, 0, 0, 0, 1, 0)).softmax(-3)[..., 1:, :, :]

    def complete(self, maps: Tensor, observed: Tensor, mask: Tensor) -> Tensor:
        """p(label | not a label of an observed component), on what the observed components leave of each pixel: the
        parts that are filled in overlap no given one."""
        seen = mask[..., None, None]
        left = (1 - torch.where(seen, observed, 0).sum(-3, keepdim=True)).clamp_min(0)
        return torch.where(seen, observed, left * self.image(maps.masked_fill(seen, -torch.inf)))


def _counting(known: Tensor | None, given: Tensor | None) -> Tensor | None:  # (B, C) bool
    """The components that say something; None = all."""
    if given is None:
        return known
    return ~given if known is None else known & ~given


def _of(counting: Tensor | None, nats: Tensor) -> Tensor:  # (B, C) twice -> (B, C)
    return nats if counting is None else torch.where(counting, nats, 0.0)


KINDS: dict[Likelihood, type[ImageLikelihood]] = {
    Likelihood.GAUSSIAN: Gaussian,
    Likelihood.GAUSSIAN_CALIBRATED: CalibratedGaussian,
    Likelihood.BERNOULLI: Bernoulli,
    Likelihood.CATEGORICAL: Categorical,
}


def likelihood_of(kind: Likelihood, components: int) -> ImageLikelihood:
    """The likelihood a config names."""
    return KINDS[kind](components)
