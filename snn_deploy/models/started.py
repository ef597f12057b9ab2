r"""The neuron of converted networks: integrate-and-fire that starts part of the way to its threshold.

With threshold :math:`\theta` and drop :math:`d` per channel, ``[C]``, and :math:`v(0) = 0`,

.. math::
    h(t) = v(t-1) + x(t), \qquad s(t) = [h(t) \ge \theta], \qquad v(t) = h(t) - d\, s(t)

In NIR's words its reset potential is :math:`\theta - d` and it resets by subtraction. Where :math:`d = 1` and
:math:`\theta = 1 - \phi` this is, in another coordinate, a neuron of threshold 1 that starts at :math:`\phi`
(:mod:`snn_deploy.convert.network`). The gradient of a spike is the surrogate's; with ``detach_reset`` none
passes through the reset.
"""

from __future__ import annotations

import torch
from spikingjelly.activation_based import neuron, surrogate


class StartedIF(neuron.SimpleBaseNode):
    """See the module's text; ``[T, B, C, ...] -> [T, B, C, ...]``.

    Args:
        v_threshold, drop: of shape ``[C, 1, ...]``, with as many axes as an input without T and B.
        surrogate_function: its derivative.
        detach_reset: whether the reset is held constant in the backward pass.
    """

    v: torch.Tensor
    v_threshold: torch.Tensor
    drop: torch.Tensor

    def __init__(
        self,
        v_threshold: torch.Tensor,
        drop: torch.Tensor,
        surrogate_function: surrogate.SurrogateFunctionBase,
        detach_reset: bool = True,
    ) -> None:
        super().__init__(1.0, None, surrogate_function, detach_reset, step_mode="m")
        del self.v_threshold
        self.register_buffer("v_threshold", v_threshold)
        self.register_buffer("drop", drop)

    def neuronal_charge(self, x: torch.Tensor) -> None:
        """``h = v + x``."""
        self.v = self.v + x

    def neuronal_reset(self, spike: torch.Tensor) -> None:
        """``v = h - d s``."""
        self.v = self.v - self.drop * (spike.detach() if self.detach_reset else spike)
