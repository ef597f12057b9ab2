"""``spikformer`` and ``qkformer``: spikingjelly's spiking transformers, to train and to compare with.

Products of spike tensors (attention) are no layer that a chip format can express, so export refuses these
networks and names the modules. ``neuron: null`` keeps the neurons of the papers (LIF, tau 2, threshold 0.5
behind the attention); a neuron that is given replaces all of them.

Spikformer: Zhou et al., ICLR 2023. QKFormer: Zhou et al., NeurIPS 2024; logits are given for every step here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from spikingjelly.activation_based.model.qkformer import QKFormer
from spikingjelly.activation_based.model.spikformer import Spikformer
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import STUDENTS
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions, QkformerOptions, SpikformerOptions
from snn_deploy.models.parts import Shape


class SequenceSpikformer(Spikformer):
    """Spikformer on sequences ``[T, B, C, H, W]`` only, so that its parts can be traced and named."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.forward_features(x))
        return logits


class StepwiseQkformer(QKFormer):
    """QKFormer with logits of every step, ``[T, B, K]``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in (1, 2, 3):
            x = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"stage{stage}").children():
                x = block(x)
        logits: torch.Tensor = self.head(x.flatten(3).mean(dim=-1))
        return logits


@STUDENTS.register("spikformer")
def spikformer(options: SpikformerOptions, *, in_shape: Shape, classes: int, timesteps: int) -> nn.Module:
    """Spiking transformer with self-attention; to train, not to export.

    Raises:
        ConfigError: the image does not divide into patches.
    """
    _check_sides(in_shape, options.patch, "patch")
    return SequenceSpikformer(
        T=timesteps,
        in_channels=in_shape[0],
        img_size_h=in_shape[1],
        img_size_w=in_shape[2],
        patch_size=options.patch,
        num_classes=classes,
        embed_dims=options.width,
        num_heads=options.heads,
        mlp_ratio=options.mlp_ratio,
        depths=options.depth,
        spiking_neuron=_neuron_maker(options.neuron),
    )


@STUDENTS.register("qkformer")
def qkformer(options: QkformerOptions, *, in_shape: Shape, classes: int, timesteps: int) -> nn.Module:
    """Spiking transformer in three stages with Q-K attention; to train, not to export.

    Raises:
        ConfigError: the sides of the image are no multiples of 16.
    """
    _check_sides(in_shape, 16, "size")
    return StepwiseQkformer(
        T=timesteps,
        in_channels=in_shape[0],
        num_classes=classes,
        embed_dims=options.width,
        num_heads=options.heads,
        depths=options.depths,
        mlp_ratio=options.mlp_ratio,
        spiking_neuron=_neuron_maker(options.neuron),
    )


def _check_sides(in_shape: Shape, side: int, option: str) -> None:
    if in_shape[1] % side or in_shape[2] % side:
        what = f"images are {in_shape[1]}x{in_shape[2]}"
        problem = Problem(f"student.{option}", what, f"multiples of {side}", try_instead="data.resize")
        raise ConfigError("The transformer cannot divide its images into patches.", problems=[problem])


def _neuron_maker(options: NeuronOptions | None) -> Callable[..., nn.Module] | None:
    def make(options: NeuronOptions, **_of_the_paper: Any) -> nn.Module:
        return make_neuron(options)

    return None if options is None else partial(make, options)
