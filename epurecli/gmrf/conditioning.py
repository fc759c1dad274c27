"""What is known about the missing components once some are observed, a different subset in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from epurecli.errors import NotPositiveDefinite
from epurecli.gmrf import backend, checks, reference
from epurecli.gmrf.covariance import assemble_covariance, cholesky
from epurecli.gmrf.gaussian import CoupledGaussian, GaussianPrior, check_prior

_CODES = 16  # up to so many components, distinct masks are found by counting rather than by sorting


@dataclass(frozen=True, slots=True)
class Conditional:
    """A Gaussian per row."""

    mean: Tensor  # (B, N)
    sample: Tensor | None  # (B, N); None without noise
    scale_tril: Tensor | None  # (B, N, N); None unless asked for


@dataclass(frozen=True, slots=True)
class Posterior:
    """A Gaussian per row, and its divergence from the prior in nats."""

    mean: Tensor  # (B, N)
    sample: Tensor | None  # (B, N); None without noise
    kl: Tensor  # (B,)
    scale_tril: Tensor | None  # (B, N, N); None unless asked for


def spread_mask(mask: Tensor, sizes: Sequence[int]) -> Tensor:
    """Component mask (B, C) -> entry mask (B, N)."""
    repeats = torch.tensor(tuple(sizes), device=mask.device)
    return mask.repeat_interleave(repeats, dim=1, output_size=sum(sizes))


def condition_gaussian(
    belief: GaussianPrior | CoupledGaussian | tuple[Tensor, Tensor],  # shared, packed per row, or ((B, N), (B, N, N))
    observed: Tensor,  # (B, N); what the mask hides is ignored
    mask: Tensor,  # (B, C) bool, True = observed; at least one observed and one missing per row
    sizes: Sequence[int],
    noise: Tensor | None = None,  # (B, N), standard normal; gives a sample
    *,
    with_scale_tril: bool = False,
) -> Conditional:
    """The missing components given exact values of the observed ones (o observed, m missing entries of a row):

        mean_m = mu_m + S_mo S_oo^-1 (x_o - mu_o),  covariance S_mm - S_mo S_oo^-1 S_om
        sample = mean + scale_tril noise

    Observed entries of mean and sample are the observed values exactly; scale_tril has zero rows and columns there.
    A shared prior is factorised once per distinct mask, in float64.

    Raises:
        TypeError, ValueError: shapes, dtypes, devices, an empty or full row of the mask (named).
        NotPositiveDefinite: names the row.
        NumericalError: not finite; names argument and row.
    """
    sizes = checks.check_sizes(sizes)
    rows = checks.check_rows("observed", observed, sum(sizes))
    checks.check_mask(mask, rows, len(sizes), observed.device, proper=True)
    if noise is not None:
        checks.check_float("noise", noise, tuple(observed.shape), like=observed)
    if isinstance(belief, GaussianPrior):
        check_prior(belief, observed)
        result = _condition_shared(belief, observed, mask, sizes, noise, with_scale_tril)
    elif isinstance(belief, CoupledGaussian):
        result = _condition_coupled(belief, observed, mask, sizes, noise, with_scale_tril)
    else:
        result = _condition_each(*belief, observed, mask, sizes, noise, with_scale_tril)
    values = result.mean if result.sample is None else result.sample
    if not torch.compiler.is_compiling() and not torch.isfinite(values.sum()):
        seen = spread_mask(mask, sizes)
        checks.check_values(observed=torch.where(seen, observed, 0), noise=noise, mean=belief_mean(belief))
    return result


def belief_mean(belief: GaussianPrior | CoupledGaussian | tuple[Tensor, Tensor]) -> Tensor:
    """The mean of any form of belief, (N,) or (B, N)."""
    return belief[0] if isinstance(belief, tuple) else belief.mean


def _condition_each(
    mean: Tensor,
    covariance: Tensor,
    observed: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_scale_tril: bool,
) -> Conditional:
    rows, size = observed.shape
    checks.check_float("mean", mean, (rows, size), like=observed)
    checks.check_float("covariance", covariance, (rows, size, size), like=observed)
    seen = spread_mask(mask, sizes)
    body = backend.body(observed, constants=(observed, mean, covariance, noise))
    centre, sample, tril, bad = body.condition(mean, covariance, observed, seen, noise)
    _check_factor(bad, "covariance")
    return Conditional(centre, sample, tril if with_scale_tril else None)


def _condition_coupled(
    belief: CoupledGaussian,
    observed: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_scale_tril: bool,
) -> Conditional:
    covariance = assemble_covariance(belief.variance, belief.coupling, sizes, belief.shrink)
    return _condition_each(belief.mean, covariance, observed, mask, sizes, noise, with_scale_tril)


def _condition_shared(
    prior: GaussianPrior,
    observed: Tensor,
    mask: Tensor,
    sizes: tuple[int, ...],
    noise: Tensor | None,
    with_scale_tril: bool,
) -> Conditional:
    distinct, index = distinct_masks(mask)
    gain, tril = conditional_table(prior, distinct, sizes)
    body = backend.body(observed, constants=(observed, prior.mean, prior.scale_tril, noise))
    seen = spread_mask(mask, sizes)
    mean, sample = body.condition_shared(prior.mean, gain, tril, observed, index, seen, noise)
    return Conditional(mean, sample, tril[index] if with_scale_tril else None)


def distinct_masks(mask: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows (M, C) of a mask and, for every row, which of them it is (B,) int64."""
    components = mask.shape[1]
    if components > _CODES:
        return torch.unique(mask, dim=0, return_inverse=True)
    bits = torch.arange(components, device=mask.device)
    codes = (mask.long() << bits).sum(1)
    present = torch.bincount(codes, minlength=1 << components) > 0
    distinct = present.nonzero().squeeze(1)  # (M,)
    index = (present.cumsum(0) - 1)[codes]
    return ((distinct.unsqueeze(1) >> bits) & 1).bool(), index


def conditional_table(prior: GaussianPrior, masks: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Gain and scale_tril of the conditional for each mask (M, C), computed in float64. -> (M, N, N) twice.

    mean = m_p + gain (x - m_p) on the missing entries; the gain has nonzeros in missing rows and observed columns
    only, the scale_tril in missing rows and columns only. An ONNX graph can bake both.

    Raises:
        NotPositiveDefinite: the prior's covariance has no factor.
    """
    sizes = checks.check_sizes(sizes)
    seen = spread_mask(masks, sizes)  # (M, N)
    covariance = prior.scale_tril.double() @ prior.scale_tril.double().mT
    count, size = seen.shape
    cholesky(covariance)  # the policy's error, before M copies of it
    zeros = covariance.new_zeros(count, size)
    _, _, tril, bad = reference.condition(zeros, covariance.expand(count, -1, -1), zeros, seen, None)
    _check_factor(bad, "the prior's covariance under mask")
    eye = torch.eye(size, dtype=torch.float64, device=seen.device)
    both = seen.unsqueeze(1) & seen.unsqueeze(2)
    within = torch.where(both, covariance, eye)  # S_oo, and ones where missing
    across = torch.where(seen.unsqueeze(1) & ~seen.unsqueeze(2), covariance, 0.0)  # S_mo
    gain = torch.cholesky_solve(across.mT, cholesky(within)).mT
    dtype = prior.mean.dtype
    return gain.to(dtype), tril.to(dtype)


def combine_evidence(
    prior: GaussianPrior,
    evidence_mean: Tensor,  # (B, N); what the mask hides is ignored
    evidence_precision: Tensor,  # (B, N), >= 0; likewise
    mask: Tensor,  # (B, C) bool, True = observed; empty and full rows are fine
    sizes: Sequence[int],
    noise: Tensor | None = None,  # (B, N), standard normal; gives a sample
    *,
    with_scale_tril: bool = False,
) -> Posterior:
    """The conjugate posterior: the prior times the observed components' Gaussian evidence potentials.

        precision = P + E,  mean = (P + E)^-1 (P m_p + E y),  E = diag(evidence_precision) where observed, else 0
        sample = mean + scale_tril noise,  kl = KL(posterior || prior) in nats

    Positive definite by construction and answers any subset with one formula; an empty row gives the prior (kl 0).
    Differentiable in the evidence and, since training runs through it, in the prior's mean and scale_tril.

    Raises:
        TypeError, ValueError: shapes, dtypes, devices.
        NumericalError: not finite, or a negative precision where observed; names argument and row.
    """
    sizes = checks.check_sizes(sizes)
    rows = checks.check_rows("evidence_mean", evidence_mean, sum(sizes))
    checks.check_float("evidence_precision", evidence_precision, tuple(evidence_mean.shape), like=evidence_mean)
    checks.check_mask(mask, rows, len(sizes), evidence_mean.device, proper=False)
    check_prior(prior, evidence_mean)
    if noise is not None:
        checks.check_float("noise", noise, tuple(evidence_mean.shape), like=evidence_mean)
    seen = spread_mask(mask, sizes)
    centre = torch.where(seen, evidence_mean, 0)
    precision = torch.where(seen, evidence_precision, 0)
    if not torch.compiler.is_compiling() and not bool((precision >= 0).all()):
        checks.check_values(evidence_precision=precision)
        row = int((precision < 0).nonzero()[0, 0])
        raise ValueError(f"evidence_precision: expected numbers >= 0, got a negative one in row {row}")
    body = backend.body(evidence_mean)
    mean, sample, kl, tril = body.evidence(prior.mean, prior.scale_tril, centre, precision, noise)
    if not torch.compiler.is_compiling() and not torch.isfinite(kl.sum() + mean.sum()):
        checks.check_values(
            evidence_mean=centre, evidence_precision=precision, prior_mean=prior.mean, prior_scale_tril=prior.scale_tril
        )
    return Posterior(mean, sample, kl, tril if with_scale_tril else None)


def _check_factor(bad: int, what: str) -> None:
    if bad >= 0:
        raise NotPositiveDefinite(f"{what}: row {bad} is not positive definite or not finite")
