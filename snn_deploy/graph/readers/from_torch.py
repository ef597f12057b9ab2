"""A torch module with neurons of spikingjelly, snnTorch, Norse or sinabs becomes the hub graph.

A copy of the module is traced with torch.fx; layers and neurons are leaves, a sum of values becomes several
edges into one node, dropout and identity disappear, batch norm is folded, the maximum over a window of
spikes is a sum and a threshold, layers on concatenated channels add. Everything else is refused by module
path, all at once. Nodes are named by module path; a stateless module used again gets ``:2``, ``:3`` ...
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import nir
import torch
from torch import nn

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.passes.fold_batchnorm import FoldBatchNorm
from snn_deploy.graph.passes.journal import write_journal
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.readers.builder import Builder
from snn_deploy.graph.readers.calling import Calling
from snn_deploy.graph.readers.copies import alone, fresh_copy, state_changes
from snn_deploy.graph.readers.forms import Form, Value
from snn_deploy.graph.readers.shaped import ShapedTracer, takes_state
from snn_deploy.graph.readers.torch_modules.conversion import Law
from snn_deploy.graph.readers.torch_modules.known import fixed_batch, handles_time, takes
from snn_deploy.graph.readers.tracing import FAULTS, FOLLOWED, Tracer, leading_axes
from snn_deploy.graph.readers.unrolled import Unrolled
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.shapes import Shape

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
    followed step by step (:mod:`snn_deploy.graph.readers.unrolled`). ``module`` itself stays as it is."""
    try:
        copied = fresh_copy(module)
    except UnsupportedError as error:
        builder = Builder(module, in_shape, semantics.dt, 1)
        builder.refuse(Tracer().unknown(module))
        raise _refused(module, builder.problems or list(error.problems)) from None
    read, problems = _read_layers(copied, in_shape, semantics)
    told: list[_Told] = []
    if read is None:
        for form in _forms(module):
            read, tried = _read_unrolled(copied, in_shape, semantics, form)
            if read is not None:
                break
            told.append(tried)
    if read is not None:
        return read
    best = min(told, key=lambda tried: (not tried.followed, -tried.nodes, len(tried.problems)))
    if takes_state(module) and told[0].followed:
        best = told[0]
    own = any(fault.where == "forward" for fault in best.problems)
    unfollowed = any(FOLLOWED in problem.what for problem in problems)
    if unfollowed if not best.followed else own or _handles_time(module, problems):
        problems = best.problems
    raise _refused(module, problems)


def _refused(module: nn.Module, problems: list[Problem]) -> UnsupportedError:
    return UnsupportedError(f"'{type(module).__name__}' cannot be expressed in NIR.", problems=problems)


@dataclass(frozen=True, slots=True)
class _Told:
    """What stood against a form of the input, and how far the forward was read: the furthest is told."""

    problems: list[Problem]
    nodes: int

    @property
    def followed(self) -> bool:
        return not any(FOLLOWED in problem.what for problem in self.problems)


def _read_layers(
    module: nn.Module, in_shape: Shape, semantics: Semantics
) -> tuple[ReadModule | None, list[Problem]]:
    """A forward that is layers, sums and flatten: in multi-step or in single-step mode."""
    tracer = Tracer()
    leading = leading_axes(module, tracer.problems)
    builder = Builder(module, in_shape, semantics.dt, leading)
    copied = fresh_copy(module)
    with alone(copied):
        traced = tracer.run(copied)
    if traced is None:
        builder.refuse(tracer.unknown(module))
    else:
        for node in traced.nodes:
            builder.add(node)
    problems = [*tracer.problems, *builder.problems]
    if not problems and any(handles_time(part) for part in module.modules()):
        problems = [Problem("forward", "has neurons whose time is to be followed")]
    if problems:
        return None, problems
    calling = Calling("sequence" if leading == 2 else "steps", layers=builder.layers)
    if leading == 1:
        still = torch.rand(2, *in_shape, generator=torch.Generator().manual_seed(0))
        if problems := _forgetful(module, still, calling):
            return None, problems
    return _finished(builder, calling, semantics), []


def _read_unrolled(
    module: nn.Module, in_shape: Shape, semantics: Semantics, form: Form | Literal["carried"]
) -> tuple[ReadModule | None, _Told]:
    """A forward that handles time itself, and takes its input in the given form; ``carried``: a step, and the
    state that it returned in the step before."""
    steps, batch = semantics.timesteps or EXAMPLE_STEPS, fixed_batch(module)
    sizes = steps, batch or (2 if steps != 2 else 3)
    given: Form = "sequence" if form == "carried" else form
    value = Value((), given)
    example = torch.rand(*value.lead(*sizes), *in_shape, generator=torch.Generator().manual_seed(0))
    tracer = ShapedTracer(example, carries=form == "carried")
    known = semantics.timesteps is not None
    builder = Unrolled(module, in_shape, semantics.dt, given, sizes, known=known, carries=form == "carried")
    traced = tracer.run(module)
    if traced is None:
        builder.refuse(tracer.unknown(module))
    else:
        for node in traced.nodes:
            builder.add(node)
    problems = [*tracer.problems, *builder.problems]
    if problems or builder.calling is None:
        return None, _Told(problems, len(builder.nodes))
    calling = replace(builder.calling, batch=batch)
    if calling.timesteps is not None:
        semantics = replace(semantics, timesteps=calling.timesteps)
    if calling.result == "last":
        semantics = replace(semantics, decode="last")
    if not calling.carries and (problems := _forgetful(module, example, calling)):
        return None, _Told(problems, len(builder.nodes))
    return _finished(builder, calling, semantics), _Told([], 0)


def _finished(builder: Builder, calling: Calling, semantics: Semantics) -> ReadModule:
    graph = nir.NIRGraph(builder.nodes, builder.edges, metadata={}, type_check=False)
    law = builder.law or Law()
    stated = semantics.stating(
        integrator=law.integrator,
        fires_at=law.fires_at,
        reset="subtract" if builder.soft else "zero",
        dt=semantics.dt,
        spikes=law.spikes,
        levels=law.levels,
        v_min=law.v_min,
        start=law.start,
    )
    write_semantics(graph, stated)
    folded = Stage.of(graph).then(FoldBatchNorm())
    write_journal(folded.subject, folded.journal)
    return ReadModule(folded.subject, calling, builder.shapes)


def _forgetful(module: nn.Module, example: torch.Tensor, calling: Calling) -> list[Problem]:
    """Neurons whose state the forward itself changes between two steps."""
    try:
        within, between = state_changes(module, example)
    except FAULTS as error:
        what = f"fails on {tuple(example.shape)}: {str(error).partition(chr(10))[0]}"
        return [Problem("forward", what, try_instead="an input of the right shape, and one step mode")]
    changed = [*within, *between] if calling.time == "steps" else within
    way = "reset the network before a run, outside of forward"
    return [
        Problem(path, "its state is changed between two steps", rule="one run, one state", try_instead=way)
        for path in changed
    ]


def _forms(module: nn.Module) -> list[Form | Literal["carried"]]:
    """The forms in which a module may take its input, the likelier ones first."""
    multi = any(takes(part) != "step" for part in module.modules())
    over_time: list[Form | Literal["carried"]] = ["sequence", "samples", "rows"]
    forms = [*over_time, "still"] if multi else ["still", *over_time]
    return ["carried", *forms] if takes_state(module) else forms


def _handles_time(module: nn.Module, problems: list[Problem]) -> bool:
    """Whether a forward was not taken as layers because of what it does itself."""
    stepped = any(handles_time(part) for part in module.modules())
    return stepped or any(problem.where == "forward" or FOLLOWED in problem.what for problem in problems)
