"""Trade time for memory: keep the inputs of blocks only, and compute the rest again in the backward pass.

A block is a direct child of the network; with N of them of like size, memory for activations falls from that
of N blocks to that of one, and N inputs (Chen et al. 2016, "Training deep nets with sublinear memory cost").
Every block of a multi-step network runs all T steps from rest, so that what is computed again is what was.
Batch norm normalises by the same batch again, without counting it twice in its running statistics.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

import torch
from spikingjelly.activation_based import functional
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.neurons.choice import scanned


def recomputed(network: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """``network(x)``, of which the backward pass computes every block again.

    Raises:
        ConfigError: the network is no sequence of blocks.
    """
    if not isinstance(network, nn.Sequential):
        raise ConfigError(
            f"train.recompute wants a sequence of blocks; this network is a {type(network).__name__}.",
            hint="Set train.recompute: false, or train.accumulate to halve a batch.",
        )
    for block in network:
        contexts = partial(_contexts, block)
        x = checkpoint(partial(_from_rest, block), x, use_reentrant=False, context_fn=contexts)
    return x


def _from_rest(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    functional.reset_net(block)
    with scanned(block):  # in the backward pass too
        y: torch.Tensor = block(x)
    return y


def _contexts(
    block: nn.Module,
) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
    return contextlib.nullcontext(), _again(block)


@contextlib.contextmanager
def _again(block: nn.Module) -> Iterator[None]:
    norms = [module for module in block.modules() if isinstance(module, _BatchNorm)]
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, batches) in zip(norms, before, strict=True):
        norm.momentum = 0.0
        norm.num_batches_tracked = None if batches is None else batches.clone()
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches
        functional.reset_net(block)  # a membrane would keep all that it was computed from
