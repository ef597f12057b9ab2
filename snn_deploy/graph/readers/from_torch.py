"""A torch module built of spikingjelly and torch layers becomes the hub graph.

The module is traced with torch.fx; layers and neurons are leaves, a sum of values becomes several edges into
one node, dropout and identity disappear, batch norm is folded, the maximum over a window of spikes is a sum
and a threshold. Everything else is refused by module path,
all at once. Nodes are named by module path; a stateless module used again gets ``:2``, ``:3`` ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import nir
import torch
from torch import nn

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.passes.fold_batchnorm import FoldBatchNorm
from snn_deploy.graph.passes.journal import write_journal
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.readers.builder import Builder
from snn_deploy.graph.readers.calling import Calling
from snn_deploy.graph.readers.forms import Form
from snn_deploy.graph.readers.kinds import kind
from snn_deploy.graph.readers.shaped import BATCH, ShapedTracer
from snn_deploy.graph.readers.stepped_modules import STEPPED
from snn_deploy.graph.readers.tracing import FOLLOWED, Tracer, leading_axes
from snn_deploy.graph.readers.unrolled import Unrolled
from snn_deploy.graph.semantics import Comparison, Semantics, write_semantics
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import SPIKING_NODES

EXAMPLE_STEPS = 3
"""Steps on which a forward is followed that runs as many as it is given; our choice."""


def from_torch(module: nn.Module, in_shape: Shape, *, semantics: Semantics) -> nir.NIRGraph:
    """The NIR graph of ``module``, which maps ``[T, B, *in_shape]`` (multi-step) or ``[B, *in_shape]``.

    ``semantics`` gives dt, number of steps, decoding and classes; integrator, spike comparison and reset are
    those of the module's neurons (forward Euler, ``>=``, hard or soft). Weights are copied in float32.

    Raises:
        UnsupportedError: naming every module and operation that NIR cannot express, with what to try.
    """
    return read_module(module, in_shape, semantics=semantics).graph


@dataclass(frozen=True, slots=True)
class ReadModule:
    """A module as the hub graph, how it is called, and the output shape of every module in it."""

    graph: nir.NIRGraph
    calling: Calling
    shapes: dict[str, Shape]


def read_module(module: nn.Module, in_shape: Shape, *, semantics: Semantics) -> ReadModule:
    """See :func:`from_torch`. A forward of layers alone is traced once; one that handles time itself is
    followed step by step (:mod:`snn_deploy.graph.readers.unrolled`)."""
    read, problems = _read_layers(module, in_shape, semantics)
    if read is not None:
        return read
    told: list[list[Problem]] = []
    for form in _forms(module):
        read, faults = _read_unrolled(module, in_shape, semantics, form)
        if read is not None:
            return read
        told.append(faults)
    best = min(told, key=lambda faults: (any(FOLLOWED in fault.what for fault in faults), len(faults)))
    followed = not any(FOLLOWED in fault.what for fault in best)
    if followed and (_handles_time(module, problems) or any(fault.where == "forward" for fault in best)):
        problems = best
    raise UnsupportedError(f"'{type(module).__name__}' cannot be expressed in NIR.", problems=problems)


def _read_layers(
    module: nn.Module, in_shape: Shape, semantics: Semantics
) -> tuple[ReadModule | None, list[Problem]]:
    """A forward that is layers, sums and flatten: in multi-step or in single-step mode."""
    tracer = Tracer()
    leading = leading_axes(module, tracer.problems)
    builder = Builder(module, in_shape, semantics.dt, leading)
    traced = tracer.run(module)
    if traced is None:
        builder.refuse(tracer.unknown(module))
    else:
        for node in traced.nodes:
            builder.add(node)
    if problems := [*tracer.problems, *builder.problems]:
        return None, problems
    layers = tuple(name for name, node in builder.nodes.items() if isinstance(node, SPIKING_NODES))
    calling = Calling("sequence" if leading == 2 else "steps", layers=layers)
    return _finished(builder, calling, semantics, ">="), []


def _read_unrolled(
    module: nn.Module, in_shape: Shape, semantics: Semantics, form: Form
) -> tuple[ReadModule | None, list[Problem]]:
    """A forward that handles time itself, and takes its input in the given form."""
    steps = semantics.timesteps or EXAMPLE_STEPS
    lead = (steps, BATCH) if form == "sequence" else (BATCH,)
    tracer = ShapedTracer(torch.rand(*lead, *in_shape, generator=torch.Generator().manual_seed(0)))
    known = semantics.timesteps is not None
    builder = Unrolled(module, in_shape, semantics.dt, form, steps, known=known)
    traced = tracer.run(module)
    if traced is None:
        builder.refuse(tracer.unknown(module))
    else:
        for node in traced.nodes:
            builder.add(node)
    problems = [*tracer.problems, *builder.problems]
    if problems or builder.calling is None:
        return None, problems
    if builder.calling.timesteps is not None:
        semantics = replace(semantics, timesteps=builder.calling.timesteps)
    if builder.calling.result == "last":
        semantics = replace(semantics, decode="last")
    return _finished(builder, builder.calling, semantics, builder.fires_at), []


def _finished(builder: Builder, calling: Calling, semantics: Semantics, fires_at: Comparison) -> ReadModule:
    graph = nir.NIRGraph(builder.nodes, builder.edges, metadata={}, type_check=False)
    reset = "subtract" if builder.soft else "zero"
    stated = semantics.stating(integrator="euler", fires_at=fires_at, reset=reset, dt=semantics.dt)
    write_semantics(graph, stated)
    folded = Stage.of(graph).then(FoldBatchNorm())
    write_journal(folded.subject, folded.journal)
    return ReadModule(folded.subject, calling, builder.shapes)


def _forms(module: nn.Module) -> tuple[Form, Form]:
    """The forms in which a module may take its input, the likelier one first."""
    multi = any(getattr(part, "step_mode", "s") == "m" for part in module.modules())
    return ("sequence", "still") if multi else ("still", "sequence")


def _handles_time(module: nn.Module, problems: list[Problem]) -> bool:
    """Whether a forward was not taken as layers because of what it does itself."""
    stepped = any(kind(type(part)) in STEPPED for part in module.modules())
    return stepped or any(problem.where == "forward" or FOLLOWED in problem.what for problem in problems)
