"""Accuracy and activity on a split, always in full float32, so that an export can be held to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from snn_deploy.data.loading.loaders import in_order
from snn_deploy.data.types import Split
from snn_deploy.distill.activity import ActivityMeter
from snn_deploy.processes.world import ALONE, World


@dataclass(frozen=True, slots=True)
class Scores:
    """``correct`` out of ``samples``; what a spiking network did for it.

    Attributes:
        rates: spikes per neuron and step of each spiking layer.
        rate: spikes per neuron and step over all neurons; None without spiking neurons.
        sops: synaptic operations per sample (see :mod:`~snn_deploy.distill.activity`); None likewise.
    """

    correct: int
    samples: int
    rates: dict[str, float] = field(default_factory=dict)
    rate: float | None = None
    sops: float | None = None

    @property
    def accuracy(self) -> float:
        """Fraction of correct decisions."""
        return self.correct / self.samples


def evaluate(
    network: nn.Module,
    predict: Callable[[torch.Tensor], torch.Tensor],
    split: Split,
    *,
    device: torch.device,
    batch_size: int,
    world: World = ALONE,
) -> Scores:
    """Score ``predict`` (``[T, B, C, H, W] -> [B, K]``, which runs ``network``) in eval mode.

    The decision is the highest score, the first of equals. The mode of ``network`` is restored.
    The processes of ``world`` take every ``size``-th batch each; all get the figures of the whole split.
    """
    was_training = network.training
    network.eval()
    hits = torch.zeros((), dtype=torch.int64, device=device)
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact, ActivityMeter(network) as meter:
        for indices, x in in_order(split, batch_size, world):
            scores = predict(x.to(device))
            hits += (scores.argmax(1) == split.labels[indices].to(device)).sum()
    network.train(was_training)
    meter.add_processes(world)
    correct = int(world.sum(hits.cpu()))
    sops = meter.sops
    per_sample = None if sops is None else sops / len(split)
    return Scores(correct, len(split), meter.rates, meter.rate, per_sample)
