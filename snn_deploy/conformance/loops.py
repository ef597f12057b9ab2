r"""NIR graphs stepped in float64 by NumPy, from the equations alone: what the referee holds readers against.

It shares no code with our simulators, and it can be told to err: :class:`Habits` has a field for each way in
which a reader may step a node, so that a wrong answer can be recognised.

NIR's equations leave open how a step is made, and every way that tends to them as dt -> 0 is right. With k
the share of the way to rest in one step, and q the share of the input, ``tau dv/dt = v_leak - v + r x`` is
``v + k (v_leak - v) + q r x``:

================ ======================= =============================
integrator       k                       q
================ ======================= =============================
euler            dt / tau                dt / tau
held             1 - exp(-dt / tau)      1 - exp(-dt / tau)
impulses         1 - exp(-dt / tau)      dt / tau
early impulses   1 - exp(-dt / tau)      dt / tau exp(-dt / tau)
================ ======================= =============================

In the last, an input comes before the leak of its step; of a CubaLIF that is the current only. Not open (our
choice): spikes leave in the step in which the membrane is above its threshold, the membrane sees the current
of its own step, and an edge that closes a loop carries the value of the step before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import nir
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Edge = tuple[str, str]
State = dict[str, Any]
Integrator = Literal["euler", "held", "impulses", "early impulses"]
Reset = Literal["zero", "subtract", "none", "zero-next", "subtract-next", "subtract-raised"]
INTEGRATORS: tuple[Integrator, ...] = ("euler", "held", "impulses", "early impulses")
SPIKING = (nir.IF, nir.LIF, nir.CubaLIF)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a reader steps what a file says; the defaults are NIR's.

    Attributes:
        dt: step in seconds.
        integrator: see the module text.
        start: where membranes start: at ``v_reset`` (integrators: ``v_leak``), ``v_leak`` or ``zero``.
        gain: ``stated`` by r and w_in; ``share``: these are taken for 1; ``one``: the input is added as is.
        leak: factor by which every membrane shrinks in a step, instead of its own.
        step_of_r: the step is taken from the neuron: tau / r (0) or tau / (1 + r) (1).
        at_threshold: a membrane at its threshold fires.
        reset: what a spike does, as in :mod:`snn_deploy.graph.semantics`.
        many: as many spikes as the membrane holds thresholds.
        bounded: membranes do not sink below minus their threshold.
        late: spikes leave one step late.
        membrane_first: the membrane sees the current of the step before.
        forgets: every step starts from the start.
    """

    dt: float
    integrator: Integrator = "euler"
    start: Literal["v_reset", "v_leak", "zero"] = "v_reset"
    gain: Literal["stated", "share", "one"] = "stated"
    leak: float | None = None
    step_of_r: int | None = None
    at_threshold: bool = False
    reset: Reset = "zero"
    many: bool = False
    bounded: bool = False
    late: bool = False
    membrane_first: bool = False
    forgets: bool = False


def run(graph: nir.NIRGraph, x: Array, habits: Habits, feedback: tuple[Edge, ...] = ()) -> dict[str, Array]:
    """What every node of a flat ``graph`` gives for ``x [T, B, *shape]``, by name: ``[T, B, ...]``.

    Args:
        graph: nodes and edges; several edges into a node add.
        x: input.
        habits: how to step it.
        feedback: the edges that carry the value of the step before.
    """
    order = _order(graph, feedback)
    states: dict[str, State] = {name: {} for name in order}
    previous = {a: np.zeros((x.shape[1], *given(graph.nodes[a]))) for a, _ in feedback}
    found: dict[str, list[Array]] = {name: [] for name in order}
    sources = {
        name: (
            [a for a, b in graph.edges if b == name and (a, b) not in feedback],
            [a for a, b in feedback if b == name],
        )
        for name in order
    }
    for frame in x:
        if habits.forgets:
            states = {name: {} for name in order}
        now: dict[str, Array] = {}
        for name in order:
            forward, back = sources[name]
            node = graph.nodes[name]
            arriving = [*(now[a] for a in forward), *(previous[a] for a in back)]
            entering = frame if isinstance(node, nir.Input) else sum(arriving)
            now[name] = _out(node, entering, states[name], habits)
            found[name].append(now[name])
        previous = now
    return {name: np.stack(values) for name, values in found.items()}


def given(node: Any) -> tuple[int, ...]:
    """Shape of what a neuron or a dense layer gives."""
    return tuple(node.v_threshold.shape) if isinstance(node, SPIKING) else (len(node.weight),)


def flat(graph: nir.NIRGraph) -> nir.NIRGraph:
    """``graph`` with the nodes of nested graphs as ``outer.inner``; their doors hand on."""
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    nested = {name for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
    for name, node in graph.nodes.items():
        if name not in nested:
            nodes[name] = node
            continue
        inner = flat(node)
        doors = (nir.Input, nir.Output)
        nodes |= {
            f"{name}.{key}": nir.Scale(np.ones(1)) if isinstance(value, doors) else value
            for key, value in inner.nodes.items()
        }
        edges += [(f"{name}.{a}", f"{name}.{b}") for a, b in inner.edges]
    edges += [
        (f"{a}.output" if a in nested else a, f"{b}.input" if b in nested else b) for a, b in graph.edges
    ]
    return nir.NIRGraph(nodes, edges, type_check=False)


def _order(graph: nir.NIRGraph, feedback: tuple[Edge, ...]) -> list[str]:
    left = list(graph.nodes)
    order: list[str] = []
    while left:
        ready = [
            name
            for name in left
            if all(a in order for a, b in graph.edges if b == name and (a, b) not in feedback)
        ]
        if not ready:
            raise ValueError("a loop without an edge to the step before")
        order += ready
        left = [name for name in left if name not in ready]
    return order


def _out(node: nir.NIRNode, x: Any, state: State, habits: Habits) -> Array:
    known = next((made for kind, made in _NODES.items() if isinstance(node, kind)), None)
    if known is not None:
        return np.asarray(known(node, np.asarray(x, np.float64), state, habits))
    return np.asarray(x, np.float64)


def _affine(node: Any, x: Array, _state: State, _habits: Habits) -> Array:
    return x @ np.asarray(node.weight, np.float64).T + getattr(node, "bias", 0.0)


def _flatten(node: Any, x: Array, _state: State, _habits: Habits) -> Array:
    rank = x.ndim - 1
    first, last = node.start_dim % rank + 1, node.end_dim % rank + 1
    return x.reshape(*x.shape[:first], -1, *x.shape[last + 1 :])


def _delay(node: Any, x: Array, state: State, habits: Habits) -> Array:
    past = state.setdefault("past", [])
    past.append(x)
    late = np.rint(np.asarray(node.delay) / habits.dt).astype(int)
    out = np.zeros_like(x)
    for place in np.ndindex(late.shape):
        if late[place] < len(past):
            out[(slice(None), *place)] = past[-1 - late[place]][(slice(None), *place)]
    return out


def _pair(value: Any, rank: int) -> tuple[int, ...]:
    return tuple(int(v) for v in np.broadcast_to(np.asarray(value), (rank,)))


def _windows(x: Array, kernel: tuple[int, ...], node: Any, dilation: tuple[int, ...]) -> dict[Any, Array]:
    """For every tap of ``kernel`` the values it meets: ``[B, C, *places]``."""
    rank = len(kernel)
    stride = _pair(node.stride, rank)
    named = {"same": [d * (k - 1) // 2 for k, d in zip(kernel, dilation, strict=True)], "valid": 0}
    padding = _pair(named[node.padding] if isinstance(node.padding, str) else node.padding, rank)
    padded = np.pad(x, [(0, 0), (0, 0), *((p, p) for p in padding)])
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    places = [(n - r) // s + 1 for n, r, s in zip(padded.shape[2:], reach, stride, strict=True)]
    return {
        tap: padded[
            (
                slice(None),
                slice(None),
                *(
                    slice(t * d, t * d + (p - 1) * s + 1, s)
                    for t, d, p, s in zip(tap, dilation, places, stride, strict=True)
                ),
            )
        ]
        for tap in np.ndindex(kernel)
    }


def _convolve(node: Any, x: Array, _state: State, _habits: Habits) -> Array:
    weight = np.asarray(node.weight, np.float64)
    kernel = weight.shape[2:]
    groups = int(node.groups)
    parts = []
    windows = _windows(x, kernel, node, _pair(node.dilation, len(kernel)))
    rows, columns = len(weight) // groups, weight.shape[1]
    for group in range(groups):
        own = weight[group * rows : (group + 1) * rows]
        channels = slice(group * columns, (group + 1) * columns)
        parts.append(
            sum(
                np.einsum("oc,bc...->bo...", own[(slice(None), slice(None), *tap)], values[:, channels])
                for tap, values in windows.items()
            )
        )
    bias = np.asarray(node.bias, np.float64).reshape(-1, *(1,) * len(kernel))
    return np.concatenate(parts, axis=1) + bias


def _pool(node: Any, x: Array, _state: State, _habits: Habits) -> Array:
    kernel = _pair(node.kernel_size, 2)
    total = np.asarray(sum(_windows(x, kernel, node, (1, 1)).values()))
    return total / math.prod(kernel) if isinstance(node, nir.AvgPool2d) else total


def _shares(tau: Array, habits: Habits, *, behind_current: bool = False) -> tuple[Array, Array]:
    """k and q of the module text; the input of a membrane behind a current is never early."""
    rate = habits.dt / tau
    if habits.integrator == "euler":
        if (rate > 1 + 1e-6).any():
            raise ValueError("an Euler step beyond the rest")
        return rate, rate
    decay = np.exp(-rate)
    if habits.integrator == "held":
        return 1 - decay, 1 - decay
    return 1 - decay, rate * decay if habits.integrator == "early impulses" and not behind_current else rate


def _gain(share: Array, factor: Array, habits: Habits) -> Array:
    return {"stated": share * factor, "share": share, "one": np.ones_like(share)}[habits.gain]


def _neuron(node: Any, x: Array, state: State, habits: Habits) -> Array:
    if "p" not in state:
        values = vars(node).items()
        state["p"] = {name: np.asarray(value, np.float64) for name, value in values if name in _PARAMETERS}
    p = state["p"]
    tau = p.get("tau", p.get("tau_mem"))
    if habits.step_of_r is not None and tau is not None:
        habits = replace(habits, dt=float((tau / (habits.step_of_r + p["r"])).min()))
    v = state.get("v", np.broadcast_to(_start(p, habits), x.shape))
    entering = _current(p, x, state, habits) if "tau_syn" in p else x
    if tau is None:
        k, gain = np.zeros(()), habits.dt * p["r"] if habits.gain == "stated" else np.ones(())
    else:
        k, q = _shares(tau, habits, behind_current="tau_syn" in p)
        gain = _gain(q, p["r"], habits)
    if habits.leak is not None:
        k = np.asarray(1 - habits.leak)
    v = v + k * (p.get("v_leak", 0.0) - v) + gain * entering
    if not isinstance(node, SPIKING):
        state["v"] = v
        return np.asarray(v)
    return _fire(v, p, state, habits)


def _current(p: Mapping[str, Array], x: Array, state: State, habits: Habits) -> Array:
    before = state.get("i", np.zeros(x.shape))
    k, q = _shares(p["tau_syn"], habits)
    state["i"] = before - k * before + _gain(q, p["w_in"], habits) * x
    return np.asarray(before if habits.membrane_first else state["i"])


def _fire(v: Array, p: Mapping[str, Array], state: State, habits: Habits) -> Array:
    threshold, v_reset = p["v_threshold"], p["v_reset"]
    drop = threshold - v_reset
    over = state.get("over", np.zeros(v.shape))
    if habits.reset == "subtract-raised":
        threshold = threshold + drop * (state.get("v", np.zeros(v.shape)) > threshold)
    if habits.reset == "subtract-next":
        v = v - over * drop
    elif habits.reset == "zero-next":
        v = np.where(over > 0, v_reset, v)
    above = v >= threshold if habits.at_threshold else v > threshold
    spikes = above.astype(np.float64)
    if habits.many:
        held = np.floor(v / threshold) if habits.at_threshold else np.ceil(v / threshold) - 1
        spikes = np.maximum(held, 0.0)
    if habits.reset == "zero":
        v = np.where(above, v_reset, v)
    elif habits.reset in {"subtract", "subtract-raised"}:
        v = v - spikes * drop
    if habits.bounded:
        v = np.maximum(v, -threshold)
    state["v"], state["over"] = v, spikes
    late, state["late"] = state.get("late", np.zeros(v.shape)), spikes
    return np.asarray(late if habits.late else spikes)


def _start(p: Mapping[str, Array], habits: Habits) -> Array:
    rest, reset = p.get("v_leak", np.zeros(())), p.get("v_reset")
    if habits.start == "zero":
        return np.zeros(())
    return rest if habits.start == "v_leak" or reset is None else reset


_PARAMETERS = {"tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"}
_NODES: dict[Any, Callable[[Any, Array, State, Habits], Array]] = {
    (nir.Affine, nir.Linear): _affine,
    nir.Scale: lambda node, x, _state, _habits: x * np.asarray(node.scale, np.float64),
    (nir.Conv1d, nir.Conv2d): _convolve,
    (nir.AvgPool2d, nir.SumPool2d): _pool,
    nir.Flatten: _flatten,
    nir.Delay: _delay,
    nir.Threshold: lambda node, x, _state, habits: (
        (x >= node.threshold) if habits.at_threshold else (x > node.threshold)
    ).astype(np.float64),
    (nir.I, nir.LI, nir.CubaLI, *SPIKING): _neuron,
}
