"""Neuron layers over time on a CPU in float32, in compiled loops."""

from __future__ import annotations

from math import prod

import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.graph.dynamics import Fire, Membrane, Neuron, Synaptic
from snn_deploy.graph.shapes import Shape
from snn_deploy.simulate.compiled import neurons as loops
from snn_deploy.simulate.threads import in_parts

Parameters = dict[str, npt.NDArray[np.float64] | None]

_RESETS = {
    "zero": loops.ZERO,
    "subtract": loops.SUBTRACT,
    "zero-next": loops.ZERO_NEXT,
    "subtract-next": loops.SUBTRACT_NEXT,
    "subtract-raised": loops.SUBTRACT_RAISED,
    "none": loops.NONE,
}


class CompiledScan:
    """The loop of one layer with its parameters. Layers ``[C, H, W]`` lie in memory channels last."""

    def __init__(self, neuron: Neuron, shape: Shape) -> None:
        self._shape = shape
        charge, divides, given = _charge(neuron.charge)
        kind = loops.Kind(charge, loops.OUTPUT, divides, *[0] * 5)
        if neuron.fire is not None:
            given |= _fire(neuron.fire)
            kind = _firing(kind, neuron.fire)
        values = {name: value for name, value in given.items() if value is not None}
        bits = sum(1 << loops.Values._fields.index(name) for name in values)
        self._run = loops.scan_of(kind._replace(given=bits))
        self._values = loops.Values(*(self._spread(values.get(name)) for name in loops.Values._fields))

    def _spread(self, value: npt.NDArray[np.float64] | None) -> npt.NDArray[np.float32]:
        if value is None:
            return np.empty(0, np.float32)
        whole = np.broadcast_to(value.astype(np.float32), self._shape)
        return (np.moveaxis(whole, 0, -1) if len(self._shape) == 3 else whole).flatten()

    def run(
        self, x: torch.Tensor, i: torch.Tensor | None, v: torch.Tensor, *, overwrite: bool
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor]:
        """Output ``[T, B, *shape]`` for the input ``x [T, B, *shape]``, current and membrane ``[B, *shape]``
        after it; these may be the given ones, changed, and with ``overwrite`` the output the input."""
        inputs, membranes = self._flat(x), self._flat(v)
        currents = membranes[:0] if i is None else self._flat(i)
        fresh = overwrite or inputs.data_ptr() != x.data_ptr()
        outputs = inputs if fresh else torch.empty_like(inputs)
        given, state = inputs.numpy(), (currents.numpy(), membranes.numpy())

        def run(begin: int, end: int) -> None:
            self._run(given, begin, end, self._values, *state, outputs.numpy())

        in_parts(prod(self._shape), given.size, run)
        return self._shaped(outputs), None if i is None else self._shaped(currents), self._shaped(membranes)

    def _flat(self, value: torch.Tensor) -> torch.Tensor:
        """``[..., *shape]`` as ``[..., N]`` in the order of memory."""
        rank = len(self._shape)
        ordered = value.movedim(-3, -1) if rank == 3 else value
        return ordered.contiguous().view(*value.shape[: value.ndim - rank], -1)

    def _shaped(self, value: torch.Tensor) -> torch.Tensor:
        if len(self._shape) != 3:
            return value.view(*value.shape[:-1], *self._shape)
        channels, height, width = self._shape
        return value.view(*value.shape[:-1], height, width, channels).movedim(-1, -3)


def _charge(charge: Membrane | Synaptic) -> tuple[int, bool, Parameters]:
    if isinstance(charge, Synaptic):
        values: Parameters = {
            "keep": charge.i_decay,
            "current_gain": charge.i_gain,
            "rate": charge.v_decay,
            "gain": charge.v_gain,
            "offset": charge.v_offset,
        }
        return loops.CURRENT, False, values
    if charge.leak is None:
        return loops.INTEGRATE, False, {"gain": charge.gain}
    values = {"rest": charge.v_leak, "rate": charge.leak.value}
    if not charge.input_decays:
        return loops.LEAK_BESIDE, charge.leak.divides, values
    return loops.LEAK_BOTH, charge.leak.divides, {"gain": charge.gain, **values}


def _firing(kind: loops.Kind, fire: Fire) -> loops.Kind:
    kind = kind._replace(reset=_RESETS[fire.reset])
    if not fire.several:
        return kind
    rounds, strict = fire.spikes == "rounded", fire.fires_at == ">"
    return kind._replace(several=True, strict=strict, rounds=rounds, levels=fire.levels or 0)


def _fire(fire: Fire) -> Parameters:
    threshold = fire.threshold.astype(np.float32)
    above = np.nextafter(threshold, np.float32(np.inf)) if fire.fires_at == ">" else threshold
    return {
        "fires": above.astype(np.float64),
        "threshold": fire.threshold if fire.several else None,
        "drop": fire.threshold - fire.v_reset,
        "v_reset": fire.v_reset if fire.v_reset.any() else None,
        "v_min": None if fire.v_min is None else np.asarray(fire.v_min),
    }
