r"""Spiking neurons over time on a CPU, written out for training: spikingjelly's spikes, sooner.

With the equations of :mod:`snn_deploy.models.neurons`, ``g(t) = dL/ds(t)``, the surrogate's derivative
``sigma'`` and ``a = dh(t)/dx(t)``, ``k = dh(t)/dv(t-1)``, the gradient runs backwards in time::

    dL/dh(t) = sigma'(h(t) - theta) g(t) + c(t) k dL/dh(t+1)        dL/dx(t) = a dL/dh(t)

where ``c = dv/dh`` is ``1 - s`` with hard and 1 with soft reset, which is held constant (``detach_reset``).
Only ``h`` is kept for the backward pass. The forward operations are those of spikingjelly in their order, so
the spikes are the same to the last bit; gradients agree up to rounding.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import nn

Slope = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
"""``slope(d, g, alpha)``: ``sigma'(d) g``, in the place of ``d``."""


def _atan(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    share = d.new_tensor(2 / alpha)
    torch.addcmul(share, d, d, value=math.pi**2 / 2 * alpha, out=d)
    return torch.div(g, d, out=d)


def _sigmoid(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    d.mul_(alpha).sigmoid_()
    return torch.addcmul(d, d, d, value=-1, out=d).mul_(alpha).mul_(g)


def _triangle(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    return d.abs_().mul_(-(alpha**2)).add_(alpha).clamp_(min=0).mul_(g)


def _rectangle(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    return torch.lt(d.abs_(), 0.5 / alpha, out=d).mul_(alpha).mul_(g)


_SLOPES: dict[type[nn.Module], Slope] = {
    surrogate.ATan: _atan,
    surrogate.Sigmoid: _sigmoid,
    surrogate.PiecewiseQuadratic: _triangle,
    surrogate.Rect: _rectangle,
}


@dataclass(frozen=True, slots=True)
class _Dynamics:
    """``tau`` None is a neuron without leak, ``v_reset`` None the soft reset."""

    tau: float | None
    decay_input: bool
    threshold: float
    v_reset: float | None
    slope: Slope
    alpha: float

    def charge(self, x: torch.Tensor, v: torch.Tensor, h: torch.Tensor) -> None:
        """Write ``h(t)``."""
        if self.tau is None:
            torch.add(v, x, out=h)
            return
        above_rest = v - self.v_reset if self.v_reset else v
        if self.decay_input:
            torch.sub(x, above_rest, out=h).div_(self.tau).add_(v)
        else:
            torch.div(above_rest, self.tau, out=h)
            torch.sub(v, h, out=h).add_(x)

    def reset(self, h: torch.Tensor, spikes: torch.Tensor, v: torch.Tensor) -> None:
        """Write ``v(t)``."""
        if self.v_reset is None:
            torch.sub(h, spikes, alpha=self.threshold, out=v)
            return
        torch.addcmul(h, h, spikes, value=-1, out=v)
        if self.v_reset:
            v.add_(spikes, alpha=self.v_reset)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, dynamics: _Dynamics) -> torch.Tensor:
        h, spikes = torch.empty_like(x), torch.empty_like(x)
        v = torch.full_like(x[0], dynamics.v_reset or 0.0)
        for x_t, h_t, spikes_t in zip(x, h, spikes, strict=True):
            dynamics.charge(x_t, v, h_t)
            torch.ge(h_t, dynamics.threshold, out=spikes_t)
            dynamics.reset(h_t, spikes_t, v)
        ctx.save_for_backward(h)
        ctx.dynamics = dynamics
        return spikes

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        (h,) = ctx.saved_tensors
        dynamics: _Dynamics = ctx.dynamics
        threshold, tau = dynamics.threshold, dynamics.tau
        result = torch.empty_like(h)
        later, quiet = torch.zeros_like(h[0]), torch.empty_like(h[0])
        for h_t, g_t, result_t in reversed(list(zip(h, g, result, strict=True))):
            torch.sub(h_t, threshold, out=result_t)
            dynamics.slope(result_t, g_t, dynamics.alpha)
            if dynamics.v_reset is None:
                result_t.add_(later)
            else:
                result_t.addcmul_(later, torch.lt(h_t, threshold, out=quiet))
            torch.mul(result_t, 1.0 if tau is None else 1 - 1 / tau, out=later)
        return (result.div_(tau) if tau is not None and dynamics.decay_input else result), None


def _dynamics(node: Any) -> _Dynamics | None:
    """Of a neuron that is covered here; None of another."""
    if type(node) not in (neuron.IFNode, neuron.LIFNode) or not node.detach_reset or node.store_v_seq:
        return None
    function = node.surrogate_function
    if type(function) not in _SLOPES or not function.spiking:
        return None
    return _Dynamics(
        tau=getattr(node, "tau", None),
        decay_input=getattr(node, "decay_input", False),
        threshold=node.v_threshold,
        v_reset=node.v_reset,
        slope=_SLOPES[type(function)],
        alpha=function.alpha,
    )


def _run(dynamics: _Dynamics, x: torch.Tensor) -> torch.Tensor:
    spikes: torch.Tensor = _Scan.apply(x, dynamics)  # type: ignore[no-untyped-call]
    return spikes


@contextlib.contextmanager
def scanned(network: nn.Module) -> Iterator[None]:
    """Inside the block the IF and LIF neurons of ``network``, which are in multi-step mode and have their
    resting state, compute as described above; their state stays as it is."""
    covered = [(node, found) for node in network.modules() if (found := _dynamics(node)) is not None]
    for node, found in covered:
        node.multi_step_forward = partial(_run, found)  # type: ignore[assignment]
    try:
        yield
    finally:
        for node, _ in covered:
            del node.multi_step_forward
