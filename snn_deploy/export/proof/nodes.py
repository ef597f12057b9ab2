"""Feed every node of a file on its own, and compare it with float64 arithmetic of the graph it was made from.

A runtime that lets us look inside (:class:`Opened`) is asked for the output of every node while all others
are replaced by synthetic inputs (:mod:`snn_deploy.export.proof.probes`). Nothing but the graph's equations in
float64 is the judge: values may differ by what rounding can do, spikes where float32 cannot decide.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Protocol, runtime_checkable

import nir
import numpy as np
import torch
from torch.nn import functional
from torch.nn.grad import conv1d_weight, conv2d_weight

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.errors import DataError
from snn_deploy.export.proof.coverage import SHARE
from snn_deploy.export.proof.probed import Probed
from snn_deploy.export.proof.probes import SEED, STEPS, Probes, make_probes
from snn_deploy.export.proof.rounded import Rounded, exact
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.shapes import axes, pads
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

FLOAT64_BYTES = 48


@runtime_checkable
class Opened(Protocol):
    """A loaded network whose nodes can all be recorded and replaced."""

    def run_nodes(
        self,
        x: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        output: str,
    ) -> dict[str, torch.Tensor]:
        """Own outputs of the nodes of ``shapes``, those behind a node in ``forced`` fed with its value; the
        network's output goes by the name ``output``.

        Raises:
            DataError: the network has no such nodes, or of other shapes.
        """


@dataclass(frozen=True, slots=True)
class _Count:
    """Elements of one node: compared, differing, undecided."""

    compared: int = 0
    differing: int = 0
    undecided: int = 0

    def __add__(self, other: _Count) -> _Count:
        return _Count(
            self.compared + other.compared,
            self.differing + other.differing,
            self.undecided + other.undecided,
        )


def probe(plan: Plan, files: Sequence[Opened], steps: int = STEPS) -> list[Probed]:
    """Check ``files``, which were all made from ``plan``, on the same synthetic inputs of ``steps`` steps."""
    rounding = Rounding(plan)
    probes = make_probes(plan, rounding, steps)
    counts: list[dict[str, _Count]] = [{} for _ in files]
    refused: dict[int, str] = {}
    size = samples_at_once(SHARE * _sample_bytes(plan, len(files), steps))
    for first, count, names in probes.rounds():
        compute = functools.partial(_chunk, probes, names, files, first)
        for _, found in in_chunks(count, size, compute):
            for number, result in enumerate(found):
                if isinstance(result, str):
                    refused[number] = result
                    continue
                for name, elements in result.items():
                    counts[number][name] = counts[number].get(name, _Count()) + elements
    weights, alone = weights_alone(plan, probes)
    blank = Probed(
        seed=SEED, frames=probes.frames * steps, sequences=probes.sequences, steps=steps,
        weights=weights, weights_alone=alone,
    )  # fmt: skip
    results = []
    for number, table in enumerate(counts):
        total = sum(table.values(), _Count())
        where = tuple(name for name, count in table.items() if count.differing)
        if number in refused:
            results.append(replace(blank, differing=1, where=(refused[number],)))
            continue
        results.append(
            replace(
                blank,
                nodes=len(table),
                compared=total.compared,
                differing=total.differing,
                undecided=total.undecided,
                where=where,
            )
        )
    return results


def _sample_bytes(plan: Plan, files: int, steps: int) -> int:
    """Bytes that one probe takes: all nodes in float32, as they are given, within a runtime twice, and from
    every file; the widest in float64 with its bounds (measured; our choice)."""
    elements, widest = (total(prod(shape) for shape in plan.shapes.values()) for total in (sum, max))
    return steps * (4 * (3 + files) * elements + FLOAT64_BYTES * widest)


def _chunk(
    probes: Probes, names: Sequence[str], files: Sequence[Opened], first: int, which: slice
) -> list[dict[str, _Count] | str]:
    """Compare ``names`` on the probes ``which``, counted from ``first``."""
    rounding, plan = probes.rounding, probes.plan
    x, forced = probes.part(slice(first + which.start, first + which.stop))
    shapes = {name: plan.shapes[name] for name in names}
    outputs: list[dict[str, torch.Tensor] | str] = []
    for file in files:
        try:
            outputs.append(file.run_nodes(x, forced, shapes, plan.output))
        except DataError as error:
            outputs.append(error.message)
    counts: list[dict[str, _Count] | str] = [found if isinstance(found, str) else {} for found in outputs]
    given = {plan.input: x, **forced}
    for name in shapes:
        terms = [exact(given[source]) for source in plan.sources[name]]
        terms += [exact(given[source]).previous() for source in plan.feedback.get(name, ())]
        owns = {number: found.pop(name) for number, found in enumerate(outputs) if not isinstance(found, str)}
        for number, count in _judged(rounding, name, rounding.sum(terms), owns).items():
            table = counts[number]
            assert not isinstance(table, str)
            table[name] = count
    return counts


def _judged(
    rounding: Rounding, name: str, arriving: Rounded, owns: Mapping[int, torch.Tensor]
) -> dict[int, _Count]:
    """Every file's own output ``[T, B, *shape]`` of one node against float64; nodes without memory step by
    step, which takes less room."""
    node = rounding.plan.node(name)
    if isinstance(node, SPIKING_NODES):
        return {number: _fired(rounding, name, arriving, own) for number, own in owns.items()}
    forgets = isinstance(node, (*WEIGHT_NODES, nir.AvgPool2d, nir.SumPool2d))
    counts = dict.fromkeys(owns, _Count())
    begin = 0
    for inputs in arriving.steps() if forgets else (arriving,):
        value = rounding.output(name, inputs)
        end = begin + len(value.value)
        for number, own in owns.items():
            counts[number] += _differing(value, own[begin:end])
        begin = end
    return counts


def _differing(value: Rounded, own: torch.Tensor) -> _Count:
    wrong = ~((own.double() - value.value).abs() <= value.error)
    return _Count(own.numel(), int(wrong.sum()))


def _fired(rounding: Rounding, name: str, arriving: Rounded, own: torch.Tensor) -> _Count:
    decision = rounding.decision(name, arriving, own)
    total = _Count()
    for membrane, fired in zip(decision.membrane.steps(), torch.split(own, 1), strict=True):
        step = replace(decision, membrane=membrane)
        undecided = step.undecided()
        wrong = (fired != step.fires()) & ~undecided
        total += _Count(fired.numel(), int(wrong.sum()), int(undecided.sum()))
    return total


def weights_alone(plan: Plan, probes: Probes) -> tuple[int, int]:
    """Weights of the graph, and those that alone met an input that is not zero in some sum."""
    total, alone = 0, 0
    x, forced = probes.part(slice(0, probes.frames))
    given = {plan.input: x, **forced}
    for name in plan.of_type(*WEIGHT_NODES):
        node = plan.node(name)
        shape = np.asarray(node.weight).shape
        total += prod(shape)
        sources = (*plan.sources[name], *plan.feedback.get(name, ()))
        active = torch.stack([given[s] != 0 for s in sources]).sum(0)
        alone += _alone(node, shape, active.flatten(0, 1).float())
    return total, alone


def _alone(node: nir.NIRNode, shape: tuple[int, ...], active: torch.Tensor) -> int:
    """``active [F, *in]``: how many sources are not zero."""
    if not isinstance(node, nir.Conv1d | nir.Conv2d):
        single = active[active.flatten(1).sum(1) == 1]
        return int(single.any(0).sum()) * shape[0]
    rank, groups = len(shape) - 2, axes(node.groups, 1)[0]
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    padding = pads(node, shape[2:], dilation, stride)
    active = functional.pad(active, [p for pair in reversed(padding) for p in pair])
    convolve = functional.conv1d if rank == 1 else functional.conv2d
    weight_grad: Any = conv1d_weight if rank == 1 else conv2d_weight
    taps = torch.ones(groups, *shape[1:])
    found = torch.zeros_like(taps)
    for part in torch.split(active, 64):
        single = convolve(part, taps, None, stride, 0, dilation, groups) == 1
        hits = weight_grad(part, list(taps.shape), single.float(), stride, 0, dilation, groups)
        found = found.maximum(hits)
    return int((found > 0).sum()) * (shape[0] // groups)
