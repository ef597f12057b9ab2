"""Neurons over time, written out in torch for training, on any device: spikingjelly's spikes, sooner.

Equations and gradients are those of :mod:`~snn_deploy.distill.neurons.dynamics`. Only ``h`` is kept for the
backward pass. The forward operations are those of spikingjelly in their order, so on a CPU the spikes are the
same to the last bit; gradients agree up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from snn_deploy.distill.neurons.dynamics import Dynamics, Slope


def _atan(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    share = d.new_full((), 2 / alpha)
    torch.addcmul(share, d, d, value=math.pi**2 / 2 * alpha, out=d)
    return torch.div(g, d, out=d)


def _sigmoid(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    d.mul_(alpha).sigmoid_()
    return torch.addcmul(d, d, d, value=-1, out=d).mul_(alpha).mul_(g)


def _triangle(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    return d.abs_().mul_(-(alpha**2)).add_(alpha).clamp_(min=0).mul_(g)


def _rectangle(d: torch.Tensor, g: torch.Tensor, alpha: float) -> torch.Tensor:
    return torch.lt(d.abs_(), 0.5 / alpha, out=d).mul_(alpha).mul_(g)


_SLOPES: dict[Slope, Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]] = {
    "atan": _atan,
    "sigmoid": _sigmoid,
    "triangle": _triangle,
    "rectangle": _rectangle,
}
"""``sigma'(d) g``, in the place of ``d``."""


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
        h, spikes = torch.empty_like(x, dtype=torch.float32), torch.empty_like(x)
        v = torch.full_like(h[0], dynamics.v_reset or 0.0)
        for x_t, h_t, spikes_t in zip(x, h, spikes, strict=True):
            _charge(dynamics, q, x_t, v, h_t)
            torch.ge(h_t, dynamics.threshold, out=spikes_t)
            _reset(dynamics, h_t, spikes_t.float(), v)
        ctx.save_for_backward(h, q, *([x] if q is not None and dynamics.decay_input else []))
        ctx.dynamics, ctx.dtype = dynamics, x.dtype
        return spikes

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        h, q, *x = ctx.saved_tensors
        dynamics: Dynamics = ctx.dynamics
        threshold, tau, v_reset = dynamics.threshold, dynamics.tau, dynamics.v_reset
        slope = _SLOPES[dynamics.slope]
        keeps = 1 - q if q is not None else 1.0 if tau is None else 1 - 1 / tau
        result = torch.empty_like(h)
        later, quiet = torch.zeros_like(h[0]), torch.empty_like(h[0])
        for h_t, g_t, result_t in reversed(list(zip(h, g.float(), result, strict=True))):
            torch.sub(h_t, threshold, out=result_t)
            arriving = g_t if dynamics.detach_reset else _through_reset(dynamics, h_t, g_t, later)
            slope(result_t, arriving, dynamics.alpha)
            if v_reset is None:
                result_t.add_(later)
            else:
                result_t.addcmul_(later, torch.lt(h_t, threshold, out=quiet))
            torch.mul(result_t, keeps, out=later)
        leak = None if q is None else _of_leak(dynamics, h, x[0] if x else None, result)
        if dynamics.decay_input and (q is not None or tau is not None):
            _leak(dynamics, q, result, result)
        return result.to(ctx.dtype), leak, None


def _charge(
    dynamics: Dynamics, q: torch.Tensor | None, x: torch.Tensor, v: torch.Tensor, h: torch.Tensor
) -> None:
    """Write ``h(t)``."""
    if q is None and dynamics.tau is None:
        torch.add(v, x, out=h)
        return
    above_rest = v - dynamics.v_reset if dynamics.v_reset else v
    if dynamics.decay_input:
        _leak(dynamics, q, torch.sub(x, above_rest, out=h), h).add_(v)
        return
    _leak(dynamics, q, above_rest, h)
    torch.sub(v, h, out=h).add_(x)


def _leak(dynamics: Dynamics, q: torch.Tensor | None, a: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Write ``a / tau``."""
    if q is not None:
        return torch.mul(a, q, out=out)
    assert dynamics.tau is not None
    return torch.div(a, dynamics.tau, out=out)


def _reset(dynamics: Dynamics, h: torch.Tensor, spikes: torch.Tensor, v: torch.Tensor) -> None:
    """Write ``v(t)``."""
    if dynamics.v_reset is None:
        torch.addcmul(h, spikes, torch.as_tensor(dynamics.drop), value=-1, out=v)
        return
    torch.addcmul(h, h, spikes, value=-1, out=v)
    if dynamics.v_reset:
        v.add_(spikes, alpha=dynamics.v_reset)


def _through_reset(dynamics: Dynamics, h: torch.Tensor, g: torch.Tensor, later: torch.Tensor) -> torch.Tensor:
    """What arrives at ``s(t)`` with that which goes through ``v(t)``."""
    if dynamics.v_reset is None:
        return torch.addcmul(g, later, torch.as_tensor(dynamics.drop), value=-1)
    arriving = torch.addcmul(g, later, h, value=-1)
    return arriving.add_(later, alpha=dynamics.v_reset) if dynamics.v_reset else arriving


def _of_leak(
    dynamics: Dynamics, h: torch.Tensor, x: torch.Tensor | None, gradient: torch.Tensor
) -> torch.Tensor:
    """``dL/dq``, of ``gradient = dL/dh``."""
    rest = dynamics.v_reset or 0.0
    v, total = torch.full_like(h[0], rest), h.new_zeros(())
    for step, (h_t, gradient_t) in enumerate(zip(h, gradient, strict=True)):
        above_rest = v - rest if rest else v
        moved = -above_rest if x is None else x[step] - above_rest
        total += (moved * gradient_t).sum()
        _reset(dynamics, h_t, (h_t >= dynamics.threshold).to(h.dtype), v)
    return total


def written_out(x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
    """Spikes of ``x [T, ...]`` from rest, of its type; ``q`` is the leak that is learned, if one is."""
    spikes: torch.Tensor = _Scan.apply(x, q, dynamics)  # type: ignore[no-untyped-call]
    return spikes
