"""The scan of :mod:`~snn_deploy.distill.neurons.dynamics`, of bfloat16, in loops of a CPU, both ways in
time.

A block of neurons goes through all steps while its float32 membranes stay in the nearest cache; ``h`` is
computed anew in the backward pass, so only ``x`` is kept. Forwards the operations are those of
:mod:`~snn_deploy.distill.neurons.written_out` in their order, so spikes are the same to the last bit.
bfloat16 comes as its 16 bits and is rounded to the nearest, of equals the even one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from snn_deploy.core.compiled import compiled, inlined

Floats = npt.NDArray[np.float32]
Words = npt.NDArray[Any]

BLOCK = 512
"""Neurons that go through time together."""
ONE = 0x3F80
"""1 in bfloat16."""
FREE, TAU, LEARNED = range(3)
"""No leak; that of ``tau``; ``q = 1 / tau``, which is learned."""
ATAN, TRIANGLE, RECTANGLE = range(3)


class Rules(NamedTuple):
    """What a layer computes, in the names of :class:`~snn_deploy.distill.neurons.dynamics.Dynamics`.

    Attributes:
        leak: of the constants above.
        rate: ``tau`` or ``q``.
        share: ``q``, or ``1 / tau``, or 1 without a leak.
        rest: where the membrane starts; with a hard reset also where it returns to.
    """

    leak: int
    rate: np.float32
    share: np.float32
    decay_input: bool
    rest: np.float32
    soft: bool
    detach: bool
    slope: int
    alpha: np.float32


@inlined
def _load(source: Words, bits: Words) -> None:
    """Numbers of ``source`` as the ``bits`` of float32."""
    for i in range(len(source)):
        bits[i] = np.uint32(source[i]) << np.uint32(16)


@inlined
def _charge(rules: Rules, n: int, x: Floats, v: Floats, h: Floats) -> None:
    """Write ``h``."""
    rate, rest = rules.rate, rules.rest
    if rules.leak == FREE:
        for i in range(n):
            h[i] = v[i] + x[i]
    elif rules.leak == TAU and rules.decay_input:
        for i in range(n):
            h[i] = (x[i] - (v[i] - rest)) / rate + v[i]
    elif rules.leak == TAU:
        for i in range(n):
            h[i] = v[i] - (v[i] - rest) / rate + x[i]
    elif rules.decay_input:
        for i in range(n):
            h[i] = (x[i] - (v[i] - rest)) * rate + v[i]
    else:
        for i in range(n):
            h[i] = v[i] - (v[i] - rest) * rate + x[i]


@inlined
def _reset(rules: Rules, n: int, h: Floats, threshold: Floats, drop: Floats, v: Floats) -> None:
    """Write ``v``."""
    if rules.soft:
        for i in range(n):
            v[i] = h[i] - drop[i] if h[i] >= threshold[i] else h[i]
    else:
        rest = rules.rest
        for i in range(n):
            v[i] = rest if h[i] >= threshold[i] else h[i]


@inlined
def _block(unit: int, width: int, values: int) -> tuple[int, int, int]:
    """How many neurons a block has, where they begin, and where their ``values`` thresholds do."""
    blocks = (width + BLOCK - 1) // BLOCK
    start = unit % blocks * BLOCK
    return min(BLOCK, width - start), unit // blocks * width + start, start if values != BLOCK else 0


@compiled
def forward(
    x: Words, spikes: Words, rules: Rules, threshold: Floats, drop: Floats, width: int, units: Any
) -> None:
    """Write ``spikes [T, N]`` of ``x [T, N]``.

    The ``N`` neurons are rows of ``width``. ``threshold`` and ``drop`` are ``[width]`` or, where all are the
    same, ``[BLOCK]``. ``units`` is the range of blocks that are computed, counted row by row.
    """
    v, h, now = np.empty((3, BLOCK), np.float32)
    bits = now.view(np.uint32)
    for unit in range(units[0], units[1]):
        n, at, of = _block(unit, width, len(threshold))
        reach, taken = threshold[of : of + n], drop[of : of + n]
        v[:n] = rules.rest
        for t in range(len(x)):
            _load(x[t, at : at + n], bits)
            _charge(rules, n, now, v, h)
            fired = spikes[t, at : at + n]
            for i in range(n):
                fired[i] = ONE if h[i] >= reach[i] else 0
            _reset(rules, n, h, reach, taken, v)


@inlined
def _slope(rules: Rules, n: int, d: Floats) -> None:
    """``sigma'(d)`` in the place of ``d``."""
    alpha = rules.alpha
    if rules.slope == ATAN:
        inner, half = np.float32(math.pi / 2) * alpha, alpha / np.float32(2)
        for i in range(n):
            d[i] = half / (np.float32(1) + (inner * d[i]) * (inner * d[i]))
    elif rules.slope == TRIANGLE:
        for i in range(n):
            d[i] = max(alpha - alpha * alpha * abs(d[i]), np.float32(0))
    else:
        edge = np.float32(0.5) / alpha
        for i in range(n):
            d[i] = alpha if abs(d[i]) < edge else np.float32(0)


@inlined
def _store(target: Words, bits: Words, value: Floats) -> None:
    """Write ``value``, whose ``bits`` are given."""
    for i in range(len(target)):
        rounded = bits[i] + np.uint32(0x7FFF) + ((bits[i] >> np.uint32(16)) & np.uint32(1))
        target[i] = np.uint32(0x7FC0) if value[i] != value[i] else rounded >> np.uint32(16)


@compiled
def backward(
    x: Words,
    g: Words,
    gx: Words,
    leaks: Any,
    rules: Rules,
    threshold: Floats,
    drop: Floats,
    width: int,
    units: Any,
) -> None:
    """Write ``gx = dL/dx [T, N]`` where ``g = dL/ds``, and into ``leaks [units]`` what each block adds to
    ``dL/dq``; the others are those of :func:`forward`."""
    steps = len(x)
    v, now, later, arriving, result = np.empty((5, BLOCK), np.float32)
    h, moved = np.empty((steps, BLOCK), np.float32), np.empty((steps, BLOCK), np.float32)
    total = np.empty(BLOCK, np.float64)
    in_bits, out_bits, g_bits = now.view(np.uint32), result.view(np.uint32), arriving.view(np.uint32)
    learned, rest = rules.leak == LEARNED, rules.rest
    keeps = np.float32(1) - rules.share if rules.leak != FREE else np.float32(1)
    gain = rules.share if rules.decay_input else np.float32(1)
    for unit in range(units[0], units[1]):
        n, at, of = _block(unit, width, len(threshold))
        reach, taken = threshold[of : of + n], drop[of : of + n]
        v[:n] = rest
        later[:n] = 0
        total[:n] = 0
        for t in range(steps):
            _load(x[t, at : at + n], in_bits)
            if learned:
                way = moved[t]
                for i in range(n):
                    way[i] = (now[i] if rules.decay_input else np.float32(0)) - (v[i] - rest)
            charged = h[t]
            _charge(rules, n, now, v, charged)
            _reset(rules, n, charged, reach, taken, v)
        for t in range(steps - 1, -1, -1):
            charged = h[t]
            _load(g[t, at : at + n], g_bits)
            if not rules.detach and rules.soft:
                for i in range(n):
                    arriving[i] -= later[i] * taken[i]
            elif not rules.detach:
                for i in range(n):
                    arriving[i] += later[i] * (rest - charged[i])
            for i in range(n):
                now[i] = charged[i] - reach[i]
            _slope(rules, n, now)
            if not rules.soft:
                for i in range(n):
                    later[i] = np.float32(0) if charged[i] >= reach[i] else later[i]
            for i in range(n):  # as many arrays as the compiler can tell apart
                now[i] = now[i] * arriving[i] + later[i]
                later[i] = now[i] * keeps
                result[i] = now[i] * gain
            if learned:
                way = moved[t]
                for i in range(n):
                    total[i] += np.float64(now[i]) * way[i]
            _store(gx[t, at : at + n], out_bits, result)
        if learned:
            leaks[unit] = total[:n].sum()
