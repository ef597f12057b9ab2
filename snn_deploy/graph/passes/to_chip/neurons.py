r"""A neuron of the hub in the form that CUBA hardware computes.

.. math::
    u &\leftarrow (1 - \ell_u) u + g x \\
    v' &\leftarrow (1 - \ell_v) v' + u + b, \qquad s = [v' \ge \theta'] \text{ or } [v' > \theta'],
    \qquad v' \leftarrow 0 \text{ where } s = 1

with :math:`v' = v - v_{reset}` and :math:`\theta' = \theta - v_{reset}`: a leak towards :math:`v_{leak}` then
adds :math:`b = \ell_v (v_{leak} - v_{reset})` per step. Exact for every neuron with hard reset that starts at
its reset potential, as the hub's do.

A neuron without leak that subtracts :math:`d = \theta - v_{reset}` and starts at 0 keeps its membrane in the
current, which no spike resets, and takes its own spike of the step before as one more input:

.. math:: u \leftarrow u + g x - d s(t-1), \qquad v \leftarrow u, \qquad s = [v \ge \theta]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.graph.dynamics import Membrane, Neuron
from snn_deploy.graph.passes.to_chip.windows import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class CubaForm:
    """A neuron as ``v = (1 - voltage_leak) v + u + offset``, ``u = (1 - current_leak) u + gain x``."""

    gain: FloatArray
    offset: FloatArray
    current_leak: FloatArray
    voltage_leak: FloatArray
    threshold: FloatArray | None
    start: FloatArray

    @classmethod
    def neutral(cls) -> CubaForm:
        one, zero = np.ones(()), np.zeros(())
        return cls(one, zero, one, zero, one, zero)

    @classmethod
    def softly(cls, neuron: Neuron, shape: tuple[int, ...]) -> tuple[CubaForm, FloatArray] | None:
        """The form of a neuron that subtracts at a spike, and the weight of that spike in the next step, one
        per neuron; None where there is no such form."""
        fire, charge = neuron.fire, neuron.charge
        if fire is None or not fire.plain or fire.reset != "subtract" or not isinstance(charge, Membrane):
            return None
        found = cls.of(neuron, shape)
        if found is None or charge.leak is not None or neuron.start.any() or len(shape) != 1:
            return None
        threshold = per_channel(fire.threshold, shape)
        drop = np.broadcast_to(fire.threshold - fire.v_reset, shape)
        if threshold is None:
            return None
        zero, one = np.zeros(()), np.ones(())
        return cls(found.gain, zero, zero, one, threshold, zero), -drop

    @classmethod
    def of(cls, neuron: Neuron, shape: tuple[int, ...]) -> CubaForm | None:
        """From the hub's neuron; None when a parameter is not constant within channels."""
        charge = neuron.charge
        one, zero = np.ones(()), np.zeros(())
        if isinstance(charge, Membrane):
            leak = zero
            if charge.leak is not None:
                leak = 1.0 / charge.leak.value if charge.leak.divides else charge.leak.value
            gain = one if charge.gain is None else charge.gain
            gain = gain * leak if charge.input_decays else gain
            current_leak = one
            rest = zero if charge.v_leak is None else charge.v_leak * leak
        else:
            leak, current_leak = 1.0 - charge.v_decay, 1.0 - charge.i_decay
            gain = (one if charge.i_gain is None else charge.i_gain) * (
                one if charge.v_gain is None else charge.v_gain
            )
            rest = zero if charge.v_offset is None else charge.v_offset
        start = neuron.start if neuron.fire is None else neuron.fire.v_reset
        threshold = one if neuron.fire is None else neuron.fire.threshold - start
        values = (gain, rest - leak * start, current_leak, leak, threshold, start)
        found = [channels for value in values if (channels := per_channel(value, shape)) is not None]
        if len(found) < len(values):
            return None
        return cls(
            gain=found[0],
            offset=found[1],
            current_leak=found[2],
            voltage_leak=found[3],
            threshold=None if neuron.fire is None else found[4],
            start=found[5],
        )


def per_channel(value: object, shape: tuple[int, ...]) -> FloatArray | None:
    """A number, or one per channel, that broadcasts to ``value``; None when there is neither."""
    array = np.broadcast_to(np.asarray(value, np.float64), shape)
    first = array.reshape(shape[0], -1)[:, 0]
    if (array == array.flat[0]).all():
        return np.asarray(array.flat[0])
    same = array == first.reshape(-1, *[1] * (len(shape) - 1))
    return first.copy() if same.all() else None
