"""Comparison of two runs of one network, spike by spike, layer by layer.

Every layer is compared twice:

* *free*: both networks run on their own; a flip in an early layer changes everything behind it;
* *given the reference's input* (``forced``): each layer of the candidate sees what the reference's layer
  saw, so that one flip is counted once, where it happens.

A flip is a **tie** when float rounding alone explains it: the membrane potential of that neuron at that
step, recomputed in float64 from the reference's own input and spikes, lies within ``TIE_WIDTH`` of the
threshold. Once a neuron has tied, its reset history differs, so later flips of the same neuron in the same
sample are listed as *after a tie*. Everything else is *unexplained* and fails the bundle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch

TIE_WIDTH = 1e-5
OUTPUT_TOLERANCE = 1e-4

Verdict = Literal["equal", "ties only", "approximate", "failed", "not run"]

MembraneDistance = Callable[[str, torch.Tensor], torch.Tensor]
"""``(layer, flips [T, B, *shape] bool) -> |v - threshold|`` in float64 at every element."""


@dataclass(frozen=True, slots=True)
class LayerParity:
    """Spikes of one layer: compared, and differing in which way. ``first`` is (step, sample, element)."""

    layer: str
    compared: int
    differing: int = 0
    ties: int = 0
    after_ties: int = 0
    free_differing: int = 0
    first: tuple[int, int, int] | None = None

    @property
    def unexplained(self) -> int:
        """Flips that no tie explains."""
        return self.differing - self.ties - self.after_ties

    def __add__(self, other: LayerParity) -> LayerParity:
        """Join the counts of two sets of samples of the same layer."""
        return replace(
            self,
            compared=self.compared + other.compared,
            differing=self.differing + other.differing,
            ties=self.ties + other.ties,
            after_ties=self.after_ties + other.after_ties,
            free_differing=self.free_differing + other.free_differing,
            first=self.first or other.first,
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """The result of one check: ``candidate`` executed by ``runtime`` against ``reference``.

    Attributes:
        exact: whether the format promises equality; an approximate format (8-bit weights) has its drift
            reported instead and fails only by accuracy.
        output_differing: output elements that differ (spikes) or lie outside ``OUTPUT_TOLERANCE``.
        output_max_difference: largest absolute difference of the outputs.
        same_decision: samples whose predicted class is the same.
        accuracy_reference, accuracy: fractions correct, None without labels.
        reason: why it failed or was not run.
    """

    format: str
    runtime: str
    reference: str
    exact: bool
    samples: int
    layers: tuple[LayerParity, ...] = ()
    output_compared: int = 0
    output_differing: int = 0
    output_max_difference: float = 0.0
    same_decision: int = 0
    accuracy_reference: float | None = None
    accuracy: float | None = None
    verdict: Verdict = "not run"
    reason: str = ""

    @property
    def compared(self) -> int:
        """Spikes compared over all layers, or output elements where layers are not visible."""
        return sum(layer.compared for layer in self.layers) or self.output_compared

    @property
    def differing(self) -> int:
        """Differing spikes that no tie explains."""
        if not self.layers:
            return self.output_differing
        return sum(layer.unexplained for layer in self.layers)

    @property
    def ties(self) -> int:
        """Ties and the flips they caused in the same neuron."""
        return sum(layer.ties + layer.after_ties for layer in self.layers)

    @property
    def agreement(self) -> float:
        """Fraction of compared spikes that are equal, given the reference's input."""
        flips = sum(layer.differing for layer in self.layers) if self.layers else self.output_differing
        return 1.0 - flips / max(self.compared, 1)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values with the derived figures."""
        content = asdict(self)
        content |= {"compared": self.compared, "differing": self.differing, "ties": self.ties}
        return content | {"agreement": self.agreement}


def compare_layer(
    layer: str,
    reference: torch.Tensor,
    forced: torch.Tensor,
    free: torch.Tensor,
    distance: MembraneDistance | None,
) -> LayerParity:
    """Compare one layer's spikes ``[T, B, *shape]``; see the module text for the classes of flips."""
    flips = forced != reference
    result = LayerParity(
        layer=layer,
        compared=reference.numel(),
        differing=int(flips.sum()),
        free_differing=int((free != reference).sum()),
    )
    if not result.differing:
        return result
    flat = flips.reshape(flips.shape[0], flips.shape[1], -1)
    step, sample, element = (int(i) for i in flat.nonzero()[0])
    result = replace(result, first=(step, sample, element))
    if distance is None:
        return result
    earlier = flips.cumsum(0) - flips.long()
    first_flips = flips & (earlier == 0)
    ties = first_flips & (distance(layer, first_flips) <= TIE_WIDTH)
    tied_before = (ties.cumsum(0) - ties.long()) > 0
    return replace(result, ties=int(ties.sum()), after_ties=int((flips & tied_before).sum()))


def compare_output(reference: torch.Tensor, output: torch.Tensor) -> tuple[int, float]:
    """Elements outside the tolerance, and the largest difference; spikes (0/1) must be equal."""
    difference = (output - reference).abs()
    bound = OUTPUT_TOLERANCE * reference.abs().clamp(min=1.0)
    outside = int((~(difference <= bound)).sum())
    return outside, float(difference.max()) if difference.numel() else 0.0


def join(parts: Sequence[Parity]) -> Parity:
    """Join the checks of successive chunks of samples into one."""
    first = parts[0]
    samples = sum(part.samples for part in parts)
    layers = tuple(_sum(part.layers[position] for part in parts) for position in range(len(first.layers)))

    def mean(values: Sequence[float | None]) -> float | None:
        known = [v * p.samples for v, p in zip(values, parts, strict=True) if v is not None]
        return sum(known) / samples if len(known) == len(parts) else None

    return replace(
        first,
        samples=samples,
        layers=layers,
        output_compared=sum(part.output_compared for part in parts),
        output_differing=sum(part.output_differing for part in parts),
        output_max_difference=max(part.output_max_difference for part in parts),
        same_decision=sum(part.same_decision for part in parts),
        accuracy_reference=mean([part.accuracy_reference for part in parts]),
        accuracy=mean([part.accuracy for part in parts]),
    )


def _sum(layers: Any) -> LayerParity:
    total, *rest = layers
    for layer in rest:
        total = total + layer
    result: LayerParity = total
    return result


def judge(parity: Parity, *, max_accuracy_drop: float) -> Parity:
    """Give the verdict.

    An exact format passes without unexplained flips and without differing outputs, except those that a tie
    further up caused. An approximate one passes while it loses at most ``max_accuracy_drop`` (a fraction),
    and is called equal when nothing differs.
    """
    if parity.exact:
        if parity.differing:
            where = next((layer for layer in parity.layers if layer.unexplained), None)
            place = f" first in '{where.layer}' at (step, sample, element) {where.first}" if where else ""
            return replace(parity, verdict="failed", reason=f"{parity.differing} spikes differ{place}")
        if parity.ties:
            return replace(parity, verdict="ties only", reason=f"{parity.ties} float ties, listed apart")
        free = sum(layer.free_differing for layer in parity.layers)
        if parity.output_differing or free:
            return replace(
                parity,
                verdict="failed",
                reason=f"{parity.output_differing} outputs and {free} free-running spikes differ",
            )
        return replace(parity, verdict="equal")
    if parity.accuracy is not None and parity.accuracy_reference is not None:
        drop = parity.accuracy_reference - parity.accuracy
        if drop > max_accuracy_drop:
            return replace(
                parity,
                verdict="failed",
                reason=f"accuracy drops by {100 * drop:.1f} points; allowed {100 * max_accuracy_drop:.1f}",
            )
    if not (parity.output_differing or any(n.differing or n.free_differing for n in parity.layers)):
        return replace(parity, verdict="equal")
    return replace(parity, verdict="approximate", reason="approximations are listed in the manifest")


def decisions(output: torch.Tensor, decode: str) -> torch.Tensor:
    """Predicted class per sample from ``output [T, B, K]``."""
    scores = output.mean(0) if decode == "mean" else output[-1]
    return scores.flatten(1).argmax(1)


def compared_layers(
    reference: Mapping[str, torch.Tensor], candidate: Mapping[str, torch.Tensor], layers: Sequence[str]
) -> tuple[str, ...]:
    """Those of ``layers`` that both runs recorded, in the reference's order."""
    return tuple(name for name in reference if name in candidate and name in layers)
