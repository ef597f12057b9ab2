r"""Rectifiers quantised as a spiking layer quantises them, to train an ANN with before it is converted.

With a threshold :math:`\theta` per channel, which is trained, and L levels,

.. math::
    h(x) = \theta\, q / L, \qquad q = \mathrm{clip}(\lfloor x L / \theta + 1/2 \rfloor, 0, L)

is the output of an integrate-and-fire neuron over T = L steps for an even current (Bu et al., ICLR 2022,
eq. 9).
The floor passes gradients straight through:

.. math::
    \partial h / \partial x = [0 < x < \theta], \qquad
    \partial h / \partial \theta = q / L - x / \theta \;\text{ for } 0 < x < \theta, \quad [x \ge \theta]
    \;\text{ elsewhere}

The logarithm of :math:`\theta` is what is trained, so that it stays positive (our choice); it begins at the
threshold with the least squared error of the activations.
"""

from __future__ import annotations

import torch
from torch import nn

from snn_deploy.convert.ann import Ann, Rectifier
from snn_deploy.convert.ann_module import AnnModule
from snn_deploy.convert.neuron import per_channel, thresholds
from snn_deploy.convert.values import Values


class ClipFloorShift(nn.Module):
    """See the module's text; ``[B, C, ...] -> [B, C, ...]``, ``theta [C]``."""

    def __init__(self, theta: torch.Tensor, levels: int) -> None:
        super().__init__()
        self.levels = levels
        self.log_theta = nn.Parameter(theta.log())

    @property
    def theta(self) -> torch.Tensor:
        return self.log_theta.exp()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        theta = per_channel(self.theta, x)
        share = (x / theta).clamp(0, 1)
        with torch.no_grad():
            rounding = (share * self.levels + 0.5).floor() / self.levels - share
        return (share + rounding) * theta


def with_levels(ann: Ann, x: torch.Tensor, levels: int, *, each_channel: bool = True) -> AnnModule:
    """``ann`` as a module whose rectifiers have ``levels``; first thresholds are those of the activations on
    images ``x [N, *shape]``, one per layer unless ``each_channel``."""
    values = Values(ann, ann.nodes, {ann.input: x[None]})
    theta = {}
    for name in ann.rectifiers:
        a = values.of(name, slice(None))[0]
        theta[name] = thresholds(a, levels, each_channel=each_channel)
        values.keep(name, a[None])
    return AnnModule(ann, lambda name, node: ClipFloorShift(theta[name], levels))


def trained_ann(module: AnnModule) -> Ann:
    """The ANN that ``module`` is now: its weights, and rectifiers with thresholds and levels."""
    rectifiers = {}
    for name in module.ann.rectifiers:
        made, before = module.of(name), module.ann.nodes[name]
        assert isinstance(made, ClipFloorShift) and isinstance(before, Rectifier)
        theta = made.theta.detach().cpu().numpy()
        rectifiers[name] = Rectifier(before.ceiling, theta, made.levels)
    return module.as_ann(rectifiers)
