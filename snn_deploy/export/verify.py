"""Prove a written file by running it in its own runtime on real samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import nir
import torch

from snn_deploy.core.errors import MissingOptionalError
from snn_deploy.export.parity import (
    LayerParity,
    MembraneDistance,
    Parity,
    compare_layer,
    compare_output,
    compared_layers,
    decisions,
    join,
    judge,
)
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.reference import Reference, membranes64

CHUNK = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Samples:
    """Real samples to verify with: ``x [T, N, *shape]``, ``labels [N]`` or None, and how to decode."""

    x: torch.Tensor
    labels: torch.Tensor | None = None
    decode: str = "mean"

    def __len__(self) -> int:
        return int(self.x.shape[1])

    def first(self, count: int) -> Samples:
        """The first ``count`` samples."""
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, x=self.x[:, :count], labels=labels)

    def chunks(self) -> list[Samples]:
        """Successive parts of at most ``CHUNK`` samples, so that traces stay small."""
        bounds = range(0, len(self), CHUNK)
        return [
            Samples(
                self.x[:, i : i + CHUNK],
                None if self.labels is None else self.labels[i : i + CHUNK],
                self.decode,
            )
            for i in bounds
        ]


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
    """Fill in and judge ``parity`` (which names format, runtime and reference).

    ``plan`` is the graph whose membranes decide what is a tie; None where no tie is admissible, as between
    two integer simulators. A runtime that is not installed gives the verdict ``not run`` with the reason.
    """
    try:
        candidate = open_candidate()
        parts = []
        for chunk in samples.chunks():
            parts.append(_compare(parity, reference, candidate, chunk, plan))
            progress(sum(part.samples for part in parts), len(samples))
    except MissingOptionalError as error:
        return replace(parity, verdict="not run", reason=error.message)
    return judge(join(parts), max_accuracy_drop=max_accuracy_drop)


def _compare(
    parity: Parity, reference: Executable, candidate: Executable, samples: Samples, plan: Plan | None
) -> Parity:
    expected = reference.run(samples.x, record=True)
    free = candidate.run(samples.x, record=True)
    names = compared_layers(expected.records, free.records, candidate.layers)
    layers: tuple[LayerParity, ...] = ()
    if names:
        given = {name: expected.records[name] for name in names}
        same = all(torch.equal(given[name], free.records[name]) for name in names)
        # layers that ran free on the reference's own spikes were given the reference's input already
        forced = free if same else candidate.run(samples.x, record=True, forced=given)
        distance = membrane_distance(plan, samples.x, given) if plan else None
        layers = tuple(
            compare_layer(name, given[name], forced.records[name], free.records[name], distance)
            for name in names
        )
    before = decisions(expected.output, samples.decode)
    after = decisions(free.output, samples.decode)
    differing, largest = compare_output(expected.output, free.output)
    return replace(
        parity,
        samples=len(samples),
        layers=layers,
        output_compared=expected.output.numel(),
        output_differing=differing,
        output_max_difference=largest,
        same_decision=int((before == after).sum()),
        accuracy_reference=_accuracy(before, samples.labels),
        accuracy=_accuracy(after, samples.labels),
    )


def _previous(output: torch.Tensor) -> torch.Tensor:
    """What a loop carries: the output of the step before, nothing at first."""
    return torch.cat([torch.zeros_like(output[:1]), output[:-1]])


def _accuracy(predicted: torch.Tensor, labels: torch.Tensor | None) -> float | None:
    return None if labels is None else float((predicted == labels).float().mean())


def membrane_distance(plan: Plan, x: torch.Tensor, spikes: dict[str, torch.Tensor]) -> MembraneDistance:
    """``|v - v_threshold|`` in float64, every layer given the recorded ``spikes`` of the layers before it.

    The float64 run is made at the first flip only: a bundle without flips never pays for it.
    """
    inputs: dict[str, torch.Tensor] = {}

    def distance(layer: str, _flips: torch.Tensor) -> torch.Tensor:
        if not inputs:
            forced = {name: spike.double() for name, spike in spikes.items()}
            trace = Reference(plan, dtype=torch.float64).run(x.double(), record="all", forced=forced)
            inputs.update({**trace.records, **forced})
        arriving = [inputs[source] for source in plan.sources[layer]]
        arriving += [_previous(inputs[source]) for source in plan.feedback.get(layer, ())]
        membrane = membranes64(plan, layer, torch.stack(arriving).sum(0), spikes[layer])
        node = plan.node(layer)
        given = node.threshold if isinstance(node, nir.Threshold) else node.v_threshold
        threshold = torch.as_tensor(given, dtype=torch.float64)
        result: torch.Tensor = (membrane - threshold).abs()
        return result

    return distance
