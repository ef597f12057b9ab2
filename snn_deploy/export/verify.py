"""Prove written files by running them in their own runtimes on real samples.

The samples go in parts that fit the memory. Of every part the reference runs once, its spikes are kept as
bits, and every file is compared with them layer by layer: running on its own first, and where that differs,
given the reference's spikes. Evidence in float64 (:mod:`snn_deploy.export.proof.evidence`) is gathered for
the samples that differ only, once for all files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.errors import MissingOptionalError
from snn_deploy.export.parity import (
    READOUT_TOLERANCE,
    LayerParity,
    Parity,
    compare_layer,
    compare_output,
    decisions,
    explained,
    join,
    moments,
)
from snn_deploy.export.proof.coverage import SHARE, Coverage, Tally, coverage, sample_bytes, tally
from snn_deploy.export.proof.evidence import Recomputed, classify
from snn_deploy.export.proof.judge import Limits, judge
from snn_deploy.export.proof.rounded import Rounded
from snn_deploy.export.proof.rounding import Rounding
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.base import Executable

CHUNK = 64
EVIDENCE_COPIES = 16
"""Float64 values per element of a segment while evidence is gathered; our choice."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Samples:
    """Real samples to verify with: ``x [T, N, *shape]``, ``labels [N]`` or None, and how to decode."""

    x: torch.Tensor
    labels: torch.Tensor | None = None
    decode: str = "mean"

    def __len__(self) -> int:
        return int(self.x.shape[1])

    def part(self, which: slice) -> Samples:
        """Some of the samples."""
        labels = None if self.labels is None else self.labels[which]
        return replace(self, x=self.x[:, which], labels=labels)

    def first(self, count: int) -> Samples:
        """The first ``count`` samples."""
        return self.part(slice(0, count))

    def accuracy(self, predicted: torch.Tensor) -> float | None:
        """Share of the classes ``predicted [N]`` that are right; None without labels."""
        return None if self.labels is None else float((predicted == self.labels).float().mean())

    def chunks(self) -> list[Samples]:
        """Successive parts of at most ``CHUNK`` samples, so that traces stay small."""
        return [self.part(slice(i, i + CHUNK)) for i in range(0, len(self), CHUNK)]


@dataclass(slots=True)
class Claim:
    """That ``candidate`` computes what ``reference`` computes.

    Attributes:
        parity: names format, runtime and reference; filled in and judged by :func:`prove`.
        reference: what is compared with; claims with the same one share its runs.
        open_candidate: opens the file in its runtime.
        rounding: what explains ties and differing outputs; None where nothing may differ, as between two
            integer simulators.
        plan: says what feeds a layer; None where the reference is no graph of ours.
        intended: the graph that the file should hold, node by node; None where it is not compared so.
    """

    parity: Parity
    reference: Executable
    open_candidate: Callable[[], Executable]
    rounding: Rounding | None = None
    plan: Plan | None = None
    intended: Plan | None = None
    _candidate: Executable | None = field(default=None, init=False)
    missing: str = field(default="", init=False)

    def candidate(self) -> Executable | None:
        """The opened file; None, with the reason in ``missing``, where its runtime is not installed."""
        if self._candidate is None and not self.missing:
            try:
                self._candidate = self.open_candidate()
            except MissingOptionalError as error:
                self.missing = error.message
        return self._candidate


@dataclass(slots=True)
class _Expected:
    """What the reference did on a part: spikes as :func:`compact` leaves them, output, and its activity."""

    spikes: dict[str, torch.Tensor]
    output: torch.Tensor
    tally: Tally


@dataclass(slots=True)
class _Suspect:
    """Layers and outputs of one claim that differ, given the reference's spikes, and wait for evidence.

    ``samples`` are the numbers of those that differ; ``spikes`` and ``output`` hold these samples only.
    """

    claim: int
    samples: torch.Tensor
    spikes: dict[str, torch.Tensor]
    output: torch.Tensor | None


def verify(
    parity: Parity,
    reference: Executable,
    open_candidate: Callable[[], Executable],
    samples: Samples,
    *,
    plan: Plan | None,
    max_accuracy_drop: float,
    progress: Progress = lambda done, total: None,
) -> Parity:
    """One claim alone, see :func:`prove`; ``plan`` is the graph that explains ties."""
    rounding = Rounding(plan) if plan is not None else None
    claim = Claim(parity, reference, open_candidate, rounding, plan)
    limits = Limits(max_accuracy_drop=max_accuracy_drop)
    return prove([claim], samples, limits=limits, progress=progress)[0]


def prove(
    claims: Sequence[Claim],
    samples: Samples,
    *,
    limits: Limits,
    progress: Progress = lambda done, total: None,
) -> list[Parity]:
    """Run and judge all ``claims`` on ``samples``; a runtime that is not installed gives ``not run``.

    Raises:
        OutOfMemoryError: memory does not suffice for one sample.
    """
    parts: list[list[Parity | None]] = []
    tallies: dict[int, Tally] = {}
    for which, (found, seen) in in_chunks(
        len(samples), _at_once(claims, samples), lambda which: _part(claims, samples.part(which))
    ):
        parts.append(found)
        for key, counted in seen.items():
            tallies[key] = tallies[key] + counted if key in tallies else counted
        progress(which.stop, len(samples))
    results = []
    for number, claim in enumerate(claims):
        compared = [part[number] for part in parts]
        known = [part for part in compared if part is not None]
        if claim.missing or len(known) < len(compared):
            results.append(replace(claim.parity, verdict="not run", reason=claim.missing))
            continue
        whole = replace(join(known), coverage=_coverage(claim, tallies))
        results.append(judge(replace(whole, probes=claim.parity.probes), limits))
    return results


def _coverage(claim: Claim, tallies: Mapping[int, Tally]) -> Coverage:
    return coverage(tallies[id(claim.reference)], claim.plan)


def _at_once(claims: Sequence[Claim], samples: Samples) -> int:
    plans = [claim.plan for claim in claims if claim.plan is not None]
    if not plans:
        return CHUNK
    needed = max(sample_bytes(plan, int(samples.x.shape[0])) for plan in plans)
    return samples_at_once(SHARE * needed, CHUNK)


def _part(claims: Sequence[Claim], samples: Samples) -> tuple[list[Parity | None], dict[int, Tally]]:
    """Every claim on one part of the samples; None where the runtime is not installed."""
    expected: dict[int, _Expected] = {}
    found: list[Parity | None] = []
    suspects = []
    for number, claim in enumerate(claims):
        candidate = claim.candidate()
        if candidate is None:
            found.append(None)
            continue
        key = id(claim.reference)
        if key not in expected:
            expected[key] = _expect(claim.reference, samples.x)
        try:
            parity, suspect = _compare(number, claim, candidate, expected[key], samples)
        except MissingOptionalError as error:
            claim.missing = error.message
            found.append(None)
            continue
        found.append(parity)
        if suspect is not None:
            suspects.append(suspect)
    alike: dict[tuple[int, int], list[_Suspect]] = {}
    for suspect in suspects:
        claim = claims[suspect.claim]
        alike.setdefault((id(claim.reference), id(claim.rounding)), []).append(suspect)
    for (key, _), own in alike.items():
        rounding = claims[own[0].claim].rounding
        assert rounding is not None
        _explain(rounding, own, expected[key], samples.x, found)
    return found, {key: run.tally for key, run in expected.items()}


def _expect(reference: Executable, x: torch.Tensor) -> _Expected:
    trace = reference.run(x, record=True)
    spikes = {name: compact(trace.records.pop(name)) for name in reference.layers if name in trace.records}
    return _Expected(spikes, trace.output, tally(x, spikes, trace.output))


def compact(spikes: torch.Tensor) -> torch.Tensor:
    """``spikes`` as bool where no neuron fires more than once per step; in one order in memory, so that
    comparisons are quick."""
    small = spikes.bool()
    alike = np.array_equal(small.numpy(), spikes.numpy())  # many times as fast as torch on two types
    return (small if alike else spikes).contiguous()


def _compare(
    number: int, claim: Claim, candidate: Executable, expected: _Expected, samples: Samples
) -> tuple[Parity, _Suspect | None]:
    names = tuple(name for name in expected.spikes if name in candidate.layers)
    free = candidate.run(samples.x, record=bool(names))
    layers = {name: _compare_free(name, expected, compact(free.records.pop(name))) for name in names}
    before, after = decisions(expected.output, samples.decode), decisions(free.output, samples.decode)
    outside, largest = compare_output(expected.output, free.output)
    parity = replace(
        claim.parity,
        samples=len(samples),
        layers=tuple(layers.values()),
        output_compared=expected.output.numel(),
        output_differing=0 if names and claim.parity.exact else outside,
        output_free_differing=outside,
        output_max_difference=largest,
        output_moments=moments(expected.output, free.output),
        same_decision=int((before == after).sum()),
        accuracy_reference=samples.accuracy(before),
        accuracy=samples.accuracy(after),
    )
    output = free.output
    del free
    if not names:
        return parity, None
    flips: dict[str, torch.Tensor] = {}
    if any(layer.free_differing for layer in layers.values()):
        forced = {name: expected.spikes[name].float() for name in names}
        given = candidate.run(samples.x, record=True, forced=forced)
        del forced
        output = given.output
        for name in names:
            record = compact(given.records.pop(name))
            layer = compare_layer(name, expected.spikes[name], record, expected.spikes[name])
            layers[name] = replace(layer, free_differing=layers[name].free_differing)
            if layer.differing:
                flips[name] = record
    if not claim.parity.exact:
        return replace(parity, layers=tuple(layers.values())), None
    differing = ~(output == expected.output)
    if claim.rounding is None:
        bound = READOUT_TOLERANCE * expected.output.abs()
        wrong = int((~((output - expected.output).abs() <= bound)).sum())
        return replace(parity, layers=tuple(layers.values()), output_differing=wrong), None
    parity = replace(parity, layers=tuple(layers.values()))
    where = differing.flatten(2).any(2).any(0)
    for name, record in flips.items():
        where = where | (record != expected.spikes[name]).flatten(2).any(2).any(0)
    chosen = where.nonzero().flatten()
    if not len(chosen):
        return parity, None
    kept = {name: record[:, chosen] for name, record in flips.items()}
    return parity, _Suspect(number, chosen, kept, output[:, chosen] if bool(differing.any()) else None)


def _compare_free(name: str, expected: _Expected, free: torch.Tensor) -> LayerParity:
    """A layer that ran free on the reference's own spikes was given the reference's input already."""
    same = expected.spikes[name]
    return compare_layer(name, same, same, free)


def _explain(
    rounding: Rounding,
    suspects: Sequence[_Suspect],
    expected: _Expected,
    x: torch.Tensor,
    found: list[Parity | None],
) -> None:
    """Gather evidence for all suspects of one graph, and put what it explains into ``found``."""
    wanted = {name for suspect in suspects for name in suspect.spikes}
    if any(suspect.output is not None for suspect in suspects):
        wanted.add(rounding.plan.output)
    needed = EVIDENCE_COPIES * sample_bytes(rounding.plan, int(x.shape[0])) / 13
    samples = torch.unique(torch.cat([suspect.samples for suspect in suspects]))
    for chosen in torch.split(samples, samples_at_once(SHARE * needed, len(samples))):
        given = {name: spikes[:, chosen] for name, spikes in expected.spikes.items()}
        recomputed = Recomputed(rounding, x[:, chosen], given, wanted)
        inputs = {name: recomputed.input(name) for name in wanted}
        for suspect in suspects:
            parity = found[suspect.claim]
            assert parity is not None
            found[suspect.claim] = _with_evidence(
                parity, suspect, rounding, chosen, inputs, expected.output[:, chosen], given
            )


def _with_evidence(
    parity: Parity,
    suspect: _Suspect,
    rounding: Rounding,
    chosen: torch.Tensor,
    inputs: Mapping[str, Rounded],
    output: torch.Tensor,
    given: Mapping[str, torch.Tensor],
) -> Parity:
    """``parity`` with what the evidence on the samples ``chosen`` says; ``inputs``, ``output`` and ``given``
    are of these samples."""
    here, there = torch.isin(chosen, suspect.samples), torch.isin(suspect.samples, chosen)
    rows = {row.layer: row for row in parity.layers}
    for name, spikes in suspect.spikes.items():
        own = spikes[:, there]
        decision = rounding.decision(name, inputs[name].samples(here), own)
        rows[name] = explained(rows[name], classify(decision, given[name][:, here], own))
    wrong = 0
    if suspect.output is not None:
        error = inputs[rounding.plan.output].samples(here).error
        off = (suspect.output[:, there] - output[:, here]).abs().double()
        wrong = int((~(off <= 2 * error)).sum())
    return replace(parity, layers=tuple(rows.values()), output_differing=parity.output_differing + wrong)
