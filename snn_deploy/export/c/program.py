r"""What the C program of a ``.net`` network holds: per layer its loops, types and tables.

The arithmetic is that of :mod:`snn_deploy.simulate.cuba`, with the sums of synapses kept as
:math:`a = unit \cdot \sum q x`, ``unit`` the greatest common divisor of the weights. Every type is chosen by
a bound that holds for any input in the network's range, so that no sum overflows:

* a sum is kept in 16 bits when :math:`\max \sum |q x| < 2^{15}`;
* u and v need 32 bits; a current that can exceed them (weights beyond Loihi's limits) gets 64;
* a decay is a reduced fraction :math:`m / n`; the product :math:`v m` needs 64 bits from :math:`m = 256` on.

Inside the program a convolution's populations are ordered row, column, channel: all weights of one synapse's
targets then lie side by side. The input and the output are in the hub's order (channel, row, column).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.export.c.parts import INT16_MAX, INT32_MAX, CLayer, Decay, Program, Values
from snn_deploy.export.c.tables import Table, Weights, common_unit, table, weights
from snn_deploy.export.c.words import identifiers
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    STATE_LIMIT,
    Conv,
    Dense,
    Input,
    IntArray,
    LavaNet,
    Pair,
    Population,
    Shape,
    layer_bound,
    neuron_of,
)
from snn_deploy.simulate.cuba import UNIT, may_clip, may_wrap

DENSE_FROM = 0.6
"""Firing rate from which the loop over all synapses is faster than the one over spikes, in convolutions with
strides; in all other layers it never is (our measurement, ``benchmarks/c_speed.py``)."""


def program(
    net: LavaNet, *, rates: Mapping[str, float] | None = None, loops: Mapping[str, bool] | None = None
) -> Program:
    """The C program of ``net``.

    Args:
        net: an integer network that Lava computes as stored.
        rates: mean firing rate of what each population sees, by the population's name; where it is known
            and :data:`DENSE_FROM` says so, the loop goes over all synapses.
        loops: by C identifier, whether the loop goes over spikes; it decides where it is given.

    Raises:
        UnsupportedError: sums that need more than 32 bits, by population.
    """
    layers: list[CLayer] = []
    problems: list[Problem] = []
    names = identifiers(net.names)
    binary = not (net.input_bits or net.analog)
    low, high = net.input_range
    arriving = _Arriving(net.input_shape, False, (min(low, 0), max(high, 0)), binary)
    for position, (title, layer) in enumerate(zip(net.names, net.populations, strict=True)):
        busy = (rates or {}).get(title, 0.0) >= DENSE_FROM
        strided = isinstance(layer, Conv) and layer.stride != (1, 1)
        events = (loops or {}).get(names[position], not (busy and strided))
        try:
            layers.append(_layer(names[position], title, layer, arriving, events, _slots(net)))
        except OverflowError as error:
            problems.append(Problem(title, str(error), "sums of the C program have 32 bits"))
        arriving = _Arriving(layer.shape, len(layer.shape) == 3, (0, 1), True)
    if problems:
        raise UnsupportedError("The network cannot be written as C.", problems=problems)
    return Program(net, tuple(layers), "uint8_t" if binary else "int32_t")


@dataclass(frozen=True, slots=True)
class _Arriving:
    """What a layer sees: in which shape and order, of which range, and whether it is spikes."""

    shape: Shape
    channels_last: bool
    range: Pair
    spikes: bool


def _slots(net: LavaNet) -> int:
    """Sums that a layer with delays keeps at a time: the same number for all, so that one counter serves."""
    delayed = [p.delay for p in net.populations if isinstance(p, Dense) and p.delay is not None]
    return 1 + max((int(delay.max()) for delay in delayed), default=0)


def _layer(name: str, title: str, layer: Population, arriving: _Arriving, events: bool, slots: int) -> CLayer:
    neuron = neuron_of(layer)
    bound, bias = 0, None
    made: Weights | None = None
    recurrent: Weights | None = None
    delays: Table | None = None
    if not isinstance(layer, Input):
        bound, bias = layer_bound(layer, arriving.range), layer.bias
        own = layer.recurrent if isinstance(layer, Dense) else None
        unit = common_unit(layer.weight) if own is None else common_unit(layer.weight, own)
        made = weights(_rows(layer, arriving), unit)
        recurrent = None if own is None else weights(np.ascontiguousarray(own.T), unit)
    if isinstance(layer, Dense) and layer.delay is not None:
        delays = table(_in_order(layer.delay, arriving).T)
    units = bound // made.unit if made else 0
    if units > INT32_MAX:
        raise OverflowError(f"sums reach {units}")
    wide = UNIT * bound + 2 * STATE_LIMIT > INT32_MAX or isinstance(layer, Input)
    return CLayer(
        name=name,
        title=title,
        kind="driven" if isinstance(layer, Input) else "conv" if isinstance(layer, Conv) else "dense",
        source_shape=arriving.shape,
        channels_last=arriving.channels_last,
        sees_spikes=arriving.spikes,
        shape=layer.shape,
        events=events,
        weights=made,
        recurrent=recurrent,
        delays=delays,
        slots=slots if delays else 1,
        sum_type="int16_t" if units <= INT16_MAX else "int32_t",
        state_type="int64_t" if wide else "int32_t",
        wraps24=isinstance(layer, Conv) and bound >= STATE_LIMIT,
        wraps=may_wrap(neuron, bound),
        clips=isinstance(layer, Input) or may_clip(neuron, bias, bound),
        keep_current=_decay(neuron.current_decay),
        keep_voltage=_decay(neuron.voltage_decay),
        bias=_values(None if bias is None else UNIT * bias),
        threshold=_values(UNIT * neuron.threshold),
        layer=layer,
    )


def _rows(layer: Conv | Dense, arriving: _Arriving) -> IntArray:
    """One row per source (and place in the kernel), the weights of its targets side by side."""
    if isinstance(layer, Dense):
        return np.ascontiguousarray(_in_order(layer.weight, arriving).T)
    out, per_group, *kernel = layer.weight.shape
    grouped = layer.weight.reshape(layer.groups, out // layer.groups, per_group, *kernel)
    return np.ascontiguousarray(grouped.transpose(0, 2, 3, 4, 1).reshape(-1, out // layer.groups))


def _in_order(matrix: IntArray, arriving: _Arriving) -> IntArray:
    """Columns of a dense layer in the order in which the program keeps their sources."""
    if not arriving.channels_last:
        return matrix
    return matrix.reshape(-1, *arriving.shape).transpose(0, 2, 3, 1).reshape(len(matrix), -1)


def _decay(decay: IntArray) -> Decay:
    kept = DECAY_ONE - decay
    if kept.ndim and (kept != kept.flat[0]).any():
        return Decay(1, DECAY_ONE, table(kept))
    value = int(kept.flat[0])
    common = math.gcd(value, DECAY_ONE)
    return Decay(value // common, DECAY_ONE // common)


def _values(values: IntArray | None) -> Values:
    if values is None:
        return Values(0)
    if values.ndim and (values != values.flat[0]).any():
        return Values(0, table(values))
    return Values(int(values.flat[0]))
