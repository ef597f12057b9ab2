"""What passes over the hub graph keep, told in relations between the graph before and after.

A pass that says nothing keeps everything; ``changes`` names what it does change, and then the pass has a
promise of its own in its place. The relations are cheap: they look at structure, shapes and the parameters of
neurons, not at what weights compute. That is what the golden texts and the simulators are for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import ClassVar

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.protocol import Change, Pass
from snn_deploy.graph.semantics import read_semantics, reset_of
from snn_deploy.graph.shapes import NEURON_FIELDS, Shape, declared_shape, shapes_from_input
from snn_deploy.graph.types import SPIKING_NODES, STATEFUL_NODES

POPULATIONS = (*STATEFUL_NODES, nir.Threshold)
DOORS = (nir.Input, nir.Output)

GraphChange = Change[nir.NIRGraph, nir.NIRGraph]
Relation = Callable[[GraphChange], Iterator[Problem]]
Declared = dict[Names, Shape | None]


def doors_kept(change: GraphChange) -> Iterator[Problem]:
    """The network takes and gives what it took and gave."""
    for kind in DOORS:
        before: Declared = {(name,): declared_shape(node) for name, node in _of(change.before, kind)}
        after: Declared = {
            change.origins[name]: declared_shape(node) for name, node in _of(change.after, kind)
        }
        if before != after:
            yield Problem(kind.__name__, f"was {_listed(before)}, is {_listed(after)}", _rule(doors_kept))


def populations_kept(change: GraphChange) -> Iterator[Problem]:
    """Every population of neurons stays one; none is added."""
    found: dict[Names, list[nir.NIRNode]] = {}
    for name, node in _of(change.after, POPULATIONS):
        found.setdefault(_held(change, name), []).append(node)
    for name, node in _of(change.before, POPULATIONS):
        now = found.pop((name,), [])
        spiking = isinstance(node, SPIKING_NODES)
        if sum(isinstance(other, SPIKING_NODES) for other in now) != spiking or not now:
            kinds = ", ".join(type(other).__name__ for other in now) or "gone"
            yield Problem(name, f"was {type(node).__name__}, is {kinds}", _rule(populations_kept))
    for names in found:
        yield Problem(", ".join(names) or "graph", "neurons that were not there", _rule(populations_kept))


def paths_kept(change: GraphChange) -> Iterator[Problem]:
    """As many ways lead from one population to another, through nodes without neurons, as before."""
    try:
        before = paths(change.before, lambda name: (name,))
        after = paths(change.after, lambda name: _held(change, name) or change.origins[name])
    except CycleError as error:
        yield Problem(str(error.args[1][0]), "a loop without neurons", _rule(paths_kept))
        return
    for pair in sorted(before.keys() | after.keys()):
        if before[pair] != after[pair]:
            where = " -> ".join(", ".join(names) for names in pair)
            yield Problem(where, f"{after[pair]} ways, before {before[pair]}", _rule(paths_kept))


def neurons_kept(change: GraphChange) -> Iterator[Problem]:
    """Neurons keep their kind, thresholds, time constants and gains, to the last bit of float32."""
    for name, node in _of(change.after, POPULATIONS):
        for origin in _held(change, name):
            yield from _fields_kept(name, change.before.nodes[origin], node)


def resets_kept(change: GraphChange) -> Iterator[Problem]:
    """A spike does to the membrane what it did."""
    semantics = read_semantics(change.before), read_semantics(change.after)
    for name, node in _of(change.after, SPIKING_NODES):
        for origin in _held(change, name):
            old, new = reset_of(change.before.nodes[origin], semantics[0]), reset_of(node, semantics[1])
            if old != new:
                yield Problem(name, f"reset {new}, before {old}", _rule(resets_kept))


def shapes_kept(change: GraphChange) -> Iterator[Problem]:
    """What leaves a node has the shape that it had."""
    before, after = (shapes_from_input(g.nodes, g.edges) for g in (change.before, change.after))
    for name, origins in change.origins.items():
        old = {before[o] for o in ((name,) if name in origins else origins) if o in before}
        if old and after.get(name) not in old:
            listed = " or ".join(map(str, sorted(old)))
            yield Problem(name, f"gives {after.get(name)}, before {listed}", _rule(shapes_kept))


def semantics_kept(change: GraphChange) -> Iterator[Problem]:
    """Step, integrator, comparison, reset and decoding stay what they are."""
    before, after = read_semantics(change.before), read_semantics(change.after)
    if before != after:
        yield Problem("graph", f"{after}, before {before}", _rule(semantics_kept))


KEEPS: Mapping[str, Relation] = {
    "doors": doors_kept,
    "populations": populations_kept,
    "paths": paths_kept,
    "neurons": neurons_kept,
    "resets": resets_kept,
    "shapes": shapes_kept,
    "semantics": semantics_kept,
}


class GraphPass(Pass[nir.NIRGraph, nir.NIRGraph]):
    """A pass over the hub graph. ``changes``: the names in ``KEEPS`` that it does not keep."""

    changes: ClassVar[frozenset[str]] = frozenset()

    def ensures(self, change: GraphChange) -> Iterable[Problem]:
        """Everything in ``KEEPS`` but the changes."""
        for name, relation in KEEPS.items():
            if name not in self.changes:
                yield from relation(change)


def _rule(relation: Relation) -> str:
    sentence = relation.__doc__ or ""
    return sentence[:1].lower() + sentence[1:].rstrip(".")


def _of(
    graph: nir.NIRGraph, kinds: type[nir.NIRNode] | tuple[type[nir.NIRNode], ...]
) -> Iterator[tuple[str, nir.NIRNode]]:
    return ((name, node) for name, node in graph.nodes.items() if isinstance(node, kinds))


def _listed(doors: Declared) -> str:
    return ", ".join(f"{'+'.join(names)} {shape}" for names, shape in doors.items()) or "nothing"


def _held(change: GraphChange, name: str) -> Names:
    """The populations before that the node ``name`` after comes from."""
    return tuple(o for o in change.origins[name] if isinstance(change.before.nodes[o], POPULATIONS))


def _fields_kept(name: str, old: nir.NIRNode, new: nir.NIRNode) -> Iterator[Problem]:
    if type(old) is not type(new):
        what = f"is {type(new).__name__}, before {type(old).__name__}"
        yield Problem(name, what, _rule(neurons_kept))
        return
    for field in NEURON_FIELDS[type(old)]:
        a, b = (np.asarray(getattr(node, field), np.float32) for node in (old, new))
        try:
            equal = bool((a == b).all())
        except ValueError:
            equal = False
        if not equal:
            yield Problem(name, f"{field} {_range(b)}, before {_range(a)}", _rule(neurons_kept))


def _range(values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    return f"{low}" if low == high else f"{low}..{high}"


def paths(
    graph: nir.NIRGraph,
    label: Callable[[str], Names],
    populations: tuple[type[nir.NIRNode], ...] = POPULATIONS,
) -> Counter[tuple[Names, Names]]:
    """Ways between doors and ``populations``, by the labels of their ends; inside one label none count.

    Raises:
        CycleError: a loop of other nodes.
    """
    ends = {name for name, _ in _of(graph, (*DOORS, *populations))}
    sources: dict[str, list[str]] = {name: [] for name in graph.nodes}
    for a, b in graph.edges:
        sources.setdefault(b, []).append(a)
    between = {n: [s for s in found if s not in ends] for n, found in sources.items() if n not in ends}
    ways: dict[str, Counter[str]] = {name: Counter([name]) for name in ends}
    for name in TopologicalSorter(between).static_order():
        ways[name] = _sum(ways[source] for source in sources.get(name, ()))
    found: Counter[tuple[Names, Names]] = Counter()
    for end in sorted(ends):
        for start, count in _sum(ways[source] for source in sources[end]).items():
            if start == end or label(start) != label(end):
                found[label(start), label(end)] += count
    return found


def _sum(counters: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for counter in counters:
        total.update(counter)
    return total
