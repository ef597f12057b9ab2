"""Batch norm over the samples of all processes.

::

    m = (1/n) Σ x        v = (1/n) Σ (x - m)^2        y = g (x - m) / sqrt(v + eps) + b        per channel

The sums go over batch, positions and steps in all processes, and so do the gradients that pass through ``m``
and ``v``: what comes out is that of one process with the whole batch. ``n / (n - 1) v`` goes into the running
variance. On CPU and CUDA, in float32 (torch's own ``SyncBatchNorm`` wants CUDA).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from spikingjelly.activation_based import layer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.processes.share import Share

_KNOWN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, layer.BatchNorm1d, layer.BatchNorm2d)


def synchronize(network: nn.Module, share: Callable[[], Share | None]) -> None:
    """Let the batch norms of ``network`` see the whole batch of which the input is ``share()``, in training.

    Raises:
        ConfigError: a batch norm that does something else besides.
    """
    norms = {name: module for name, module in network.named_modules() if isinstance(module, _BatchNorm)}
    if foreign := [name for name, module in norms.items() if type(module) not in _KNOWN]:
        raise ConfigError(
            "These batch norms cannot be synchronised between processes.",
            problems=[Problem(name, f"is a {type(norms[name]).__name__}") for name in foreign],
            hint="Set sync_batch_norm: false.",
        )
    for module in norms.values():
        module.forward = partial(_forward, module, share)  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, share: Callable[[], Share | None], x: torch.Tensor) -> torch.Tensor:
    now = share()
    if not norm.training or now is None or now.world.size == 1:
        own: torch.Tensor = type(norm).forward(norm, x)
        return own
    if getattr(norm, "step_mode", "s") == "m":
        return _synchronized(norm, now, x.flatten(0, 1)).view(x.shape)
    return _synchronized(norm, now, x)


def _synchronized(norm: _BatchNorm, share: Share, x: torch.Tensor) -> torch.Tensor:
    axes = [axis for axis in range(x.ndim) if axis != 1]
    wide = (1, -1, *([1] * (x.ndim - 2)))
    count = x.numel() // x.shape[1] // len(share) * share.total
    values = x.float()
    mean = share.add(values.sum(axes)) / count
    centred = values - mean.view(wide)
    variance = share.add(centred.square().sum(axes)) / count
    if norm.track_running_stats:
        _remember(norm, mean, variance * (count / (count - 1)))
    y = centred * torch.rsqrt(variance + norm.eps).view(wide)
    if norm.affine:
        y = y * norm.weight.view(wide) + norm.bias.view(wide)
    return y.to(x.dtype)


@torch.no_grad()
def _remember(norm: _BatchNorm, mean: torch.Tensor, variance: torch.Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    share = 1 / int(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean, share)
    norm.running_var.lerp_(variance, share)
