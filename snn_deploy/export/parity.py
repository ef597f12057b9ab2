"""Comparison of two runs of one network, spike by spike, layer by layer.

Every layer is compared twice:

* *free*: both networks run on their own; a flip in an early layer changes everything behind it;
* *given the reference's input* (``forced``): each layer of the candidate sees what the reference's layer
  saw, so that one flip is counted once, where it happens. The output of the network is judged in this run.

A flip is a **tie** when float rounding alone explains it, **after a tie** when the neuron's own history,
parted by a tie, demands it (:mod:`snn_deploy.export.proof.evidence`), else **unexplained**. Outputs may
differ by twice what rounding can do to them (:mod:`snn_deploy.export.proof.rounding`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from typing import Any, Literal

import numpy as np
import torch

from snn_deploy.export.proof.coverage import Coverage, summary
from snn_deploy.export.proof.evidence import Flips
from snn_deploy.export.proof.probed import Probed

OUTPUT_TOLERANCE = 1e-4
"""Of the largest output, for runtimes that show no layers and are not held to equality; our choice."""
READOUT_TOLERANCE = 4 * 2.0**-24
"""Relative, for the float32 scaling of an integer readout: at most four roundings."""

Verdict = Literal["equal", "ties only", "approximate", "failed", "not shown", "not run"]


@dataclass(frozen=True, slots=True)
class LayerParity:
    """Spikes of one layer: compared, and differing in which way. ``first`` is (step, sample, element), the
    first in time.

    ``spikes_reference``, ``spikes`` and ``spikes_both`` count those of the reference, of the candidate, and
    of both at once, given the reference's input.
    """

    layer: str
    compared: int
    differing: int = 0
    ties: int = 0
    after_ties: int = 0
    free_differing: int = 0
    first: tuple[int, int, int] | None = None
    spikes_reference: int = 0
    spikes: int = 0
    spikes_both: int = 0

    @property
    def unexplained(self) -> int:
        """Flips that no tie explains."""
        return self.differing - self.ties - self.after_ties

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation of both spike trains (phi coefficient); None where one is constant."""
        n, a, b = float(self.compared), float(self.spikes_reference), float(self.spikes)
        return correlation((n, a, b, a, b, float(self.spikes_both)))

    def __add__(self, other: LayerParity) -> LayerParity:
        """Join the counts of two sets of samples of the same layer, numbered alike."""
        return replace(
            self,
            compared=self.compared + other.compared,
            differing=self.differing + other.differing,
            ties=self.ties + other.ties,
            after_ties=self.after_ties + other.after_ties,
            free_differing=self.free_differing + other.free_differing,
            first=min((found for found in (self.first, other.first) if found), default=None),
            spikes_reference=self.spikes_reference + other.spikes_reference,
            spikes=self.spikes + other.spikes,
            spikes_both=self.spikes_both + other.spikes_both,
        )


@dataclass(frozen=True, slots=True)
class Parity:
    """The result of one check: ``candidate`` executed by ``runtime`` against ``reference``.

    Attributes:
        exact: whether the format promises equality; an approximate format (8-bit weights) has its drift
            reported instead and fails only by accuracy.
        against: in words, what it was compared with.
        output_differing: output elements that differ beyond rounding, given the reference's spikes.
        output_free_differing: the same, both running on their own; only where that must be equal.
        output_max_difference: largest absolute difference of the outputs.
        same_decision: samples whose predicted class is the same.
        accuracy_reference, accuracy: fractions correct, None without labels.
        output_moments: n, sum a, sum b, sum a^2, sum b^2, sum a b over the output elements of reference (a)
            and candidate (b), both running on their own.
        coverage: what the samples exercised.
        probes: what synthetic inputs exercised; of exact checks.
        reason: why it failed, was not run or shows nothing.
    """

    format: str
    runtime: str
    reference: str
    exact: bool
    samples: int
    layers: tuple[LayerParity, ...] = ()
    output_compared: int = 0
    output_differing: int = 0
    output_free_differing: int = 0
    output_max_difference: float = 0.0
    same_decision: int = 0
    accuracy_reference: float | None = None
    accuracy: float | None = None
    output_moments: tuple[float, ...] = (0.0,) * 6
    coverage: Coverage | None = None
    probes: Probed | None = None
    against: str = ""
    verdict: Verdict = "not run"
    reason: str = ""

    @property
    def compared(self) -> int:
        """Spikes compared over all layers, or output elements where layers are not visible."""
        return sum(layer.compared for layer in self.layers) or self.output_compared

    @property
    def differing(self) -> int:
        """Differing spikes that no tie explains; where equality is asked for, differing outputs too."""
        if not self.layers:
            return self.output_differing
        return sum(layer.unexplained for layer in self.layers) + self.output_differing * self.exact

    @property
    def ties(self) -> int:
        """Ties and the flips they caused in the same neuron."""
        return sum(layer.ties + layer.after_ties for layer in self.layers)

    @property
    def agreement(self) -> float:
        """Fraction of compared spikes that are equal, given the reference's input."""
        flips = sum(layer.differing for layer in self.layers) if self.layers else self.output_differing
        return 1.0 - flips / max(self.compared, 1)

    @property
    def output_correlation(self) -> float | None:
        """Pearson's correlation of the outputs; None where one of them is constant."""
        return correlation(self.output_moments)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values with the derived figures."""
        content = asdict(self)
        cover = self.coverage
        content["exercised"] = None if cover is None else summary(cover.layers) | {"not_shown": cover.missing}
        content |= {"compared": self.compared, "differing": self.differing, "ties": self.ties}
        content |= {"output_correlation": self.output_correlation}
        return content | {"agreement": self.agreement}


def compare_layer(
    layer: str,
    reference: torch.Tensor,
    forced: torch.Tensor,
    free: torch.Tensor,
    found: Flips | None = None,
) -> LayerParity:
    """Compare one layer's spikes ``[T, B, *shape]``; ``found`` are the classes of its flips, if any is a
    tie."""
    same = forced is reference or _equal(forced, reference)
    flips = reference.new_zeros(()) if same else forced != reference
    spikes = _nonzero(reference)
    result = LayerParity(
        layer=layer,
        compared=reference.numel(),
        differing=0 if same else _nonzero(flips),
        free_differing=0 if _equal(free, reference) else _nonzero(free != reference),
        spikes_reference=spikes,
        spikes=spikes if same else _nonzero(forced),
        spikes_both=spikes if same else _nonzero((reference != 0) & (forced != 0)),
    )
    if not result.differing:
        return result
    flat = flips.reshape(flips.shape[0], flips.shape[1], -1)
    step, sample, element = (int(i) for i in flat.nonzero()[0])
    result = replace(result, first=(step, sample, element))
    return result if found is None else explained(result, found)


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return np.array_equal(a.numpy(), b.numpy())  # three times as fast as torch on bool, counting five times


def _nonzero(values: torch.Tensor) -> int:
    return int(np.count_nonzero(values.numpy()))


def explained(layer: LayerParity, found: Flips) -> LayerParity:
    """``layer`` with the flips that are explained."""
    return replace(
        layer,
        ties=layer.ties + int(found.ties.sum()),
        after_ties=layer.after_ties + int(found.after_ties.sum()),
    )


def compare_output(reference: torch.Tensor, output: torch.Tensor) -> tuple[int, float]:
    """Elements that differ by more than ``OUTPUT_TOLERANCE``, and the largest difference."""
    difference = (output - reference).abs()
    bound = OUTPUT_TOLERANCE * reference.abs().max()
    outside = int((~(difference <= bound)).sum())
    return outside, float(difference.max()) if difference.numel() else 0.0


def moments(reference: torch.Tensor, output: torch.Tensor) -> tuple[float, ...]:
    """The six sums that :func:`correlation` needs; zeros where an output is not finite."""
    a, b = reference.double().flatten(), output.double().flatten()
    sums = (a.sum(), b.sum(), a @ a, b @ b, a @ b)
    found = (float(a.numel()), *(float(value) for value in sums))
    return found if all(map(math.isfinite, found)) else (0.0,) * 6


def correlation(sums: Sequence[float]) -> float | None:
    """Pearson's correlation from the sums of :func:`moments`; None where a side is constant."""
    n, a, b, aa, bb, ab = sums
    if not n:
        return None
    spread_a, spread_b = n * aa - a * a, n * bb - b * b
    if min(spread_a / (n * aa or 1.0), spread_b / (n * bb or 1.0)) <= 1e-12:
        return None
    return (n * ab - a * b) / math.sqrt(spread_a * spread_b)


def join(parts: Sequence[Parity]) -> Parity:
    """Join the checks of successive chunks of samples into one."""
    first = parts[0]
    samples = sum(part.samples for part in parts)
    begins = accumulate((part.samples for part in parts), initial=0)
    moved = [[_from(begin, layer) for layer in p.layers] for begin, p in zip(begins, parts, strict=False)]
    layers = tuple(_sum(column) for column in zip(*moved, strict=True))

    def mean(values: Sequence[float | None]) -> float | None:
        known = [v * p.samples for v, p in zip(values, parts, strict=True) if v is not None]
        return sum(known) / samples if len(known) == len(parts) else None

    return replace(
        first,
        samples=samples,
        layers=layers,
        output_compared=sum(part.output_compared for part in parts),
        output_differing=sum(part.output_differing for part in parts),
        output_free_differing=sum(part.output_free_differing for part in parts),
        output_moments=tuple(sum(column) for column in zip(*(p.output_moments for p in parts), strict=True)),
        output_max_difference=max(part.output_max_difference for part in parts),
        same_decision=sum(part.same_decision for part in parts),
        accuracy_reference=mean([part.accuracy_reference for part in parts]),
        accuracy=mean([part.accuracy for part in parts]),
    )


def _from(begin: int, layer: LayerParity) -> LayerParity:
    """``layer`` of a part whose samples begin at ``begin``."""
    if layer.first is None:
        return layer
    step, sample, element = layer.first
    return replace(layer, first=(step, begin + sample, element))


def _sum(layers: Iterable[LayerParity]) -> LayerParity:
    total, *rest = layers
    for layer in rest:
        total = total + layer
    return total


def decisions(output: torch.Tensor, decode: str) -> torch.Tensor:
    """Predicted class per sample from ``output [T, B, K]``."""
    scores = output.mean(0) if decode == "mean" else output[-1]
    return scores.flatten(1).argmax(1)


def compared_layers(
    reference: Mapping[str, torch.Tensor], candidate: Mapping[str, torch.Tensor], layers: Sequence[str]
) -> tuple[str, ...]:
    """Those of ``layers`` that both runs recorded, in the reference's order."""
    return tuple(name for name in reference if name in candidate and name in layers)
