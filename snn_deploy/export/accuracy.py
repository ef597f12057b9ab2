"""What a run recorded of its student, held against what the export sees, and what limits its use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

from snn_deploy.core.errors import DataError
from snn_deploy.export.parity import Parity

FEW_SAMPLES = 30
DEVIATIONS = 4.0
"""Standard deviations of a binomial count that an accuracy may be off its record; our choice. By chance more
happens once in 15,000 exports."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """Accuracy of the student on its test split, a fraction of ``samples``."""

    accuracy: float
    samples: int


def recorded_accuracy(result: Mapping[str, Any] | None) -> Recorded | None:
    """The accuracy that a run has recorded; None where there is no run."""
    if result is None:
        return None
    return Recorded(float(result["student"]["test_accuracy"]), int(result["data"]["samples"]["test"]))


def before_use(result: Mapping[str, Any] | None, samples: int) -> Iterator[str]:
    """What to know before using the network: few samples, a student at chance."""
    if samples < FEW_SAMPLES:
        yield f"Proven on {samples} sample{'s' * (samples > 1)} only; accuracies from so few say little."
    recorded = recorded_accuracy(result)
    if recorded is None or result is None:
        return
    if recorded.samples < FEW_SAMPLES:
        yield f"The test set has {recorded.samples} samples only; its accuracy says little."
    classes = max(len(result["data"]["classes"]), 1)
    noise = 2 * sqrt((1 - 1 / classes) / classes / max(recorded.samples, 1))
    if recorded.accuracy <= 1 / classes + noise:
        yield (
            f"The student is at chance level: {100 * recorded.accuracy:.1f} % of its test set, "
            f"{classes} classes."
        )


def require_recorded(recorded: Recorded | None, parities: Sequence[Parity], *, chip: bool) -> None:
    """The student must be about as accurate as its run has recorded; that of a chip (``chip``) is the one in
    the chip's arithmetic.

    Raises:
        DataError: it is not; its weights are not those that were trained.
    """
    role = "student" if chip else "network"
    seen = [p for p in parities if p.reference == role and p.accuracy_reference is not None]
    if recorded is None or not seen:
        return
    accuracy, samples = seen[0].accuracy_reference, seen[0].samples
    assert accuracy is not None
    p = min(max(recorded.accuracy, 1 / (recorded.samples + 2)), 1 - 1 / (recorded.samples + 2))
    allowed = DEVIATIONS * sqrt(p * (1 - p) / samples) + 1 / samples
    if abs(accuracy - recorded.accuracy) > allowed:
        raise DataError(
            f"The student decides {100 * accuracy:.1f} % of {samples} samples right; its run has recorded "
            f"{100 * recorded.accuracy:.1f} %, and chance explains {100 * allowed:.1f} points at most.",
            hint="The weights, the data or result.json are not those of the training. Distil again.",
        )
