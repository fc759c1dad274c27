"""Wishes that are no whole part: how well designs meet them, and designs that meet them better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from epurecli.checkpoint import TrainedModel
from epurecli.models.contract import hidden
from epurecli.nn.noise import GivenNoise, KeptNoise
from epurecli.pictures.crisp import owners
from epurecli.sample.noise import DesignNoise
from epurecli.sample.sampler import Request, query_of

STEPS, SHOWN_AT = 40, (15, 40)  # of the descent; steps after which the best so far is shown
RATE = 0.1
PULL = 1e-3  # nats a unit of squared noise: keeps designs likely where the wishes leave them free
_LEAST = 1e-3  # of a claim, whose logarithm is taken


def agreement(
    labels: NDArray[np.integer[Any]], paint: NDArray[np.uint8], where: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Share of the painted pixels that each design has as they are painted.

    Args:
        labels: (N, H, W) owner of each pixel.
        paint: (H, W) wanted owner.
        where: (H, W) pixels that count.

    Returns:
        (N,); 1 where no pixel counts.
    """
    if not where.any():
        return np.ones(len(labels))
    share: NDArray[np.float64] = np.mean(labels[:, where] == paint[where], axis=1)
    return share


def refine(
    trained: TrainedModel,
    request: Request,
    rows: NDArray[np.intp],
    paint: NDArray[np.uint8],
    where: NDArray[np.bool_],
    stop: Callable[[], bool],
) -> Iterator[tuple[NDArray[np.float32], float]]:
    """Move the noise of some designs so that they meet the wishes better, by gradient through the model.

        loss = -sum_wished log p(owner) + PULL |noise|^2,    p(air) = max(0, 1 - sum_c p_c)

    Args:
        rows: (K,) designs of the request to start from.
        stop: asked after each step.

    Yields:
        (K, C, H, W) images in [0, 1], best first, of each design those of its best step so far, and the share of the
        wishes that the first one keeps. Nothing for a model whose designs have no gradient.
    """
    device = trained.model.device
    draw = trained.model.sampler(hidden(query_of(request, trained.scaler, device, rows)))
    drawn = KeptNoise(DesignNoise(request.seed, rows.tolist(), device=device))
    with torch.no_grad():
        draw(drawn)
    noise = [numbers.requires_grad_() for _, numbers in drawn.kept]
    wanted = torch.from_numpy(paint[where].astype(np.int64)).to(device)  # (P,)
    place = torch.from_numpy(where).to(device)
    best = np.full(len(rows), -1.0)
    kept_images: NDArray[np.float32] | None = None
    optimizer = torch.optim.Adam(noise, lr=RATE)
    for step in range(1, STEPS + 1):
        if stop():
            return
        with torch.enable_grad():
            images = draw(GivenNoise(noise)).clamp(0, 1)  # (K, C, H, W)
            if not images.requires_grad:
                return
            claims = images[..., place]  # (K, C, P)
            claims = torch.cat([(1 - claims.sum(1, keepdim=True)).clamp_min(0), claims], 1)
            chosen = claims.gather(1, wanted.expand(len(rows), 1, -1))
            loss = -chosen.clamp_min(_LEAST).log().sum() + PULL * sum(n.square().sum() for n in noise)
        gradients = torch.autograd.grad(loss, noise, allow_unused=True)
        shown = images.detach().cpu().numpy()
        share = agreement(owners(shown), paint, where)
        better = share > best
        kept_images = shown.copy() if kept_images is None else np.where(better[:, None, None, None], shown, kept_images)
        best = np.maximum(best, share)
        if step in SHOWN_AT or best.min() == 1:
            order = np.argsort(-best, kind="stable")
            yield kept_images[order], float(best[order[0]])
            if best.min() == 1:
                return
        for tensor, gradient in zip(noise, gradients, strict=True):
            tensor.grad = gradient
        optimizer.step()
