r"""Neurons that fire whole numbers of spikes: trained with integers, deployed with as many binary spikes.

With input :math:`x(t)`, threshold :math:`\theta`, most spikes D (``levels``) and leak :math:`1/\tau` (0 for
``tau`` None):

.. math::
    h(t) &= v(t-1) - v(t-1) / \tau + x(t) \\
    s(t) &= \min(D, \max(0, \lfloor h(t) / \theta + 1/2 \rfloor)) \\
    v(t) &= h(t) - \theta s(t), \qquad v(0) = 0

With ``decay_input`` the input is divided by :math:`\tau`, too. In the backward pass
:math:`\partial s / \partial h = 1 / \theta` where :math:`0 \le h \le D \theta`, else 0 (straight through,
inside of the clip), and :math:`\partial v / \partial h` is 1 with ``detach_reset``, else
:math:`1 - \theta\, \partial s / \partial h`.

Source: X. Luo, M. Yao, Y. Chou, B. Xu and G. Li, "Integer-valued training and spike-driven inference spiking
neural network for high-performance and energy-efficient object detection", ECCV 2024 (SpikeYOLO). Its
``round`` takes halves to the even number; ours takes them up, as a comparison ``>=`` does. Networks without
leak become binary ones by :mod:`snn_deploy.graph.passes.micro_steps`.
"""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import base


class _Rounded(torch.autograd.Function):
    """``s(h)``; see the module's text."""

    @staticmethod
    def forward(ctx: Any, h: torch.Tensor, threshold: float, levels: int) -> torch.Tensor:
        ctx.save_for_backward(h)
        ctx.threshold, ctx.levels = threshold, levels
        return (h / threshold).add_(0.5).floor_().clamp_(0.0, levels)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (h,) = ctx.saved_tensors
        inside = (h >= 0) & (h <= ctx.levels * ctx.threshold)
        return grad * inside / ctx.threshold, None, None


class IntegerNode(base.MemoryModule):
    """A layer of these neurons; in multi-step mode ``[T, B, ...] -> [T, B, ...]``."""

    v: torch.Tensor | float
    v_reset = None
    surrogate_function = None

    def __init__(
        self,
        levels: int,
        tau: float | None = 2.0,
        *,
        decay_input: bool = False,
        v_threshold: float = 1.0,
        detach_reset: bool = True,
        step_mode: str = "s",
    ) -> None:
        super().__init__()
        self.levels, self.tau, self.decay_input = levels, tau, decay_input and tau is not None
        self.v_threshold, self.detach_reset = v_threshold, detach_reset
        self.step_mode = step_mode
        self.register_memory("v", 0.0)

    def extra_repr(self) -> str:
        """As spikingjelly's neurons show themselves."""
        leak = f"tau={self.tau}, decay_input={self.decay_input}"
        return f"levels={self.levels}, {leak}, v_threshold={self.v_threshold}, step_mode={self.step_mode}"

    def single_step_forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes ``s(t) [B, ...]`` of the input ``x(t)``."""
        v = self.v if isinstance(self.v, torch.Tensor) else torch.zeros_like(x)
        h = self._charged(v, x)
        spikes: torch.Tensor = _Rounded.apply(h, self.v_threshold, self.levels)  # type: ignore[no-untyped-call]
        fired = spikes.detach() if self.detach_reset else spikes
        self.v = h - fired * self.v_threshold
        return spikes

    def multi_step_forward(self, x: torch.Tensor) -> torch.Tensor:
        """Spikes ``[T, B, ...]`` of the input ``[T, B, ...]``."""
        return torch.stack([self.single_step_forward(x_t) for x_t in x])

    def _charged(self, v: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if self.tau is None:
            return v + x
        if self.decay_input:
            return v + (x - v) / self.tau
        return v - v / self.tau + x
