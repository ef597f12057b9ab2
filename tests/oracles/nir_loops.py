"""Brute force: a flat NIR graph walked element by element in plain Python, in float64.

Written from the equations of the nodes; shares no code with the package.
"""

from __future__ import annotations

import itertools
import math

import nir
import numpy as np


def simulate(
    graph: nir.NIRGraph, x: np.ndarray, *, dt: float, reset: str, feedback=frozenset()
) -> np.ndarray:
    """Output ``[T, B, ...]`` for ``x [T, B, ...]``: forward Euler, spikes at ``v > v_threshold``."""
    nodes, edges = _without_nesting(graph)
    order: list[str] = []
    while len(order) < len(nodes):
        for name in nodes:
            waits = [a for a, b in edges if b == name and (a, b) not in feedback]
            if name not in order and all(a in order for a in waits):
                order.append(name)
    outputs = []
    for sample in np.moveaxis(x.astype(float), 1, 0):
        states: dict[str, dict] = {name: {} for name in nodes}
        previous = {a: np.zeros(nodes[a].v_threshold.shape) for a, _ in feedback}
        steps = []
        for frame in sample:
            now: dict[str, np.ndarray] = {}
            for name in order:
                arriving = [now[a] for a, b in edges if b == name and (a, b) not in feedback]
                arriving += [previous[a] for a, b in edges if b == name and (a, b) in feedback]
                entering = frame if isinstance(nodes[name], nir.Input) else sum(arriving)
                now[name] = _node(nodes[name], entering, states[name], dt, reset)
            previous = now
            steps.append(next(now[name] for name in order if isinstance(nodes[name], nir.Output)))
        outputs.append(np.stack(steps))
    return np.stack(outputs, axis=1)


def _without_nesting(graph: nir.NIRGraph):
    """Inner nodes as ``outer/inner``; the inner Input and Output stay, as nodes that hand on."""
    nodes, edges = {}, []
    for name, node in graph.nodes.items():
        if isinstance(node, nir.NIRGraph):
            inner, joined = _without_nesting(node)
            nodes |= {f"{name}/{key}": _hand_on(value) for key, value in inner.items()}
            edges += [(f"{name}/{a}", f"{name}/{b}") for a, b in joined]
        else:
            nodes[name] = node
    nested = {name for name, node in graph.nodes.items() if isinstance(node, nir.NIRGraph)}
    edges += [
        (f"{a}/output" if a in nested else a, f"{b}/input" if b in nested else b) for a, b in graph.edges
    ]
    return nodes, edges


def _hand_on(node: nir.NIRNode) -> nir.NIRNode | None:
    return None if isinstance(node, nir.Input | nir.Output) else node


def _node(node: nir.NIRNode | None, x: np.ndarray, state: dict, dt: float, reset: str) -> np.ndarray:
    kind = type(node).__name__
    if node is None or kind in ("Input", "Output"):
        return x
    if kind in ("Affine", "Linear"):
        rows = [sum(float(w) * v for w, v in zip(row, x, strict=True)) for row in node.weight]
        return np.array(rows) + (node.bias if kind == "Affine" else 0.0)
    if kind == "Scale":
        return np.array([s * v for s, v in zip(node.scale, x, strict=True)])
    if kind in ("Conv1d", "Conv2d"):
        return _convolution(node, x)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pool(node, x, kind == "AvgPool2d")
    if kind == "Flatten":
        return np.array([x[place] for place in itertools.product(*map(range, x.shape))])
    if kind == "Delay":
        state.setdefault("past", []).append(x)
        past = state["past"]
        late = [round(float(d) / dt) for d in node.delay]
        return np.array([past[-1 - k][i] if k < len(past) else 0.0 for i, k in enumerate(late)])
    out = np.zeros(x.shape)
    for place in itertools.product(*map(range, x.shape)):
        out[place] = _neuron(node, kind, place, x[place], state, dt, reset)
    return out


def _neuron(node, kind: str, place, x: float, state: dict, dt: float, reset: str) -> float:
    if kind == "Threshold":
        return float(x > node.threshold[place])
    start = node.v_reset[place] if hasattr(node, "v_reset") else getattr(node, "v_leak", {place: 0.0})[place]
    v = state.get(("v", place), float(start))
    if kind in ("I", "IF"):
        v += dt * node.r[place] * x
    elif kind in ("LI", "LIF"):
        v += dt / node.tau[place] * (node.v_leak[place] - v + node.r[place] * x)
    else:
        i = state.get(("i", place), 0.0)
        i += dt / node.tau_syn[place] * (node.w_in[place] * x - i)
        state["i", place] = i
        v += dt / node.tau_mem[place] * (node.v_leak[place] - v + node.r[place] * i)
    spike = hasattr(node, "v_threshold") and v > node.v_threshold[place]
    if spike:
        state["v", place] = (
            float(node.v_reset[place])
            if reset == "zero"
            else v - (node.v_threshold[place] - node.v_reset[place])
        )
    else:
        state["v", place] = v
    return float(spike) if hasattr(node, "v_threshold") else v


def _convolution(node, x: np.ndarray) -> np.ndarray:
    rank = x.ndim - 1
    stride, padding, dilation = (
        np.broadcast_to(np.asarray(getattr(node, name)), (rank,))
        for name in ("stride", "padding", "dilation")
    )
    kernel = node.weight.shape[2:]
    size = [
        math.floor((n + 2 * p - d * (k - 1) - 1) / s) + 1
        for n, p, d, k, s in zip(x.shape[1:], padding, dilation, kernel, stride, strict=True)
    ]
    rows, columns = len(node.weight) // int(node.groups), node.weight.shape[1]
    out = np.zeros((len(node.weight), *size))
    for place in itertools.product(*map(range, out.shape)):
        total = float(node.bias[place[0]])
        for tap in itertools.product(range(columns), *map(range, kernel)):
            at = [
                o * s + k * d - p
                for o, s, k, d, p in zip(place[1:], stride, tap[1:], dilation, padding, strict=True)
            ]
            if all(0 <= a < n for a, n in zip(at, x.shape[1:], strict=True)):
                channel = place[0] // rows * columns + tap[0]
                total += float(node.weight[(place[0], *tap)]) * x[(channel, *at)]
        out[place] = total
    return out


def _pool(node, x: np.ndarray, average: bool) -> np.ndarray:
    (kh, kw), (sh, sw), (ph, pw) = node.kernel_size, node.stride, node.padding
    height, width = (x.shape[1] + 2 * ph - kh) // sh + 1, (x.shape[2] + 2 * pw - kw) // sw + 1
    out = np.zeros((x.shape[0], height, width))
    for c, i, j in itertools.product(*map(range, out.shape)):
        for a, b in itertools.product(range(kh), range(kw)):
            row, column = i * sh + a - ph, j * sw + b - pw
            if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                out[c, i, j] += x[c, row, column] / (kh * kw if average else 1)
    return out
