"""A network of whole-number neurons as one of binary spikes, shown to fire the same numbers."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import Any

import torch

from snn_deploy.core.errors import ParityError, Problem, UnsupportedError
from snn_deploy.energy.count import count
from snn_deploy.energy.counts import Counts
from snn_deploy.export.parity import decisions
from snn_deploy.export.verify import Samples
from snn_deploy.graph.passes.micro_steps.expand import MicroSteps
from snn_deploy.graph.passes.micro_steps.schedule import Schedule, read_schedule
from snn_deploy.graph.passes.micro_steps.whole_numbers import WholeNumbers
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.passes.to_chip.input_grid import input_grid
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.samples import LoadedSamples
from snn_deploy.tasks.source import Source

MAX_DROP = 0.02
"""Of the accuracy, by rounding weights to whole numbers, beside what chance explains (our choice)."""
SHOWN = 64


def in_micro_steps(source: Source, loaded: LoadedSamples, bits: int = 8) -> Source:
    """``source`` in micro-steps of binary spikes with weights of ``bits`` bits, for inputs like ``loaded``.

    What it fires is compared with the network in whole numbers, neuron by neuron and step by step.

    Raises:
        UnsupportedError: the network, or its input, has no such form; rounding costs too much accuracy.
        ParityError: the numbers differ.
    """
    x = torch.cat([loaded.test.x.flatten(), loaded.calibration.x.flatten()])
    grid = input_grid(x)
    if grid.scale != 1.0 or grid.error:
        raise UnsupportedError(
            "The input has no form in micro-steps.",
            problems=[
                Problem(
                    source.plan.input,
                    f"values in steps of {grid.scale:g}",
                    "whole numbers, such as spikes and counts",
                    try_instead="data.encoding=rate or latency",
                )
            ],
        )
    low, high = int(x.min().clamp(max=0)), int(x.max().clamp(min=1))
    stage = Stage.of(source.plan.graph).then(WholeNumbers(low, high, int(loaded.test.x.shape[0]), bits))
    whole = make_plan(stage.subject)
    binary = make_plan(stage.then(MicroSteps(low, high)).subject)
    schedule = read_schedule(binary.graph)
    assert schedule is not None
    shown = loaded.test.first(SHOWN)
    wanted = Reference(whole).run(shown.x, record=True)
    found = Reference(binary).run(schedule.frames(shown.x), record=True)
    facts = {
        **_same_numbers(schedule, wanted, found),
        **_events(count(whole, wanted), count(binary, found)),
        **_rounding(source, shown, wanted.output),
    }
    provenance = {
        **source.provenance,
        "micro_steps": facts,
        "assumed": [*source.provenance.get("assumed", ()), *_words(schedule, facts, bits)],
    }
    return replace(
        source, plan=binary, executable=Reference(binary), student=None, proof=None, provenance=provenance
    )


def _same_numbers(schedule: Schedule, wanted: Trace, found: Trace) -> dict[str, Any]:
    problems, compared = [], 0
    for name in schedule.populations:
        numbers = schedule.spikes(name, found.records[name])
        compared += numbers.numel()
        if differing := int((numbers != wanted.records[name]).sum()):
            problems.append(Problem(name, f"{differing} of {numbers.numel()} numbers differ"))
    if problems:
        raise ParityError("The micro-steps do not fire what the network fires.", problems=problems)
    samples = int(wanted.output.shape[1])
    return {"samples": samples, "compared": compared, "differing": 0, "frames": schedule.micro_steps}


def _events(counts: Counts, micro: Counts) -> dict[str, float]:
    """Synaptic events per sample on weights that are not 0: as numbers, as single spikes, and as they occur
    in micro-steps, signals included."""
    numbers = sum(int(edge.sites_nonzero.sum()) for edge in counts.edges)
    units = sum(int(edge.units_nonzero.sum()) for edge in counts.edges if edge.units_nonzero is not None)
    events = sum(int(edge.sites_nonzero.sum()) for edge in micro.edges)
    samples = counts.samples
    return {"sops_numbers": numbers / samples, "sops_units": units / samples, "sops": events / samples}


def _rounding(source: Source, shown: Samples, output: torch.Tensor) -> dict[str, Any]:
    now = shown.accuracy(decisions(output, shown.decode))
    if now is None:
        return {}
    was = shown.accuracy(decisions(source.executable.run(shown.x).output, shown.decode))
    assert was is not None
    chance = 2 * sqrt(max(was * (1 - was), 1 / len(shown)) / len(shown))
    if was - now > MAX_DROP + chance:
        what = f"accuracy {100 * was:.1f} % becomes {100 * now:.1f} % on {len(shown)} samples"
        rule = f"at most {100 * (MAX_DROP + chance):.1f} points lost by rounding to whole numbers"
        raise UnsupportedError(
            "The network has no form in whole numbers.", problems=[Problem("weights", what, rule)]
        )
    return {"accuracy_trained": was, "accuracy": now}


def _words(schedule: Schedule, facts: dict[str, Any], bits: int) -> list[str]:
    rounded = ""
    if "accuracy" in facts:
        rounded = (
            f": {100 * facts['accuracy_trained']:.1f} % correct before and "
            f"{100 * facts['accuracy']:.1f} % after it, of {facts['samples']} samples"
        )
    return [
        *schedule.words,
        f"Weights are rounded to whole numbers of {bits} bits{rounded}.",
        f"Each of {schedule.steps} steps is {2 * schedule.levels} micro-steps of binary spikes; the numbers "
        f"fired are those of the network in whole numbers ({facts['compared']:,} compared, 0 differ).",
        f"Synaptic events per sample: {facts['sops_numbers']:,.0f} that carry a number, the same as "
        f"{facts['sops_units']:,.0f} of binary spikes; with the signals that time them {facts['sops']:,.0f}.",
    ]
