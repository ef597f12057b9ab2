"""Golden rows about the graph itself: depth, sums, branches, loops, names, batch axes; and the whole set."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import nir
import numpy as np

from snn_deploy.conformance.golden import ANY, CARRIERS, Golden, chain, dense, pulses
from snn_deploy.conformance.golden_layers import convolutions, flattening, pooling, weights
from snn_deploy.conformance.golden_neurons import firing, neurons, time
from snn_deploy.conformance.loops import Edge

IN = dense(((0.75, 0.375, -0.5), (0.625, -0.25, 0.875)))
OTHER = dense(((-0.25, 0.5, 0.625), (0.875, 0.25, -0.125)))
BETWEEN = dense(((0.75, 0.625), (-0.375, 0.875)))
BACK = dense(((0.25, 0.5), (0.375, -0.625)))
Nodes = dict[str, nir.NIRNode]


def _row(
    name: str,
    tells: str,
    nodes: Callable[[Callable[[], nir.NIRNode]], Nodes],
    *,
    edges: Sequence[Edge] = (),
    more: Sequence[Edge] = (),
    feedback: tuple[Edge, ...] = (),
    carriers: tuple[str, ...] = ANY,
) -> Golden:
    def graph(dt: float, carrier: str) -> nir.NIRGraph:
        return chain(nodes(lambda: CARRIERS[carrier](dt, 2)), (3,), (2,), edges=edges, more=more)

    return Golden(name, "structure", tells, graph, pulses(3), feedback, carriers)


def structure() -> list[Golden]:
    """One way of joining nodes each."""
    deep = ["input", "w1", "n1", "w2", "n2", "output"]
    around = [("input", "w1"), ("w1", "n1"), ("n1", "w2"), ("w2", "n2"), ("n2", "output")]
    both = [("input", "a"), ("input", "b")]
    short, long = ("input", "b"), [("input", "a"), ("a", "n")]
    ends = [("n", "c"), ("c", "m"), ("m", "output")]
    return [
        _row("two neurons in a row", "depth costs no step",
             lambda n: {"w1": IN, "n1": n(), "w2": BETWEEN, "n2": n()}),
        _row("sum into a neuron", "edges into a node add", lambda n: {"a": IN, "b": OTHER, "n": n()},
             edges=[*both, ("a", "n"), ("b", "n"), ("n", "output")]),
        _row("sum into a layer", "edges into a layer add", lambda n: {"a": IN, "b": OTHER, "c": BETWEEN},
             edges=[*both, ("a", "c"), ("b", "c"), ("c", "output")], carriers=()),
        _row("sum at the output", "edges into the output add", lambda n: {"a": IN, "b": OTHER},
             edges=[*both, ("a", "output"), ("b", "output")], carriers=()),
        _row("skip edge over a neuron", "both paths meet in the same step",
             lambda n: {"w1": IN, "n1": n(), "w2": BETWEEN, "n2": n()}, edges=around, more=[("n1", "n2")]),
        _row("branches, the long one first", "the order of edges says nothing",
             lambda n: {"a": IN, "n": n(), "c": BETWEEN, "b": OTHER, "m": n()},
             edges=[*long, *ends, short, ("b", "m")]),
        _row("branches, the short one first", "the order of edges says nothing",
             lambda n: {"b": OTHER, "a": IN, "n": n(), "c": BETWEEN, "m": n()},
             edges=[short, ("b", "m"), *long, *ends]),
        _row("listed backwards", "nor does the order of nodes",
             lambda n: dict(reversed({"w1": IN, "n1": n(), "w2": BETWEEN, "n2": n()}.items())),
             edges=[*reversed(list(itertools.pairwise(deep)))]),
        _row("loop through weights", "spikes come back one step later",
             lambda n: {"w": IN, "n": n(), "back": BACK},
             edges=[("input", "w"), ("w", "n"), ("n", "output"), ("n", "back"), ("back", "n")],
             feedback=(("n", "back"),)),
        _row("names", "digits, dots and words of Python are names",
             lambda n: {"0": IN, "1.lif": n(), "lambda": BETWEEN, "while.x": n()}),
        _nested(),
        _batch_axis(),
    ]  # fmt: skip


def _nested() -> Golden:
    def graph(dt: float, carrier: str) -> nir.NIRGraph:
        inner = chain({"w": IN, "n": CARRIERS[carrier](dt, 2)}, (3,), (2,))
        return chain({"block": inner, "w2": BETWEEN, "n2": CARRIERS[carrier](dt, 2)}, (3,), (2,))

    return Golden("nested graph", "structure", "a node is a graph", graph, pulses(3), carriers=ANY)


def _batch_axis() -> Golden:
    def graph(dt: float, carrier: str) -> nir.NIRGraph:
        made = chain({"w": IN, "n": CARRIERS[carrier](dt, 2)}, (3,), (2,))
        made.nodes["input"] = nir.Input({"input": np.array([1, 3])})
        made.nodes["output"] = nir.Output({"output": np.array([1, 2])})
        return made

    tells = "doors of shape (1, N), as exporters write"
    return Golden("a batch axis", "structure", tells, graph, pulses(3), carriers=ANY)


def golden_set() -> list[Golden]:
    """All rows; the same ones every time."""
    return [
        *neurons(),
        *firing(),
        *time(),
        *weights(),
        *convolutions(),
        *pooling(),
        *flattening(),
        *structure(),
    ]
