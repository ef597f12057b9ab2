"""Make a NIR graph ready to execute: flat, ordered, with every shape known and every fault named.

Several edges into one node add, in the order of the edge list. A loop is cut where a neuron's output leaves
(see :mod:`snn_deploy.graph.loops`); the cut edge carries the value of the previous step, zero at first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import nir

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import DynamicsError, delay_steps, discretise, parameters
from snn_deploy.graph.faults import Faults
from snn_deploy.graph.flatten import flatten
from snn_deploy.graph.loops import AlgebraicLoopError, Edge, execution_groups, feedback_edges
from snn_deploy.graph.reach import unreached
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import Shape, ShapeError, declared_shape, intrinsic_shape, output_shape
from snn_deploy.graph.types import NEURON_NODES, SPIKING_NODES, STATEFUL_NODES, WEIGHT_NODES, Plan

SHAPING_NODES = (nir.AvgPool2d, nir.SumPool2d, nir.Flatten, nir.Scale)
NODES = (nir.Input, nir.Output, *WEIGHT_NODES, *SHAPING_NODES, *STATEFUL_NODES, nir.Threshold)
_HOLDING = (*STATEFUL_NODES, *SPIKING_NODES)


def make_plan(graph: nir.NIRGraph) -> Plan:
    """Flatten ``graph``, find its order and loops, infer and check every shape and neuron parameter.

    Raises:
        DataError: dangling or repeated edges, nodes that no input reaches or that reach no output, shapes
            that do not fit, neuron parameters without meaning, loops without a neuron.
        UnsupportedError: node types without execution, several inputs or outputs.
    """
    faults = Faults()
    semantics = read_semantics(graph)
    nodes, edges = flatten(graph, faults)
    faults.raise_if_any()
    _check_nodes(nodes, faults)
    _check_edges(nodes, edges, faults)
    faults.raise_if_any()

    try:
        order, cut = execution_order(nodes, edges)
    except AlgebraicLoopError as error:
        faults.damage.append(
            Problem(
                ", ".join(error.nodes),
                "loop without a neuron or delay",
                rule="a loop needs a state that carries it from one step to the next",
            )
        )
        faults.raise_if_any()
        raise
    sources: dict[str, list[str]] = {name: [] for name in order}
    feedback: dict[str, list[str]] = {}
    for a, b in edges:
        (feedback.setdefault(b, []) if (a, b) in cut else sources[b]).append(a)
    inputs = {name: (*sources[name], *feedback.get(name, ())) for name in order}
    shapes = _infer(nodes, order, inputs, faults)
    _check_parameters(nodes, semantics, faults)
    faults.damage += unreached(nodes, edges)
    faults.raise_if_any()

    flat = nir.NIRGraph(
        {name: nodes[name] for name in order}, list(edges), metadata=dict(graph.metadata), type_check=False
    )
    return Plan(
        graph=flat,
        order=order,
        sources={name: tuple(found) for name, found in sources.items()},
        feedback={name: tuple(found) for name, found in feedback.items()},
        shapes=shapes,
        input=next(name for name in order if isinstance(nodes[name], nir.Input)),
        output=next(name for name in order if isinstance(nodes[name], nir.Output)),
    )


def execution_order(
    nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge]
) -> tuple[tuple[str, ...], set[Edge]]:
    """Node names in order of execution, and the edges that carry the previous step's value.

    Raises:
        AlgebraicLoopError: a loop without a neuron or delay.
    """
    names = _by_appearance(nodes, edges)
    cut = feedback_edges(names, edges, lambda name: isinstance(nodes[name], _HOLDING))
    return tuple(name for group in execution_groups(names, edges, cut) for name in group), cut


def loop_groups(plan: Plan) -> tuple[tuple[str, ...], ...]:
    """The plan's nodes in order; several nodes in a group, or one that feeds itself, are a loop."""
    cut = {(a, b) for b, found in plan.feedback.items() for a in found}
    edges = [(a, b) for b in plan.order for a in plan.sources[b]]
    return tuple(execution_groups(plan.order, [*edges, *sorted(cut)], cut))


def input_shapes(plan: Plan) -> dict[str, Shape]:
    """Per node, the shape of what enters it."""
    return {b: plan.shapes[a] for a, b in plan.graph.edges}


def observed_layers(plan: Plan) -> tuple[str, ...]:
    """The spiking and integrating layers in execution order: what traces and parity tables list."""
    return plan.of_type(*NEURON_NODES)


def _check_nodes(nodes: Mapping[str, nir.NIRNode], faults: Faults) -> None:
    for kind in (nir.Input, nir.Output):
        found = [name for name, node in nodes.items() if isinstance(node, kind)]
        if not found:
            faults.damage.append(Problem("graph", f"has no {kind.__name__} node"))
        elif len(found) > 1:
            rule = f"exactly one {kind.__name__} node"
            faults.unsupported.append(
                Problem(", ".join(found), f"{len(found)} {kind.__name__} nodes", rule=rule)
            )
    for name, node in nodes.items():
        if type(node) not in NODES:
            rule = "known nodes: " + ", ".join(sorted(t.__name__ for t in NODES))
            faults.unsupported.append(Problem(name, f"node type '{type(node).__name__}'", rule=rule))


def _check_edges(nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge], faults: Faults) -> None:
    for (a, b), count in Counter(edges).items():
        if missing := [name for name in (a, b) if name not in nodes]:
            faults.damage.append(
                Problem(f"{a} -> {b}", f"names a node that does not exist: {', '.join(missing)}")
            )
        elif count > 1:
            faults.damage.append(Problem(f"{a} -> {b}", f"occurs {count} times", rule="edges are unique"))
        elif isinstance(nodes[a], nir.Output) or isinstance(nodes[b], nir.Input):
            faults.damage.append(Problem(f"{a} -> {b}", "leaves an Output or enters an Input"))
    fed = {b for _, b in edges}
    for name, node in nodes.items():
        if name not in fed and not isinstance(node, nir.Input):
            faults.damage.append(Problem(name, "nothing feeds this node"))


def _by_appearance(nodes: Mapping[str, nir.NIRNode], edges: Sequence[Edge]) -> list[str]:
    """Node names in the order in which the edge list mentions them, the input first."""
    first = [name for name, node in nodes.items() if isinstance(node, nir.Input)]
    return list(dict.fromkeys([*first, *(name for edge in edges for name in edge), *nodes]))


def _infer(
    nodes: Mapping[str, nir.NIRNode],
    order: Sequence[str],
    inputs: Mapping[str, Sequence[str]],
    faults: Faults,
) -> dict[str, Shape]:
    """Output shape of every node. What waits for a loop starts from the shape its parameters imply."""
    shapes: dict[str, Shape] = {}
    failed: set[str] = set()

    def refuse(name: str, error: ShapeError) -> None:
        faults.damage.append(Problem(name, f"{type(nodes[name]).__name__}: {error}"))
        failed.add(name)

    guessed: set[str] = set()
    pending = list(order)
    while pending:
        for name in pending:
            fed = next((shapes[s] for s in inputs[name] if s in shapes), None)
            if fed is None and not isinstance(nodes[name], nir.Input):
                failed.update([name] if inputs[name] and failed.issuperset(inputs[name]) else [])
                continue
            try:
                shapes[name] = _shape_fed_by(nodes[name], fed)
            except ShapeError as error:
                refuse(name, error)
        left = [name for name in pending if name not in shapes and name not in failed]
        if len(left) == len(pending):
            implied = {name: shape for name in left if (shape := intrinsic_shape(nodes[name]))}
            if not implied:
                if not failed:
                    faults.damage.append(Problem(", ".join(left), "the shapes cannot be inferred"))
                break
            first = next(iter(implied))
            shapes[first] = implied[first]
            guessed.add(first)
        pending = left
    for name in order:
        found = {s: shapes[s] for s in inputs[name] if s in shapes}
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{s} {shape}" for s, shape in found.items())
            faults.damage.append(Problem(name, f"adds inputs of different shapes: {listed}"))
        elif name in guessed and found:
            try:
                output_shape(nodes[name], next(iter(found.values())))
            except ShapeError as error:
                refuse(name, error)
    return shapes


def _shape_fed_by(node: nir.NIRNode, fed: Shape | None) -> Shape:
    """Output shape of ``node``; ``fed`` is None only for the Input."""
    declared = declared_shape(node) if isinstance(node, nir.Input | nir.Output) else None
    if fed is None:
        if declared is None:
            raise ShapeError("declares no shape")
        return declared
    if declared is not None and declared != fed:
        raise ShapeError(f"declares the shape {declared}, its input has {fed}")
    return output_shape(node, fed)


def _check_parameters(nodes: Mapping[str, nir.NIRNode], semantics: Semantics, faults: Faults) -> None:
    for name, node in nodes.items():
        try:
            if isinstance(node, nir.Delay):
                delay_steps(node, semantics)
            elif isinstance(node, STATEFUL_NODES):
                discretise(node, semantics)
            elif isinstance(node, nir.Threshold | nir.Scale):
                parameters(node)
        except DynamicsError as error:
            hint = "the step of the delays (--dt), or delays of whole steps"
            try_instead = hint if isinstance(node, nir.Delay) else ""
            faults.damage.append(Problem(name, f"{type(node).__name__}: {error}", try_instead=try_instead))
