"""What is known about the missing components once some are observed, a different subset in every row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from epurecli.errors import NotPositiveDefinite, NumericalError
from epurecli.gmrf import backend, checks
from epurecli.gmrf.covariance import cholesky, coupling_size
from epurecli.gmrf.gaussian import CoupledGaussian, GaussianPrior, check_prior
from epurecli.gmrf.masks import permute, spread_mask


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


# A joint distribution of all components.
Joint = GaussianPrior | CoupledGaussian | tuple[Tensor, Tensor]


def condition_gaussian(
    joint: Joint,  # shared, packed per row, or ((B, N), (B, N, N))
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
    A shared prior is factorised once per distinct mask, in float64. A covariance in every row is for use as a library:
    the models here share a prior.

    Raises:
        TypeError, ValueError: shapes, dtypes, devices, an empty or full row of the mask (named).
        NotPositiveDefinite: names the row.
        NumericalError: not finite; names argument and row, or the row whose result is not.
    """
    sizes = checks.check_sizes(sizes)
    rows = checks.check_rows("observed", observed, sum(sizes))
    checks.check_mask(mask, rows, len(sizes), observed.device)
    if noise is not None:
        checks.check_float("noise", noise, tuple(observed.shape), like=observed)
    tensors = _tensors(joint)
    body = backend.body(observed, constants=(observed, noise, *tensors))
    groups = body.group_rows(mask)
    checks.check_proper(groups)
    if isinstance(joint, GaussianPrior):
        check_prior(joint, observed)
        factor, order = _factors(joint, groups.distinct, sizes)
        factor = factor.to(observed.dtype)
        mean, sample, bad = body.condition_shared(joint.mean, factor, observed, groups, sizes, noise)
        tril = _missing_part(factor, order, groups.distinct, sizes)[groups.index()] if with_scale_tril else None
        result = Conditional(mean, sample, tril)
    else:
        names = ("mean", "variance", "coupling") if isinstance(joint, CoupledGaussian) else ("mean", "covariance")
        size = sum(sizes)
        shapes = {"mean": (rows, size), "variance": (rows, size), "covariance": (rows, size, size)}
        shapes["coupling"] = (rows, coupling_size(sizes))
        for name, value in zip(names, tensors, strict=True):
            checks.check_float(name, value, shapes[name], like=observed)
        if isinstance(joint, CoupledGaussian):
            checks.check_shrink(joint.shrink)
            run, tensors = body.condition_coupled, (*tensors, joint.shrink)
        else:
            run = body.condition
        *result, bad = run(*tensors, observed, mask, groups, sizes, noise, with_scale_tril)
        result = Conditional(*result)
    if bad >= 0:
        known = torch.where(spread_mask(mask, sizes), observed, 0)
        _explain(joint, bad, observed=known, noise=noise, mean=tensors[0])
    return result


def _tensors(joint: Joint) -> tuple[Tensor, ...]:
    if isinstance(joint, GaussianPrior):
        return joint.mean, joint.scale_tril
    if isinstance(joint, CoupledGaussian):
        return joint.mean, joint.variance, joint.coupling
    if isinstance(joint, tuple) and len(joint) == 2:
        return joint
    raise TypeError(f"joint: expected a GaussianPrior, a CoupledGaussian or (mean, covariance), got {type(joint)}")


def _explain(joint: Joint, bad: int, **tensors: Tensor | None) -> None:
    checks.check_values(**tensors)
    if isinstance(joint, GaussianPrior):
        raise NumericalError(
            f"the conditional of row {bad} is not finite: its observed values lie too far from the prior"
        )
    if isinstance(joint, CoupledGaussian):
        checks.check_values(joint.variance, coupling=joint.coupling)
    raise NotPositiveDefinite(f"the covariance of row {bad} is not positive definite, or a number there is not finite")


def conditional_table(prior: GaussianPrior, masks: Tensor, sizes: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Gain and scale_tril of the conditional for each mask (M, C), computed in float64. -> (M, N, N) twice.

    mean = m_p + gain (x - m_p) on the missing entries; the gain has nonzeros in missing rows and observed columns
    only, the scale_tril in missing rows and columns only. An ONNX graph can bake both.

    Raises:
        NotPositiveDefinite: the prior's covariance has no factor.
    """
    sizes = checks.check_sizes(sizes)
    factor, order = _factors(prior, masks, sizes)
    observed = spread_mask(masks, sizes).gather(1, order)  # in the factor's order
    eye = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device)
    inverse = torch.linalg.solve_triangular(torch.where(observed.unsqueeze(1), factor, eye), eye, upper=False)
    gain = torch.where(observed.unsqueeze(2) | ~observed.unsqueeze(1), 0, factor) @ inverse  # L_mo L_oo^-1
    gain = torch.where(observed.unsqueeze(1), gain, 0)
    dtype = prior.mean.dtype
    return permute(gain, order.argsort(1)).to(dtype), _missing_part(factor, order, masks, sizes).to(dtype)


def _factors(prior: GaussianPrior, masks: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Cholesky factors (M, N, N) in float64 of the prior's covariance with each mask's observed entries first, and the
    order of the entries (M, N)."""
    covariance = prior.scale_tril.double() @ prior.scale_tril.double().mT
    order = torch.argsort(~spread_mask(masks, sizes), dim=1, stable=True)
    factor, bad = backend.body(covariance, constants=(covariance,)).factor_orders(covariance, order)
    if bad >= 0:
        factor = cholesky(permute(covariance.expand(len(order), -1, -1), order))
    return factor, order


def _missing_part(factor: Tensor, order: Tensor, masks: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """The conditional's scale_tril (M, N, N) in the entries' own order, zero in observed rows and columns."""
    observed = spread_mask(masks, sizes).gather(1, order)
    return permute(torch.where(observed.unsqueeze(1) | observed.unsqueeze(2), 0, factor), order.argsort(1))


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
    checks.check_mask(mask, rows, len(sizes), evidence_mean.device)
    check_prior(prior, evidence_mean)
    if noise is not None:
        checks.check_float("noise", noise, tuple(evidence_mean.shape), like=evidence_mean)
    body = backend.body(evidence_mean, constants=(prior.mean, prior.scale_tril, noise))
    shared = prior.mean, prior.scale_tril
    *found, bad = body.evidence(*shared, evidence_mean, evidence_precision, mask, sizes, noise, with_scale_tril)
    if bad >= 0:
        seen = spread_mask(mask, sizes)
        centre, precision = (torch.where(seen, x, 0) for x in (evidence_mean, evidence_precision))
        named = {"evidence_mean": centre, "evidence_precision": precision, "noise": noise}
        checks.check_values(**named, prior_mean=prior.mean, prior_scale_tril=prior.scale_tril)
        if bool((precision[bad] < 0).any()):
            raise ValueError(f"evidence_precision: expected numbers >= 0, got a negative one in row {bad}")
        raise NumericalError(f"the posterior of row {bad} is not finite: prior and evidence are too far apart for it")
    return Posterior(*found)
