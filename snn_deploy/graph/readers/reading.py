"""A NIR file from elsewhere as a graph of the hub, and everything that had to be assumed for it.

A file may leave open what the hub must know. Each gap is filled only where the file allows exactly one
reading; that reading is reported in a sentence. Otherwise the reader is asked for it.

* no Input or Output node: the one node that nothing feeds, or that feeds nothing, gets one;
* axes that count a batch: see :mod:`snn_deploy.graph.readers.batch`;
* discrete time: see :mod:`snn_deploy.graph.timing`, and :mod:`snn_deploy.graph.readers.dialects` where the
  caller names the writer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import nir
import numpy as np

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.graph.faults import Faults
from snn_deploy.graph.flatten import flatten
from snn_deploy.graph.reach import unreached
from snn_deploy.graph.readers.batch import plan_without_batch
from snn_deploy.graph.readers.dialects.chosen import DIALECTS, as_written
from snn_deploy.graph.readers.io import read_nir_and_shapes
from snn_deploy.graph.semantics import write_semantics
from snn_deploy.graph.shapes import Shape, intrinsic_shape
from snn_deploy.graph.timing import Reading, timing
from snn_deploy.graph.types import Plan

NOTHING_STATED = Reading()


def read_plan(path: Path | str, reading: Reading = NOTHING_STATED) -> tuple[Plan, tuple[str, ...]]:
    """The plan of a NIR file, and what was assumed to make it, one sentence each.

    Args:
        path: a NIR file, from anywhere.
        reading: what the caller states about it.

    Raises:
        DataError: see :func:`~snn_deploy.graph.readers.io.read_nir` and
            :func:`~snn_deploy.graph.plan.make_plan`; or the file has no Input or Output and several places
            for one.
        UnsupportedError: the hub cannot execute the graph.
        ConfigError: ``reading`` contradicts what the file states.
    """
    graph, shapes = read_nir_and_shapes(path)
    if not graph.nodes:
        raise DataError(f"'{path}' holds a graph without nodes.", hint="Its export failed; write it again.")
    notes = _add_doors(graph, shapes)
    told, written = as_written(graph, reading, shapes)
    if reading.leave_out:
        graph, left_out = _connected(graph)
        notes += left_out
    semantics, timed = timing(graph, told)
    write_semantics(graph, semantics)
    try:
        plan, counted = plan_without_batch(graph)
    except DataError as error:
        if "dt" in semantics.assumed and any("step" in problem.what for problem in error.problems):
            error.hint = (
                f"The file does not state its step; {semantics.dt:g} s is assumed. State it with --dt, or "
                f"who wrote the file with --from: {', '.join(DIALECTS)}."
            )
        elif reading.writer is None and any("not finite" in problem.what for problem in error.problems):
            error.hint = "snnTorch writes infinite tau and r where beta is 1: --from snntorch."
        raise
    plan.graph.nodes[plan.output] = nir.Output({"output": np.array(plan.shapes[plan.output])})
    return plan, (*notes, *written, *counted, *timed)


def _add_doors(graph: nir.NIRGraph, shapes: Mapping[str, Shape]) -> list[str]:
    """Give ``graph`` an Input and an Output (in place) where it has none."""
    notes = []
    if not any(isinstance(node, nir.Input) for node in graph.nodes.values()):
        first = _only(graph, "Input", "nothing feeds", {b for _, b in graph.edges})
        shape = shapes.get(first) or _entering(graph.nodes[first])
        if shape is None:
            what = f"{type(graph.nodes[first]).__name__} whose input shape the file does not say"
            raise DataError("The file has no Input node.", problems=[Problem(first, what)])
        name = _free("input", graph)
        graph.nodes[name] = nir.Input({"input": np.array(shape)})
        graph.edges.insert(0, (name, first))
        notes.append(f"The file has no Input node; '{first}', which nothing feeds, takes the input {shape}.")
    if not any(isinstance(node, nir.Output) for node in graph.nodes.values()):
        last = _only(graph, "Output", "feed nothing", {a for a, _ in graph.edges})
        name = _free("output", graph)
        graph.nodes[name] = nir.Output({"output": None})
        graph.edges.append((last, name))
        notes.append(f"The file has no Output node; '{last}', which feeds nothing, gives the output.")
    return notes


def _connected(graph: nir.NIRGraph) -> tuple[nir.NIRGraph, list[str]]:
    """``graph`` without nesting and without the nodes that no input reaches or that reach no output."""
    faults = Faults()
    nodes, edges = flatten(graph, faults)
    faults.raise_if_any()
    gone = {problem.where: problem.what for problem in unreached(nodes, edges)}
    kept = {name: node for name, node in nodes.items() if name not in gone}
    flat = nir.NIRGraph(
        kept,
        [(a, b) for a, b in edges if a in kept and b in kept],
        metadata=dict(graph.metadata),
        type_check=False,
    )
    return flat, [f"Left out, as allowed: '{name}' ({what})." for name, what in gone.items()]


def _only(graph: nir.NIRGraph, door: str, what: str, joined: set[str]) -> str:
    found = [str(name) for name in graph.nodes if name not in joined]
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise DataError(
            f"The file has no {door} node, and it cannot be told where one belongs.",
            problems=[Problem(listed, f"{len(found)} nodes that {what}", rule="exactly one")],
            hint=f"Write the file with an {door} node.",
        )
    return found[0]


def _entering(node: nir.NIRNode) -> Shape | None:
    """The input shape that a node's own parameters imply."""
    if isinstance(node, nir.Affine | nir.Linear) and np.ndim(node.weight) == 2:
        return (int(np.shape(node.weight)[1]),)
    return None if isinstance(node, nir.Affine | nir.Linear) else intrinsic_shape(node)


def _free(name: str, graph: nir.NIRGraph) -> str:
    while name in graph.nodes:
        name += "_"
    return name
