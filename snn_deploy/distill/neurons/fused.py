"""Neurons over time as one operation of torch forwards and one backwards, in Triton.

The operations ``snn_deploy::neurons_forward`` and ``neurons_backward`` stand in torch's registry, so that
the compiler and fake tensors know them. Nothing else may import this module than
:mod:`~snn_deploy.distill.neurons.choice`, which asks first whether Triton is there.
"""

from __future__ import annotations

from typing import Any

import torch
import triton

from snn_deploy.distill.neurons import kernels
from snn_deploy.distill.neurons.dynamics import Dynamics, Slope
from snn_deploy.distill.neurons.layout import steps_in_a_row

_SLOPES: dict[Slope, int] = {"atan": 0, "sigmoid": 1, "triangle": 2, "rectangle": 3}

_HOW = "float? tau, bool decay_input, float threshold, float? v_reset"
_LIBRARY: Any = torch.library.Library("snn_deploy", "FRAGMENT")  # type: ignore[no-untyped-call]
_LIBRARY.define(f"neurons_forward(Tensor x, Tensor? q, {_HOW}) -> (Tensor, Tensor)")
_LIBRARY.define(
    f"neurons_backward(Tensor g, Tensor x, Tensor between, Tensor? q, {_HOW}, "
    "bool detach_reset, int slope, float alpha) -> (Tensor, Tensor)"
)


def _parts(x: torch.Tensor) -> list[tuple[int, int]]:
    return [(start, min(start + kernels.STEPS, len(x))) for start in range(0, len(x), kernels.STEPS)]


def _leak(tau: float | None, q: torch.Tensor | None) -> int:
    return 2 if q is not None else 0 if tau is None else 1


def _forward(
    x: torch.Tensor,
    q: torch.Tensor | None,
    tau: float | None,
    decay_input: bool,
    threshold: float,
    v_reset: float | None,
) -> tuple[torch.Tensor, torch.Tensor]:
    spikes, between = _forward_shapes(x, q, tau, decay_input, threshold, v_reset)
    parts, neurons = _parts(x), x[0].numel()
    for part, (start, stop) in enumerate(parts):
        first, last = part == 0, part == len(parts) - 1
        kernels.forward[(triton.cdiv(neurons, kernels.BLOCK),)](
            x[start:stop],
            x if first else between[part - 1],
            x if q is None else q,
            spikes[start:stop],
            x if last else between[part],
            neurons,
            tau or 1.0,
            threshold,
            v_reset or 0.0,
            T=stop - start,
            LEAK=_leak(tau, q),
            DECAY_INPUT=decay_input,
            SOFT=v_reset is None,
            FIRST=first,
            LAST=last,
            BLOCK=kernels.BLOCK,
            enable_fp_fusion=False,
        )
    return spikes, between


def _forward_shapes(x: torch.Tensor, q: torch.Tensor | None, *_: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes, and the membranes between parts ``[parts - 1, ...]``."""
    parts = len(_parts(x))
    return torch.empty_like(x), x.new_empty((parts - 1, x[0].numel()), dtype=torch.float32)


def _backward(
    g: torch.Tensor,
    x: torch.Tensor,
    between: torch.Tensor,
    q: torch.Tensor | None,
    tau: float | None,
    decay_input: bool,
    threshold: float,
    v_reset: float | None,
    detach_reset: bool,
    slope: int,
    alpha: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    gx, leak = _backward_shapes(g, x, between, q)
    parts, neurons = _parts(x), x[0].numel()
    later = x.new_empty(neurons if len(parts) > 1 else 0, dtype=torch.float32)
    for part, (start, stop) in reversed(list(enumerate(parts))):
        first, last = part == 0, part == len(parts) - 1
        kernels.backward[(triton.cdiv(neurons, kernels.BLOCK),)](
            x[start:stop],
            x if first else between[part - 1],
            x if q is None else q,
            g[start:stop],
            gx[start:stop],
            later,
            leak[part],
            neurons,
            tau or 1.0,
            threshold,
            v_reset or 0.0,
            alpha,
            T=stop - start,
            LEAK=_leak(tau, q),
            DECAY_INPUT=decay_input,
            SOFT=v_reset is None,
            DETACH=detach_reset,
            SLOPE=slope,
            FIRST=first,
            LAST=last,
            BLOCK=kernels.BLOCK,
        )
    return gx, leak


def _backward_shapes(
    g: torch.Tensor, x: torch.Tensor, between: torch.Tensor, q: torch.Tensor | None, *_: object
) -> tuple[torch.Tensor, torch.Tensor]:
    """``dL/dx``, and what each program of each part adds to ``dL/dq``."""
    programs = 0 if q is None else triton.cdiv(x[0].numel(), kernels.BLOCK)
    return torch.empty_like(x), x.new_empty((len(_parts(x)), programs), dtype=torch.float32)


for _name, _run, _shapes in (
    ("neurons_forward", _forward, _forward_shapes),
    ("neurons_backward", _backward, _backward_shapes),
):
    _LIBRARY.impl(_name, _run, "CUDA")
    _LIBRARY.impl(_name, _run, "CPU")  # by Triton's interpreter
    torch.library.register_fake(f"snn_deploy::{_name}", _shapes, lib=_LIBRARY)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
        x = x if steps_in_a_row(x) else x.contiguous()
        how = (dynamics.tau, dynamics.decay_input, dynamics.threshold, dynamics.v_reset)
        spikes, between = torch.ops.snn_deploy.neurons_forward(x, q, *how)
        ctx.save_for_backward(x, between, q)
        ctx.how = (*how, dynamics.detach_reset, _SLOPES[dynamics.slope], dynamics.alpha)
        result: torch.Tensor = spikes
        return result

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        x, between, q = ctx.saved_tensors
        if g.stride() != x.stride():
            g = torch.empty_like(x).copy_(g)
        gx, leak = torch.ops.snn_deploy.neurons_backward(g, x, between, q, *ctx.how)
        return gx, None if q is None else leak.sum(), None


def fused(x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
    """Spikes of ``x [T, ...]`` from rest, of its type; ``q`` is the leak that is learned, if one is."""
    spikes: torch.Tensor = _Scan.apply(x, q, dynamics)  # type: ignore[no-untyped-call]
    return spikes
