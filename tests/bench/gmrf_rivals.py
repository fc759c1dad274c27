"""What the native Gaussian step is measured against: the earlier code's way, and the best torch one can write."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import pad

Step = Callable[..., tuple[Tensor, Tensor]]


def earlier(
    mean: Tensor, variance: Tensor, coupling: Tensor, _: Tensor, prior_mean: Tensor, prior_tril: Tensor, sizes: tuple
) -> tuple[Tensor, Tensor]:
    """Zeros and slice fills block by block, MultivariateNormal, inverse, slogdet."""
    rows, total = mean.shape
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    matrix = torch.zeros(rows, total, total)
    offset = 0
    for b, (size, start) in enumerate(zip(sizes, starts, strict=True)):
        strip = coupling[:, offset : offset + size * start].view(rows, size, start)
        for a in range(b):
            block = strip[:, :, starts[a] : starts[a] + sizes[a]]
            matrix[:, start : start + size, starts[a] : starts[a] + sizes[a]] = block
            matrix[:, starts[a] : starts[a] + sizes[a], start : start + size] = block.transpose(1, 2)
        offset += size * start
    s = matrix.abs().sum(2) - matrix.diagonal(dim1=1, dim2=2).abs()
    alpha = torch.min(torch.ones_like(variance), variance * 0.9 / (s + 1e-8))
    root = alpha.sqrt().unsqueeze(2)
    covariance = torch.diag_embed(variance) + matrix * (root @ root.transpose(1, 2))
    sample = MultivariateNormal(mean, covariance).rsample()
    prior = prior_tril @ prior_tril.T
    inverse = torch.inverse(prior)
    distance = mean - prior_mean
    trace = torch.diagonal(inverse @ covariance, dim1=1, dim2=2).sum(1)
    quadratic = (distance.unsqueeze(1) @ inverse @ distance.unsqueeze(2)).flatten()
    kl = 0.5 * (trace + quadratic - total + torch.slogdet(prior)[1] - torch.slogdet(covariance)[1])
    return sample, kl


def _torch_step(assembled: Callable, by_trace: bool) -> Step:
    def step(
        mean: Tensor,
        variance: Tensor,
        coupling: Tensor,
        noise: Tensor,
        prior_mean: Tensor,
        prior_tril: Tensor,
        sizes: tuple,
    ) -> tuple[Tensor, Tensor]:
        covariance = assembled(variance, coupling, sizes)
        factor = torch.linalg.cholesky_ex(covariance)[0]
        sample = mean + (factor @ noise.unsqueeze(2)).squeeze(2)
        inverse = torch.linalg.solve_triangular(prior_tril, torch.eye(len(prior_mean)), upper=False)
        if by_trace:  # tr(P Sigma) as an elementwise product
            trace = covariance.flatten(1) @ (inverse.T @ inverse).flatten()
        else:
            trace = (inverse @ factor).square().sum((1, 2))
        quadratic = ((mean - prior_mean) @ inverse.T).square().sum(1)
        half_logs = factor.diagonal(dim1=1, dim2=2).log().sum(1)
        kl = 0.5 * (trace + quadratic - mean.shape[1]) + prior_tril.diagonal().log().sum() - half_logs
        return sample, kl

    return step


def _scaled(low: Tensor, variance: Tensor) -> Tensor:
    size = low.abs()
    root = (0.9 * variance / (size.sum(2) + size.sum(1) + 1e-8)).clamp(max=1).sqrt()
    low = low * root.unsqueeze(2) * root.unsqueeze(1)
    return low + low.mT + torch.diag_embed(variance)


def by_strips(variance: Tensor, coupling: Tensor, sizes: tuple) -> Tensor:
    """Pad one strip per component and concatenate."""
    rows, total = variance.shape
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    counts = [size * start for size, start in zip(sizes, starts, strict=True)]
    strips = [
        pad(part.view(rows, size, start), (0, total - start))
        for part, size, start in zip(coupling.split(counts, 1), sizes, starts, strict=True)
    ]
    return _scaled(torch.cat(strips, 1), variance)


def by_gather(variance: Tensor, coupling: Tensor, sizes: tuple) -> Tensor:
    """One index_select into the padded coupling; the lower half only, so that its backward adds to no entry twice."""
    rows, total = variance.shape
    component = torch.tensor([c for c, size in enumerate(sizes) for _ in range(size)])
    low = component.unsqueeze(1) > component.unsqueeze(0)
    matrix = coupling.new_zeros(rows, total * total)
    matrix = matrix.index_copy(1, low.flatten().nonzero().squeeze(1), coupling)
    return _scaled(matrix.view(rows, total, total), variance)


BEST: dict[str, Step] = {
    "strips, trace": _torch_step(by_strips, True),
    "strips, factor": _torch_step(by_strips, False),
    "index, trace": _torch_step(by_gather, True),
}


def grouped_shared(
    prior_mean: Tensor, covariance: Tensor, observed: Tensor, mask: Tensor, noise: Tensor, sizes: tuple
) -> tuple[Tensor, Tensor]:
    """Conditioning under a shared prior: rows sorted by mask, one small factorisation and two products per mask."""
    order, groups = _groups(mask)
    component = torch.tensor([c for c, size in enumerate(sizes) for _ in range(size)])
    x, drawn = observed[order], noise[order]
    mean, sample = x.clone(), x.clone()
    for start, stop, pattern in groups:
        seen = pattern[component]
        o, m = seen.nonzero().squeeze(1), (~seen).nonzero().squeeze(1)
        joint = torch.cat([o, m])
        factor = torch.linalg.cholesky(covariance[joint][:, joint])
        k = len(o)
        white = torch.linalg.solve_triangular(factor[:k, :k], (x[start:stop, o] - prior_mean[o]).T, upper=False)
        centre = prior_mean[m] + (factor[k:, :k] @ white).T
        mean[start:stop, m] = centre
        sample[start:stop, m] = centre + drawn[start:stop, m] @ factor[k:, k:].T
    back = torch.argsort(order)
    return mean[back], sample[back]


def grouped_each(
    mean: Tensor, variance: Tensor, coupling: Tensor, observed: Tensor, mask: Tensor, noise: Tensor, sizes: tuple
) -> tuple[Tensor, Tensor]:
    """Conditioning with a covariance per row, assembled here: one batched factorisation per mask."""
    covariance = by_strips(variance, coupling, sizes)
    order, groups = _groups(mask)
    component = torch.tensor([c for c, size in enumerate(sizes) for _ in range(size)])
    out, sample = observed.clone(), observed.clone()
    for start, stop, pattern in groups:
        rows, seen = order[start:stop], pattern[component]
        o, m = seen.nonzero().squeeze(1), (~seen).nonzero().squeeze(1)
        joint, k = torch.cat([o, m]), len(o)
        factor = torch.linalg.cholesky_ex(covariance[rows.unsqueeze(1).unsqueeze(2), joint.unsqueeze(1), joint])[0]
        given = (observed[rows.unsqueeze(1), o] - mean[rows.unsqueeze(1), o]).unsqueeze(2)
        white = torch.linalg.solve_triangular(factor[:, :k, :k], given, upper=False)
        at = rows.unsqueeze(1), m
        centre = mean[at] + (factor[:, k:, :k] @ white).squeeze(2)
        out[at] = centre
        sample[at] = centre + (factor[:, k:, k:] @ noise[at].unsqueeze(2)).squeeze(2)
    return out, sample


def _groups(mask: Tensor) -> tuple[Tensor, list[tuple[int, int, Tensor]]]:
    codes = (mask.long() << torch.arange(mask.shape[1])).sum(1)
    values, order = codes.sort()
    starts = [0, *(values.diff().nonzero().squeeze(1) + 1).tolist(), len(codes)]
    return order, [(a, b, mask[order[a]]) for a, b in pairwise(starts) if b > a]
