"""The GMRF MVAE. Source: docs/plan.md, GMRF MVAE, with a prior and a conjugate posterior that are positive definite by
construction."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from epurecli.gmrf import GaussianPrior, assemble_covariance, cholesky, combine_evidence, gaussian_elbo
from epurecli.models.contract import Objective, Stage
from epurecli.models.gmrf_mvae.config import EvidenceKind, GMRFConfig, PosteriorKind
from epurecli.models.gmrf_mvae.cross_modal import CrossModal, complete_rows
from epurecli.models.gmrf_mvae.networks import ComponentDecoders, ComponentEncoders, OffDiagonalCov, positive
from epurecli.models.gmrf_mvae.prior import LearnedPrior
from epurecli.models.gmrf_mvae.tables import SubsetTables
from epurecli.models.graphs import Graph
from epurecli.models.latent import LatentModel
from epurecli.models.latent_graphs import latent_graphs
from epurecli.nn.distributions import DenseGaussian, Distribution
from epurecli.nn.masking import show_all
from epurecli.nn.step import Step
from epurecli.types import Batch, Losses

# Evidence is at most 100 times narrower than the prior, whatever an encoder says: 4.6 nats a latent. Without a limit
# one reckless step asks for a posterior that float32 cannot factor.
SHARPEST = 1e4


class GMRFMVAE(LatentModel):
    """C component VAEs; z = (z_1, ..., z_C) jointly Gaussian, so any subset of components informs all the others.

    `conjugate`: each observed component's encoder gives Gaussian evidence (y_c, precision E_c) on its own latents or
    on those of all (`model.evidence`); the posterior of any subset S is Gaussian with precision L = P + sum over S of
    E_c and mean L^-1 (P m + sum over S of E_c y_c), P the prior's precision and m its mean.
    `assembled`: the posterior of docs/plan.md on complete designs, N(mean, diag(v) + coupling); a subset is answered
    by the prior's conditional given the encoded components.
    """

    def __init__(self, config: GMRFConfig) -> None:
        super().__init__(config)
        model, count = config.model, len(self.components)
        self.sizes = (model.latent_dim,) * count
        self.conjugate = model.posterior is PosteriorKind.CONJUGATE
        self.joint_evidence = self.conjugate and model.evidence is EvidenceKind.ALL
        outputs = self.latent_size if self.joint_evidence else model.latent_dim
        self.encoders = ComponentEncoders(count, model, outputs, embed=not self.conjugate)
        self.coupling = None if self.conjugate else OffDiagonalCov(self.sizes, model.hidden_dim, model.n_layers)
        self.learned_prior = LearnedPrior(self.latent_size, model.off_diag_scale)
        self.decoders = ComponentDecoders(count, model)

    @property
    def learns_from_parts(self) -> bool:  # an assembled posterior is of all components together
        return self.conjugate

    @property
    def latent_size(self) -> int:
        return len(self.components) * self.config.model.latent_dim

    def gaussian_prior(self) -> GaussianPrior:
        """p(z) as the Gaussian operations take it."""
        return self.learned_prior()

    def prior(self) -> DenseGaussian:
        prior = self.gaussian_prior()
        return DenseGaussian(prior.mean.unsqueeze(0), prior.scale_tril)

    def components_of(self, image: Tensor) -> tuple[Tensor, ...]:
        """Means and positive spreads: precisions of each component's evidence, (B, N) or (B, C N) where it is on all
        latents (conjugate), or variances (B, N) and the coupling (assembled)."""
        mean, raw, *embedding = (x.to(image.dtype) for x in self.encoders(image))
        spread = positive(raw, self.config.model.diagonal_transf)
        if not self.conjugate:
            return mean, spread, self.coupling(*embedding).to(image.dtype)
        limit = SHARPEST / self.learned_prior.variance
        return mean, spread / (1 + spread / limit.repeat(spread.shape[1] // self.latent_size))

    def evidence(self, mean: Tensor, precision: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `combine_evidence` takes: (B, N) twice and a mask. The product of Gaussians on one latent is one."""
        if not self.joint_evidence:
            return mean, precision, mask
        apart = len(self.components), -1
        shown = torch.where(mask.unsqueeze(2), precision.unflatten(1, apart), 0)  # (B, C, N)
        total = shown.sum(1)
        means = torch.where(mask.unsqueeze(2), mean.unflatten(1, apart), 0)
        centre = (shown * means).sum(1) / total.clamp_min(torch.finfo(total.dtype).tiny)
        return centre, total, torch.ones_like(mask)

    def encode(self, image: Tensor, mask: Tensor) -> Tensor:
        encoded = self._encode_shown(image, mask)
        return torch.cat(self._evident(encoded, mask) if self.conjugate else encoded, dim=1)

    def _evident(self, encoded: tuple[Tensor, ...], mask: Tensor) -> tuple[Tensor, Tensor]:
        """Means and precisions; of a hidden component there is no evidence."""
        mean, precision = encoded
        each = precision.shape[1] // mask.shape[1]
        return mean, torch.where(mask.repeat_interleave(each, dim=1), precision, 0.0)

    def _encode_shown(self, image: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        return self.components_of(torch.where(mask[..., None, None], image, 0.0))

    def posterior(self, code: Tensor) -> DenseGaussian:
        size = self.latent_size
        if self.conjugate:
            return self._whole(*code.chunk(2, dim=1))
        return self._assembled(*code.tensor_split((size, 2 * size), dim=1))

    def _assembled(self, mean: Tensor, variance: Tensor, coupling: Tensor) -> DenseGaussian:
        return DenseGaussian(mean, cholesky(assemble_covariance(variance, coupling, self.sizes)))

    def _whole(self, mean: Tensor, precision: Tensor) -> DenseGaussian:
        """The posterior of whole designs, from the evidence of all their components."""
        return self._combined(mean, precision, show_all(len(mean), len(self.sizes), mean.device), mean.dtype)

    def _combined(self, mean: Tensor, precision: Tensor, mask: Tensor, working: torch.dtype) -> DenseGaussian:
        """The posterior of what the mask shows, computed in the `working` dtype."""
        prior, (*evidence, shown) = self.gaussian_prior(), self.evidence(mean, precision, mask)
        prior = GaussianPrior(prior.mean.to(working), prior.scale_tril.to(working))
        found = combine_evidence(prior, *(x.to(working) for x in evidence), shown, self.sizes, with_scale_tril=True)
        return DenseGaussian(found.mean.to(mean.dtype), found.scale_tril.to(mean.dtype))

    def infer(self, observed: Tensor, mask: Tensor) -> Distribution:
        encoded = self._encode_shown(observed, mask)
        if self.conjugate:
            # Trained latents spread by 3 to 50 and evidence is sharp: in float32 the answer would be off by a
            # thousandth, and by another thousandth in every runtime.
            return self._combined(*encoded, mask, torch.float64)
        mean, variance, coupling = encoded
        if bool(complete_rows(mask).all()):
            return self._assembled(mean, variance, coupling)
        return CrossModal(self.gaussian_prior(), mean, variance, mask, self.sizes)

    def graphs(self) -> Sequence[Graph]:
        """An assembled posterior answers subsets from tables; with so many components that those are too big, only
        `decoder` and `sampler` remain."""
        if self.conjugate:
            return latent_graphs(self)
        count, latent_dim = len(self.components), self.config.model.latent_dim
        if not SubsetTables.fits(count, latent_dim):
            return latent_graphs(self)[:2]
        with torch.no_grad():
            tables = SubsetTables(self.gaussian_prior(), count, latent_dim)
        return latent_graphs(self, lambda image, mask: tables(*self._encode_shown(image, mask)[:2], mask))

    def maps(self, z: Tensor, embedding: Tensor) -> Tensor:
        return self.decoders(z.unflatten(1, (len(self.components), -1)), embedding)

    def elbo(self, batch: Batch, mask: Tensor, present: Tensor, beta: float, step: Step) -> Losses:
        """The base's ELBO with posterior, sample and KL in one fused operation; in training the prior takes a step.

        Every component is encoded, masked or not: the evidence of one depends on no other.
        """
        noise = step.randn(len(batch), self.latent_size)
        prior, encoded = self.gaussian_prior(), self.components_of(batch.image)
        if batch.known is not None:
            encoded = self._evident(encoded, batch.known)
        with torch.autocast(noise.device.type, enabled=False):
            if self.conjugate:
                found = combine_evidence(prior, *self.evidence(*encoded, mask), self.sizes, noise)
                z, kl = found.sample, found.kl
            else:
                z, kl = gaussian_elbo(*encoded, noise, prior, self.sizes)
            if self.learned_prior.training:
                self.learned_prior.update(*self.moments(*encoded), step)
        return self.negative_elbo(z, kl, batch, present, beta)

    @torch.no_grad()
    def moments(self, *encoded: Tensor) -> tuple[Tensor, Tensor]:
        """What whole designs' posteriors tell the prior: means (B, N) and the mean covariance (N, N)."""
        if not self.conjugate:
            mean, variance, coupling = encoded
            return mean, assemble_covariance(variance, coupling, self.sizes).mean(0)
        posterior = self._whole(*encoded)
        columns = posterior.scale_tril.transpose(0, 1).flatten(1)  # (N, B N)
        return posterior.mean, columns @ columns.mT / len(posterior.mean)

    def own_stages(self) -> Sequence[Stage]:
        parts = (
            self.encoders,
            self.coupling,
            self.learned_prior,
            self.decoders,
            self.conditioning,
            self.likelihood,
        )
        objective = Objective("elbo", tuple(part for part in parts if part is not None), self.masked_elbo)
        return [Stage("gmrf", self.config.training, (objective,), self.validate)]
