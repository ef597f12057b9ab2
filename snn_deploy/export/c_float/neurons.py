"""Neurons of a float32 C program: parameters, states and the statements of one step.

The statements are those of :mod:`snn_deploy.simulate.neurons` and :mod:`~snn_deploy.simulate.firing`, on the
element ``i``: input ``x``, current ``u``, membrane ``v``, output ``y[i]``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.export.c.tables import Table, table
from snn_deploy.export.c_float.parts import Parameter, Shape, State, inside, number, numbers
from snn_deploy.graph.dynamics import Fire, Membrane, Neuron, Synaptic

LATE = ("zero-next", "subtract-next", "subtract-raised")


def element(own: str, name: str, value: npt.NDArray[Any], shape: Shape, *, whole: bool = False) -> Parameter:
    """A parameter that broadcasts to ``shape``: a number, a table per channel, or one per element."""
    full = np.broadcast_to(value, shape)
    flat = inside(full)
    if (flat == flat[0]).all():
        return Parameter(str(int(flat[0])) if whole else number(flat[0]))
    write = table if whole else numbers
    rows = flat.reshape(-1, shape[0]) if len(shape) > 1 else flat[None]
    if len(shape) > 1 and (rows == rows[0]).all():
        return Parameter(f"{own}_{name}[c]", write(rows[0]))
    return Parameter(f"{own}_{name}[i]", write(flat))


def neuron(
    own: str, made: Neuron, shape: Shape
) -> tuple[dict[str, Table], tuple[State, ...], dict[str, Any]]:
    """Tables, states and statements of one layer."""
    lines = _Lines(own, shape)
    start = lines.parameter("start", made.start)
    states = [State("v", math.prod(shape), start)]
    synaptic = isinstance(made.charge, Synaptic)
    if synaptic:
        states.append(State("u", math.prod(shape)))
    if made.fire is not None and made.fire.reset in LATE:
        threshold = lines.parameter("threshold", made.fire.threshold)
        lines.say(f"const int owed = v {made.fire.fires_at} {threshold};")
    if isinstance(made.charge, Synaptic):
        _synaptic(lines, made.charge)
    else:
        _membrane(lines, made.charge)
    if made.fire is None:
        lines.say("y[i] = v;")
    else:
        _fire(lines, made.fire)
    return lines.tables, tuple(states), {"statements": lines.text, "synaptic": synaptic}


class _Lines:
    """Statements, and the tables of the parameters they name."""

    def __init__(self, own: str, shape: Shape) -> None:
        self._own, self._shape = own, shape
        self.text: list[str] = []
        self.tables: dict[str, Table] = {}

    def say(self, line: str) -> None:
        self.text.append(line)

    def parameter(self, name: str, value: npt.NDArray[Any] | float) -> str:
        found = element(self._own, name, np.asarray(value), self._shape)
        if found.table is not None:
            self.tables[name] = found.table
        return found.text

    def scaled(self, name: str, value: npt.NDArray[Any] | None, what: str) -> str:
        """``what``, times a parameter where there is one."""
        return what if value is None else f"{what} * {self.parameter(name, value)}"


def _membrane(lines: _Lines, membrane: Membrane) -> None:
    gained = lines.scaled("gain", membrane.gain, "x")
    if membrane.leak is None:
        lines.say(f"v = v + {gained};")
        return
    rest = "v" if membrane.v_leak is None else f"(v - {lines.parameter('rest', membrane.v_leak)})"
    rate = lines.parameter("rate", membrane.leak.value)
    by = f"/ {rate}" if membrane.leak.divides else f"* {rate}"
    if membrane.input_decays:
        lines.say(f"v = v + ({gained} - {rest}) {by};")
    else:
        lines.say(f"v = v - {rest} {by};")
        lines.say("v = v + x;")


def _synaptic(lines: _Lines, synaptic: Synaptic) -> None:
    gained = lines.scaled("u_gain", synaptic.i_gain, "x")
    lines.say(f"u = u * {lines.parameter('keep_u', synaptic.i_decay)} + {gained};")
    gained = lines.scaled("v_gain", synaptic.v_gain, "u")
    lines.say(f"v = v * {lines.parameter('keep_v', synaptic.v_decay)} + {gained};")
    if synaptic.v_offset is not None:
        lines.say(f"v = v + {lines.parameter('offset', synaptic.v_offset)};")


def _fire(lines: _Lines, fire: Fire) -> None:
    threshold = lines.parameter("threshold", fire.threshold)
    drop = lines.parameter("drop", fire.threshold - fire.v_reset) if fire.reset.startswith("subtract") else ""
    deciding = "v"
    if fire.reset == "zero-next":
        lines.say(f"v = owed ? {lines.parameter('reset', fire.v_reset)} : v;")
    elif fire.reset == "subtract-next":
        lines.say(f"v = owed ? v - {drop} : v;")
    elif fire.reset == "subtract-raised":
        deciding = f"(owed ? v - {drop} : v)"
    if fire.several:
        lines.say(f"const float s = {_several(threshold, fire)};")
    else:
        lines.say(f"const float s = {deciding} {fire.fires_at} {threshold} ? 1.0f : 0.0f;")
    if fire.reset in {"subtract", "subtract-raised"}:
        lines.say(f"v = v - s * {drop};")
    elif fire.reset == "zero":
        lines.say(f"v = s > 0.0f ? {lines.parameter('reset', fire.v_reset)} : v;")
    if fire.v_min is not None:
        bound = number(fire.v_min)
        lines.say(f"v = v < {bound} ? {bound} : v;")
    lines.say("y[i] = s;")


def _several(threshold: str, fire: Fire) -> str:
    below = "whole_below" if fire.fires_at == ">=" else "whole_below_strictly"
    half = " + 0.5f" if fire.spikes == "rounded" else ""
    count = f"{below}(v / {threshold}{half})"
    return count if fire.levels is None else f"at_most({count}, {number(float(fire.levels))})"
