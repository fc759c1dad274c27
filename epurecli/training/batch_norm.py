"""BatchNorm over the rows of all ranks. torch's SyncBatchNorm is for GPUs alone; this is its like for any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from epurecli.ranks import reduce


class _Sum(torch.autograd.Function):
    """The sum over ranks; what any rank's loss says about it counts for all."""

    @staticmethod
    def forward(ctx, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradient)


class PooledBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A BatchNorm1d or BatchNorm2d whose batch is that of all ranks.

    Source: Ioffe & Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """

    def _check_input_dim(self, input: Tensor) -> None: ...

    def forward(self, x: Tensor) -> Tensor:  # (B, F, *) -> (B, F, *)
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)
        kind, x = x.dtype, x.to(self.running_mean.dtype)  # bfloat16 can neither count the rows nor sum over them
        over = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1 for _ in over[1:]))
        mine = torch.full((1,), x.numel() / x.shape[1], dtype=x.dtype, device=x.device)
        sums = _Sum.apply(torch.cat([x.sum(over), mine]))
        count, mean = sums[-1].detach(), sums[:-1] / sums[-1].detach()
        around = x - mean.view(shape)
        variance = _Sum.apply(around.square().sum(over)) / count
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.detach(), self.momentum)
            self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (around * scale.view(shape) + self.bias.view(shape)).to(kind)


def pool_batch_norms(module: nn.Module) -> None:
    """Give every BatchNorm inside the batch of all ranks; weights, statistics and their names stay."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            pooled = PooledBatchNorm(child.num_features, child.eps, child.momentum)
            for tensor in (*child._parameters, *child._buffers):
                setattr(pooled, tensor, getattr(child, tensor))
            setattr(module, name, pooled)
        else:
            pool_batch_norms(child)
