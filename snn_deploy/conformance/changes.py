"""Ways of getting a graph wrong, each a change of its meaning: a wrong answer is recognised by trying them.

What is tried knows nothing of any reader: every node is left out once, every edge, every bias; every habit of
:class:`~snn_deploy.conformance.loops.Habits` is taken on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import nir
import numpy as np

from snn_deploy.conformance.loops import Array, Edge, Habits, given, run

OTHER_STEPS = (1e-4, 1e-3, 1.0)
"""Steps that readers are known to take unasked, in seconds."""
CONSTANT = 1e-4
LEAKS = tuple(n / 100 for n in range(99, -1, -1))


@dataclass(frozen=True)
class Meaning:
    """A flat graph, how it is stepped, and which node's values are its answer."""

    graph: nir.NIRGraph
    habits: Habits
    feedback: tuple[Edge, ...] = ()
    output: str = "output"

    def answer(self, x: Array) -> Array | None:
        """What it gives for ``x``, or None where shapes do not fit."""
        try:
            return run(self.graph, x, self.habits, self.feedback)[self.output]
        except (ValueError, IndexError, KeyError, ZeroDivisionError):
            return None


@dataclass(frozen=True)
class Change:
    """``text`` ends the sentence "as if ..."; ``apply`` gives None where it changes nothing. ``habit``: the
    field of the habits that it sets; two that set one do not go together."""

    text: str
    apply: Callable[[Meaning], Meaning | None]
    habit: str = ""

    def on(self, meaning: Meaning) -> Meaning | None:
        """``meaning`` changed; None where nothing changes, or another change took away what it is about."""
        try:
            return self.apply(meaning)
        except (KeyError, ValueError):
            return None


def _habit(text: str, **values: Any) -> Change:
    (name,) = values
    return Change(text, lambda meaning: replace(meaning, habits=replace(meaning.habits, **values)), name)


STEPS = tuple(_habit(f"the step were {dt:g} s", dt=dt) for dt in OTHER_STEPS)
RARE = (
    _habit("a spike subtracted the threshold one step later", reset="subtract-next"),
    _habit("a spike subtracted the threshold, which then stood higher for a step", reset="subtract-raised"),
    _habit("a spike reset the membrane one step later", reset="zero-next"),
    _habit("the leak were total", leak=0.0),
    _habit("the step were tau / r", step_of_r=0),
    _habit("the step were tau / (1 + r)", step_of_r=1),
    _habit("the state were lost after every step", forgets=True),
    *STEPS,
)
"""Where common habits explain an answer as well, these are not named."""

COMMON = (
    _habit("spikes came a step late", late=True),
    _habit("a spike subtracted the threshold", reset="subtract"),
    _habit("a spike reset nothing", reset="none"),
    _habit("a membrane at its threshold fired", at_threshold=True),
    _habit("a neuron gave several spikes in a step", many=True),
    _habit("membranes had minus their threshold as lower bound", bounded=True),
    _habit("the input were added unscaled", gain="one"),
    _habit("r and w_in were 1", gain="share"),
    _habit("the membrane saw the current of the step before", membrane_first=True),
)
HABITS = (*COMMON, *RARE)
"""What a reader does to all neurons alike; found in one row, it is tried in the others."""


def of_graph(meaning: Meaning) -> Iterator[Change]:
    """The ways of getting this graph wrong."""
    for name, node in meaning.graph.nodes.items():
        if isinstance(node, nir.Input | nir.Output):
            continue
        yield from _of_node(name, node)
        yield Change(f"'{name}' were not there", partial(_without, name=name))
        yield Change(f"'{name}' were the output", partial(_ending, name=name))
    if meaning.feedback:
        yield Change("what comes back came one step later still", _later)
    for edge in meaning.graph.edges:
        yield Change(f"the edge {edge[0]} -> {edge[1]} were lost", partial(_cut, edge=edge))


_FIELDS: dict[type[nir.NIRNode], tuple[tuple[str, str, Any], ...]] = {
    nir.Affine: (("bias", "the biases of '{}' were lost", 0.0),),
    nir.Conv1d: (("bias", "the biases of '{}' were lost", 0.0),),
    nir.Conv2d: (
        ("bias", "the biases of '{}' were lost", 0.0),
        ("stride", "the stride of '{}' were 1", (1, 1)),
        ("padding", "the padding of '{}' were 0", (0, 0)),
        ("dilation", "the dilation of '{}' were 1", (1, 1)),
    ),
    nir.SumPool2d: (("padding", "the padding of '{}' were 0", (0, 0)),),
    nir.AvgPool2d: (("padding", "the padding of '{}' were 0", (0, 0)),),
    nir.Delay: (("delay", "'{}' did not delay", 0.0),),
    nir.LIF: (("v_leak", "v_leak were 0", 0.0), ("v_reset", "v_reset were 0", 0.0)),
    nir.IF: (("v_reset", "v_reset were 0", 0.0),),
}


def _of_node(name: str, node: Any) -> Iterator[Change]:
    for field, text, value in _FIELDS.get(type(node), ()):
        yield Change(text.format(name), _setting(name, field, value))
    if isinstance(node, nir.LIF):
        for field in ("tau", "r", "v_threshold"):
            yield Change(f"all neurons had the first one's {field}", _setting(name, field, None))
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        other = nir.AvgPool2d if isinstance(node, nir.SumPool2d) else nir.SumPool2d
        made = other(node.kernel_size, node.stride, node.padding)
        yield Change(f"'{name}' were {other.__name__}", lambda m: _with(m, name, made))
    if isinstance(node, nir.Affine | nir.Linear):
        yield Change(f"the matrix of '{name}' were transposed", lambda m: _transposed(m, name))
    if isinstance(node, nir.Flatten):
        yield Change("channels came last", lambda m: _channels_last(m, name))


def leaky(meaning: Meaning, fits: Callable[[Meaning], bool]) -> str | None:
    """``membranes shrank to 0.88 to 0.92 in a step`` where some such factor explains the answer."""
    found = [leak for leak in LEAKS if fits(replace(meaning, habits=replace(meaning.habits, leak=leak)))]
    if not found or found[0] == found[-1] == 0.0:
        return None
    span = f"{found[-1]:g}" if len(found) == 1 else f"{found[-1]:g} to {found[0]:g}"
    return f"it leaked: membranes kept {span} of their value in a step"


def shifted(meaning: Meaning, x: Array, answer: Array) -> str | None:
    """Where biases were lost and every output is off by a constant: what a bias of another's is like."""
    nodes = {name: copy(node) for name, node in meaning.graph.nodes.items()}
    biased = [name for name, node in nodes.items() if isinstance(node, nir.Affine)]
    for name in biased:
        nodes[name].bias = np.zeros_like(nodes[name].bias)
    found = replace(meaning, graph=nir.NIRGraph(nodes, meaning.graph.edges, type_check=False)).answer(x)
    if found is None or found.shape != answer.shape or not biased:
        return None
    if np.ptp(answer - found, axis=(0, 1)).max() > CONSTANT:
        return None
    names = " and ".join(f"'{name}'" for name in biased)
    return f"the biases of {names} were lost, with other constants in their place"


def _with(meaning: Meaning, name: str, node: nir.NIRNode) -> Meaning:
    nodes = {**meaning.graph.nodes, name: node}
    return replace(meaning, graph=nir.NIRGraph(nodes, meaning.graph.edges, type_check=False))


def _setting(name: str, field: str, value: Any) -> Callable[[Meaning], Meaning | None]:
    def apply(meaning: Meaning) -> Meaning | None:
        node = copy(meaning.graph.nodes[name])
        before = getattr(node, field)
        if isinstance(value, tuple):
            after: Any = value
        else:
            after = np.full_like(before, np.asarray(before).flat[0] if value is None else value)
        if np.array_equal(np.broadcast_to(before, np.shape(after)), after):
            return None
        setattr(node, field, after)
        return _with(meaning, name, node)

    return apply


def _without(meaning: Meaning, name: str) -> Meaning | None:
    edges = meaning.graph.edges
    before, after = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
    left = [edge for edge in edges if name not in edge]
    joined = [(a, b) for a in before for b in after if a != b]
    nodes = {key: node for key, node in meaning.graph.nodes.items() if key != name}
    feedback = tuple(edge for edge in meaning.feedback if name not in edge)
    return replace(meaning, graph=nir.NIRGraph(nodes, [*left, *joined], type_check=False), feedback=feedback)


def _ending(meaning: Meaning, name: str) -> Meaning:
    """``name`` as output; in a loop it follows the value of its own step."""
    back = [a for a, b in meaning.feedback if b == name]
    if not back:
        return replace(meaning, output=name)
    turned = [(name, b) for a, b in meaning.graph.edges if a == name]
    kept = tuple(edge for edge in meaning.feedback if edge[1] != name)
    return replace(meaning, output=name, feedback=(*kept, *turned))


def _cut(meaning: Meaning, edge: Edge) -> Meaning | None:
    edges = [e for e in meaning.graph.edges if e != edge]
    if not any(b == edge[1] for _, b in edges):
        return None
    feedback = tuple(e for e in meaning.feedback if e != edge)
    graph = nir.NIRGraph(meaning.graph.nodes, edges, type_check=False)
    return replace(meaning, graph=graph, feedback=feedback)


def _later(meaning: Meaning) -> Meaning:
    """The edges of a loop through a delay of one step."""
    nodes, edges, feedback = dict(meaning.graph.nodes), list(meaning.graph.edges), []
    for source, target in meaning.feedback:
        name = f"{source}, later"
        nodes[name] = nir.Delay(np.full(given(nodes[source]), meaning.habits.dt))
        edges.remove((source, target))
        edges += [(source, name), (name, target)]
        feedback.append((source, name))
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    return replace(meaning, graph=graph, feedback=tuple(feedback))


def _transposed(meaning: Meaning, name: str) -> Meaning | None:
    node = copy(meaning.graph.nodes[name])
    if node.weight.shape[0] != node.weight.shape[1]:
        return None
    node.weight = node.weight.T
    return _with(meaning, name, node)


def _channels_last(meaning: Meaning, name: str) -> Meaning | None:
    """The columns behind a Flatten meet an image of (H, W, C)."""
    node = meaning.graph.nodes[name]
    shape = tuple(int(n) for n in node.input_type["input"])
    behind = [
        b for a, b in meaning.graph.edges if a == name and isinstance(meaning.graph.nodes[b], nir.Affine)
    ]
    if len(shape) != 3 or len(behind) != 1:
        return None
    layer = copy(meaning.graph.nodes[behind[0]])
    if layer.weight.shape[1] != np.prod(shape):
        return None
    height_first = layer.weight.reshape(-1, shape[1], shape[2], shape[0])
    layer.weight = np.moveaxis(height_first, 3, 1).reshape(layer.weight.shape)
    return _with(meaning, behind[0], layer)
