"""Neuron layers over time in one loop: charge, fire and reset of some neurons in a few instructions, a chunk
of neurons through all steps so that their state stays in the nearest cache.

Equations and order of operations are those of :mod:`snn_deploy.simulate.neurons`, to the last bit for finite
numbers. One loop is compiled for each :class:`Kind`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import types

from snn_deploy.core.compiled import compiled
from snn_deploy.simulate.compiled.lanes import LANES, Lanes, instruction

Floats = npt.NDArray[np.float32]
Scan = Callable[[Floats, int, int, "Values", Floats, Floats, Floats], None]

CHUNK = 1024
"""Neurons that go through time together."""

INTEGRATE, LEAK_BESIDE, LEAK_BOTH, CURRENT = range(4)
"""``v += g x``; ``v = v - k (v - l) + x``; ``v += k (g x - (v - l))``; a current before the membrane."""
OUTPUT, NONE, ZERO, SUBTRACT, ZERO_NEXT, SUBTRACT_NEXT, SUBTRACT_RAISED = range(7)
"""What happens to a membrane that fires; with ``OUTPUT`` none does, and the membrane is the output."""


class Kind(NamedTuple):
    """Which equations hold in a layer.

    Attributes:
        charge, reset: of the constants above.
        divides: whether ``k`` divides in place of multiplying.
        several: more than one spike per step.
        strict: of several, whether a whole number of thresholds gives one less.
        rounds: of several, whether half a threshold is added before they are counted.
        levels: of several, the most; 0 for any number.
        given: which parameters there are, a bit for each of :class:`Values`; others are neutral.
    """

    charge: int
    reset: int
    divides: int
    several: int
    strict: int
    rounds: int
    levels: int
    given: int


class Values(NamedTuple):
    """Parameters, each ``[N]``, or empty.

    Attributes:
        gain: g of the input; where there is a current, of the current on its way to the membrane.
        rest: l, where the membrane leaks to.
        rate: k; where there is a current, what the membrane keeps of itself.
        keep: what the current keeps of itself.
        current_gain: of the input, where there is a current.
        offset: added to a membrane behind a current.
        fires: least membrane that fires.
        threshold: what several spikes per step are counted in.
        drop: what a subtractive reset takes.
        v_reset: where a reset to a value goes.
        v_min: lower bound of the membrane.
    """

    gain: Floats
    rest: Floats
    rate: Floats
    keep: Floats
    current_gain: Floats
    offset: Floats
    fires: Floats
    threshold: Floats
    drop: Floats
    v_reset: Floats
    v_min: Floats


Get = Callable[[str], "Lanes | None"]


def _charged(kind: Kind, get: Get, x: Lanes, i: Lanes, v: Lanes) -> tuple[Lanes, Lanes]:
    """Current and membrane after the input ``x``."""

    def times(value: Lanes, name: str) -> Lanes:
        factor = get(name)
        return value if factor is None else value * factor

    if kind.charge == INTEGRATE:
        return i, v + times(x, "gain")
    if kind.charge == CURRENT:
        i = times(i, "keep") + times(x, "current_gain")
        v = times(v, "rate") + times(i, "gain")
        offset = get("offset")
        return i, v if offset is None else v + offset
    rest, rate = get("rest"), get("rate")
    assert rate is not None
    above = v if rest is None else v - rest
    if kind.charge == LEAK_BOTH:
        way = times(x, "gain") - above
        return i, v + (way / rate if kind.divides else way * rate)
    return i, v - (above / rate if kind.divides else above * rate) + x


def _fired(kind: Kind, get: Get, before: Lanes, v: Lanes) -> tuple[Lanes, Lanes]:
    """Spikes and the membrane after them, of a charged membrane ``v`` that was ``before`` its input."""
    fires, drop = get("fires"), get("drop")
    assert fires is not None
    assert drop is not None
    zero, one = v.constant(0.0), v.constant(1.0)
    to = get("v_reset") or zero
    owed = before.at_least(fires)
    h = v
    if kind.reset == ZERO_NEXT:
        h = v = owed.choose(to, v)
    elif kind.reset in {SUBTRACT_NEXT, SUBTRACT_RAISED}:
        h = owed.choose(v - drop, v)
        v = h if kind.reset == SUBTRACT_NEXT else v
    if kind.several:
        threshold = get("threshold")
        assert threshold is not None
        times = h / threshold
        times = times + v.constant(0.5) if kind.rounds else times
        y = (times.ceil() - one if kind.strict else times.floor()).larger(zero)
        y = y.smaller(v.constant(kind.levels)) if kind.levels else y
    else:
        y = h.at_least(fires).choose(one, zero)
    if kind.reset == ZERO:
        v = zero.less_than(y).choose(to, v)
    elif kind.reset in {SUBTRACT, SUBTRACT_RAISED}:
        v = v.minus_product(drop, y)
    bound = get("v_min")
    return y, v if bound is None else v.larger(bound)


@instruction
def _advance(
    _typing: Any,
    code: Any,
    width: Any,
    p: Any,
    n: Any,
    x: Any,
    at: Any,
    i: Any,
    v: Any,
    m: Any,
    y: Any,
    to: Any,
) -> Any:
    """One step of neighbouring neurons: parameters from ``n`` on, input ``x`` from ``at``, state from ``m``,
    output ``y`` from ``to``; ``code`` is a :class:`Kind` in words, ``width`` how many neurons."""
    kind, lanes = Kind(*map(int, code.literal_value.split())), width.literal_value

    def step(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        def place(number: int, index: Any) -> Lanes:
            return Lanes.at(context, builder, signature.args[number], given[number], index, lanes)

        def get(name: str) -> Lanes | None:
            position = Values._fields.index(name)
            if not kind.given >> position & 1:
                return None
            array = builder.extract_value(given[2], position)
            return Lanes.at(context, builder, signature.args[2].types[position], array, given[3], lanes)

        before = place(7, given[8])
        current = place(6, given[8]) if kind.charge == CURRENT else before
        i_new, v_new = _charged(kind, get, place(4, given[5]), current, before)
        output = v_new
        if kind.reset != OUTPUT:
            output, v_new = _fired(kind, get, before, v_new)
        if kind.charge == CURRENT:
            i_new.store(context, signature.args[6], given[6], given[8])
        v_new.store(context, signature.args[7], given[7], given[8])
        output.store(context, signature.args[9], given[9], given[10])
        return context.get_dummy_value()

    return types.void(code, width, p, n, x, at, i, v, m, y, to), step


@functools.cache
def scan_of(kind: Kind) -> Scan:
    """The loop of a kind, ``scan(x, begin, end, values, i, v, y)``: moves currents ``i`` (empty where there
    are none) and membranes ``v``, both ``[B, N]``, through the inputs ``x [T, B, N]``, and writes the outputs
    to ``y``, which may be ``x``; of each sample only the neurons from ``begin`` to ``end``."""
    code = " ".join(map(str, map(int, kind)))

    def scan(x: Any, begin: int, end: int, values: Any, i: Any, v: Any, y: Any) -> None:
        inputs, outputs, currents, membranes = x.reshape(-1), y.reshape(-1), i.reshape(-1), v.reshape(-1)
        steps, batch, total = x.shape
        for sample in range(batch):
            for first in range(begin, end, CHUNK):
                last = min(first + CHUNK, end)
                whole = first + (last - first) // LANES * LANES
                for t in range(steps):
                    row, state = (t * batch + sample) * total, sample * total
                    for n in range(first, whole, LANES):
                        m, at = state + n, row + n
                        _advance(code, LANES, values, n, inputs, at, currents, membranes, m, outputs, at)
                    for n in range(whole, last):
                        m, at = state + n, row + n
                        _advance(code, 1, values, n, inputs, at, currents, membranes, m, outputs, at)

    return cast(Scan, compiled(scan))
