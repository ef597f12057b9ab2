"""Neurons over time in bfloat16 as one operation of torch forwards and one backwards, in compiled loops of a
CPU.

Equations: :mod:`~snn_deploy.distill.neurons.dynamics`. Blocks of neurons are shared among as many threads as
torch has; what each computes does not depend on their number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.distill.neurons import loops
from snn_deploy.distill.neurons.dynamics import Dynamics, Slope
from snn_deploy.distill.neurons.layout import steps_in_a_row

_SLOPES: dict[Slope, int] = {
    "atan": loops.ATAN,
    "triangle": loops.TRIANGLE,
    "rectangle": loops.RECTANGLE,
}
_WORTH_A_THREAD = 1 << 16
"""Numbers of ``x``: fewer are computed by one thread sooner."""


class _Layer(NamedTuple):
    """What both passes take beside the numbers."""

    rules: loops.Rules
    threshold: npt.NDArray[np.float32]
    drop: npt.NDArray[np.float32]
    width: int


def _layer(x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> _Layer:
    tau, rest, f = dynamics.tau, dynamics.v_reset, np.float32
    leak = loops.LEARNED if q is not None else loops.FREE if tau is None else loops.TAU
    rate = float(q) if q is not None else tau or 1.0
    rules = loops.Rules(
        leak=leak,
        rate=f(rate),
        share=f(rate if q is not None else 1 / rate),
        decay_input=dynamics.decay_input and leak != loops.FREE,
        rest=f(rest or 0.0),
        soft=rest is None,
        detach=dynamics.detach_reset,
        slope=_SLOPES[dynamics.slope],
        alpha=f(dynamics.alpha),
    )
    if isinstance(dynamics.threshold, torch.Tensor):
        return _Layer(rules, _row(x, dynamics.threshold), _row(x, dynamics.drop), x[0, 0].numel())
    threshold, drop = (np.full(loops.BLOCK, value, f) for value in (dynamics.threshold, dynamics.drop))
    return _Layer(rules, threshold, drop, x[0].numel())


def _row(x: torch.Tensor, value: float | torch.Tensor) -> npt.NDArray[np.float32]:
    """``value [C, 1, ...]`` for every neuron of a sample, as they lie in memory."""
    laid = torch.empty_like(x[0, 0], dtype=torch.float32).copy_(torch.as_tensor(value))
    row: npt.NDArray[np.float32] = laid.as_strided((laid.numel(),), (1,)).numpy()
    return row


def _flat(x: torch.Tensor) -> Any:
    """The bits of ``x [T, ...]``, whose steps lie in a row, as ``[T, N]`` of numpy."""
    return x.view(torch.uint16).as_strided((len(x), x[0].numel()), (x[0].numel(), 1)).numpy()


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="neurons")


def _shared(run: Callable[[tuple[int, int]], None], units: int, size: int) -> None:
    """Run all blocks, by several threads where that pays."""
    count = min(torch.get_num_threads(), units, max(1, size // _WORTH_A_THREAD))
    if count == 1:
        return run((0, units))
    ends = [units * part // count for part in range(count + 1)]
    for done in [_threads(count).submit(run, part) for part in itertools.pairwise(ends)]:
        done.result()
    return None


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
        x = x.detach() if _in_order(x, dynamics) else x.detach().contiguous()
        layer, spikes = _layer(x, q, dynamics), torch.empty_like(x)
        come, go = _flat(x), _flat(spikes)
        _shared(lambda units: loops.forward(come, go, *layer, units), _units(x, layer), x.numel())
        ctx.save_for_backward(x)
        ctx.layer = layer
        return spikes

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        (x,) = ctx.saved_tensors
        layer: _Layer = ctx.layer
        if g.stride() != x.stride():
            g = torch.empty_like(x).copy_(g)
        gx, leaks = torch.empty_like(x), np.zeros(_units(x, layer))
        come, arrive, go = _flat(x), _flat(g), _flat(gx)
        _shared(lambda units: loops.backward(come, arrive, go, leaks, *layer, units), len(leaks), x.numel())
        leak = torch.tensor(leaks.sum(), dtype=torch.float32) if ctx.needs_input_grad[1] else None
        return gx, leak, None


def _in_order(x: torch.Tensor, dynamics: Dynamics) -> bool:
    """Whether steps lie in a row and, where channels have values of their own, samples of a step too."""
    each = isinstance(dynamics.threshold, torch.Tensor)
    return steps_in_a_row(x) and (not each or x.shape[1] == 1 or x.stride(1) == x[0, 0].numel())


def _units(x: torch.Tensor, layer: _Layer) -> int:
    """Blocks of all rows."""
    return x[0].numel() // max(layer.width, 1) * -(-layer.width // loops.BLOCK)


def looped(x: torch.Tensor, q: torch.Tensor | None, dynamics: Dynamics) -> torch.Tensor:
    """Spikes of bfloat16 ``x [T, ...]`` from rest, of its type; ``q`` is the leak that is learned, if any."""
    spikes: torch.Tensor = _Scan.apply(x, q, dynamics)  # type: ignore[no-untyped-call]
    return spikes
