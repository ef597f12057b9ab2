"""Accuracy and firing rates on a split, always in full float32, so that an export can be held to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from snn_deploy.data.types import Split
from snn_deploy.distill.taps import tap
from snn_deploy.models.neurons import spiking_layers


@dataclass(frozen=True, slots=True)
class Scores:
    """``correct`` out of ``samples``; ``rates``: spikes per neuron and step of each spiking layer."""

    correct: int
    samples: int
    rates: dict[str, float] = field(default_factory=dict)

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
) -> Scores:
    """Score ``predict`` (``[T, B, C, H, W] -> [B, K]``, which runs ``network``) in eval mode.

    The decision is the highest score, the first of equals. The mode of ``network`` is restored.
    """
    was_training = network.training
    network.eval()
    layers = spiking_layers(network)
    spikes = dict.fromkeys(layers, 0.0)
    sites = dict.fromkeys(layers, 0)
    correct = 0
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for indices in torch.split(torch.arange(len(split)), batch_size):
            with tap(network, layers) as outputs:
                scores = predict(split.batch(indices).to(device))
            correct += int((scores.argmax(1).cpu() == split.labels[indices].cpu()).sum())
            for name, output in outputs.items():
                spikes[name] += float(output.sum(dtype=torch.float64))
                sites[name] += output.numel()
    network.train(was_training)
    return Scores(correct, len(split), {name: spikes[name] / sites[name] for name in layers})
