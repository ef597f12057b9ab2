"""Feed every node of a file on its own, and compare it with float64 arithmetic of the graph it was made from.

A runtime that lets us look inside (:class:`Opened`) is asked for the output of every node while all others
are replaced by synthetic inputs (:mod:`snn_deploy.export.proof.probes`). Nothing but the graph's equations in
float64 is the judge: values may differ by what rounding can do, spikes where float32 cannot decide.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol, runtime_checkable

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.errors import DataError
from snn_deploy.core.memory import return_freed_memory
from snn_deploy.export.proof.alone import Alone
from snn_deploy.export.proof.coverage import SHARE
from snn_deploy.export.proof.frames import sources_of
from snn_deploy.export.proof.probed import Probed
from snn_deploy.export.proof.probes import SEED, SEQUENCES, STEPS, Fed, Probes
from snn_deploy.export.proof.rounded import Decision, Rounded, exact
from snn_deploy.export.proof.rounding import Rounding, parameter_arrays
from snn_deploy.graph.later import later
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan

FLOAT64_BYTES = 48
PIECE = 2**16
"""Neurons whose membranes are followed at once; our choice."""
FORGETFUL = (*WEIGHT_NODES, nir.AvgPool2d, nir.SumPool2d, nir.Scale, nir.Flatten, nir.Output)
"""Nodes without memory."""


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

    def constants(self, names: Sequence[str]) -> Iterator[tuple[str, list[npt.NDArray[np.float32]]]]:
        """The arrays of numbers that the network keeps for each node and uses as they are; those it has."""


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
    names = [name for name in plan.order if name != plan.input]
    probes = Probes(plan, Rounding(plan), steps, held=_held(plan, files))
    counts: list[dict[str, _Count]] = [dict.fromkeys(names, _Count()) for _ in files]
    refused: dict[int, str] = {}
    weights, alone, held = 0, 0, 0
    for name in names:
        met = Alone(plan, name)
        weights += met.weights
        held += met.weights if name in probes.held else 0
        for fed, batch in _inputs(probes, name):
            size = samples_at_once(SHARE * _sample_bytes(plan, name, len(files), steps))
            compute = functools.partial(_chunk, probes, name, files, fed)
            for which, found in in_chunks(batch, size, compute):
                met.see(fed.part(which))
                for number, result in found.items():
                    if isinstance(result, str):
                        refused[number] = result
                    else:
                        counts[number][name] += result
        alone += met.count()
        probes.rounding.forget(name)
        return_freed_memory()
    blank = Probed(
        seed=SEED, frames=steps * sum(map(probes.batches, names)), steps=steps,
        sequences=SEQUENCES * sum(probes.driver(name) is not None for name in names),
        weights=weights, weights_alone=alone, weights_held=held,
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


def _held(plan: Plan, files: Sequence[Opened]) -> frozenset[str]:
    """Nodes whose weights and biases all ``files`` hold bit for bit."""
    names = plan.of_type(*WEIGHT_NODES)
    for file in files:
        names = tuple(name for name, kept in file.constants(names) if _holds(kept, plan.node(name)))
    return frozenset(names)


def _holds(constants: Sequence[npt.NDArray[np.float32]], node: nir.NIRNode) -> bool:
    return all(
        any(np.array_equal(kept.view(np.uint32), array.view(np.uint32)) for kept in constants)
        for array in parameter_arrays(node).values()
    )


def _inputs(probes: Probes, name: str) -> Iterator[tuple[Fed, int]]:
    """The synthetic inputs of a node, and how many there are of each kind."""
    yield probes.frames(name), probes.batches(name)
    sequences = probes.sequences(name)
    if sequences is not None:
        yield sequences, SEQUENCES


def _sample_bytes(plan: Plan, name: str, files: int, steps: int) -> int:
    """Bytes that one probe of a node takes: what it is given, within a runtime too, and what comes from every
    file, in float32; of integrators all steps in float64 with bounds, else one (our choice)."""
    arriving = sum(prod(plan.shapes[source]) for source in sources_of(plan, name))
    leaving = prod(plan.shapes[name])
    at_once = 1 if isinstance(plan.node(name), (*FORGETFUL, *SPIKING_NODES)) else steps
    return 4 * steps * (2 * arriving + (files + 2) * leaving) + FLOAT64_BYTES * at_once * (arriving + leaving)


def _chunk(
    probes: Probes, name: str, files: Sequence[Opened], fed: Fed, which: slice
) -> dict[int, _Count | str]:
    """Compare one node of every file on some of what it is ``fed``; says why where a file has none."""
    plan, given = probes.plan, fed.part(which)
    found: dict[int, _Count | str] = {}
    owns: dict[int, torch.Tensor] = {}
    for number, file in enumerate(files):
        try:
            outputs = file.run_nodes(given.sent(plan.input), given, {name: plan.shapes[name]}, plan.output)
            owns[number] = outputs[name]
        except DataError as error:
            found[number] = error.message
    return found | _judged(probes.rounding, name, given, owns)


def _judged(
    rounding: Rounding, name: str, given: Fed, owns: Mapping[int, torch.Tensor]
) -> dict[int, _Count | str]:
    """Every file's own output ``[T, B, *shape]`` of one node against float64; nodes without memory step by
    step, which takes less room."""
    plan, node = rounding.plan, rounding.plan.node(name)
    terms = [given.sent(source) for source in plan.sources[name]]
    terms += [later(given.sent(source)) for source in plan.feedback.get(name, ())]
    if isinstance(node, SPIKING_NODES):
        fired: dict[int, _Count] = {}
        for number, own in owns.items():  # files that did the same are judged once
            same = next((other for other in fired if torch.equal(owns[other], own)), None)
            fired[number] = _fired(rounding, name, terms, own) if same is None else fired[same]
        return {**fired}
    forgets = isinstance(node, FORGETFUL)
    counts = dict.fromkeys(owns, _Count())
    for begin in range(len(terms[0])) if forgets else (0,):
        now = slice(begin, begin + 1 if forgets else None)
        arriving = rounding.sum([exact(term[now]) for term in terms])
        sums = rounding.sums(name, arriving) if isinstance(node, WEIGHT_NODES) else None
        if sums is not None and all(torch.equal(own[now].double(), sums) for own in owns.values()):
            for number in counts:
                counts[number] += _Count(sums.numel())
            continue
        value = rounding.output(name, arriving, sums)
        for number, own in owns.items():
            counts[number] += _differing(value, own[now])
    return {**counts}


def _differing(value: Rounded, own: torch.Tensor) -> _Count:
    wrong = ~((own.double() - value.value).abs() <= value.error)
    return _Count(own.numel(), int(wrong.sum()))


def _fired(rounding: Rounding, name: str, terms: Sequence[torch.Tensor], own: torch.Tensor) -> _Count:
    """Neurons that are all alike and are sent the same are judged once, if they did the same too."""
    some = (slice(None), slice(None), *(slice(size) for size in rounding.distinct(name)))
    one = own[some]
    if all(torch.equal(every, every[some].expand_as(every)) for every in (own, *terms)):
        terms = [term[some] for term in terms]
    else:
        one = own
    times, total = own.numel() // one.numel(), _Count()
    for piece in _pieces(one, rounding.distinct(name)):
        arriving = rounding.sum([exact(term[:, :, piece]) for term in terms])
        found = _decisions(rounding.decision(name, arriving, one[:, :, piece]), one[:, :, piece])
        total += _Count(times * found.compared, times * found.differing, times * found.undecided)
    return total


def _pieces(fired: torch.Tensor, distinct: Shape) -> Iterator[slice]:
    """Parts of the first axis of a layer, of few enough neurons for the cache, where those are all alike."""
    length = fired.shape[2]
    at_once = max(1, PIECE * length // fired[0].numel()) if distinct[0] == 1 else length
    return (slice(begin, begin + at_once) for begin in range(0, length, at_once))


def _decisions(decision: Decision, fired: torch.Tensor) -> _Count:
    total = _Count()
    for membrane, spikes in zip(decision.membrane.steps(), torch.split(fired, 1), strict=True):
        step = replace(decision, membrane=membrane)
        undecided = step.undecided()
        wrong = (spikes != step.fires()) & ~undecided
        total += _Count(spikes.numel(), int(wrong.sum()), int(undecided.sum()))
    return total
