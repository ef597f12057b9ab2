"""Early exit: a network that is sure enough of its decision stops before its last step.

::

    a_t [K]  accumulated readout after t of T steps: (1/T) times the sum of the outputs of steps 1 .. t, or
             the output of step t, as the network is decoded
    c_t      = max_k softmax(scale a_t)_k  =  1 / Σ_k exp( scale (a_t,k - max_j a_t,j) )
    a sample ends with the first step t at which c_t >= at, and with step T at the latest

The decision is the class with the largest a_t. Evidence grows with the steps: a single spike of a readout is
little of it after one step, whereas the mean up to there would make it as much as a spike in every step. At
step T, a_T are the class scores. ``scale`` is the factor that the student's logits had in its training losses
(``logit_scale``; 1 without one), so that c_T is the probability it was trained to give. A confidence is at
least 1/K and at most 1. The threshold ``at`` is given, or :func:`choose` finds it on validation samples.
Confidences are computed in float64. That the readout is accumulated, not averaged, is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import ConfigError

NEAR = 0.005
"""Half a point below the accuracy after T steps is what stopping early may cost; our choice."""
CANDIDATES = 24
"""Thresholds looked at: quantiles of the confidences before step T; our choice."""

Confidences = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ExitRule:
    """When to stop.

    Attributes:
        at: confidence that suffices, above 0 and at most 1.
        scale: factor of the scores in the softmax.

    Raises:
        ConfigError: no such threshold or scale.
    """

    at: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.at <= 1:
            raise ConfigError(
                f"A confidence of {self.at:g} cannot be reached: it is between 0 and 1.", hint="Try 0.9."
            )
        if not (isfinite(self.scale) and self.scale > 0):
            raise ConfigError(f"The scale of scores is a positive number, not {self.scale:g}.")


@dataclass(frozen=True, slots=True)
class ChosenExit:
    """An exit rule of a bundle; of one that was chosen, what it gave on the validation ``samples``."""

    at: float
    scale: float
    chosen: Literal["given", "validation"] = "given"
    samples: int = 0
    accuracy: float | None = None
    accuracy_at_end: float | None = None
    mean_steps: float | None = None


def factor(scale: float, decode: str, steps: int) -> float:
    """What makes ``scale a_t`` of the sum of outputs of T = ``steps``, or of the last output."""
    return scale if decode == "last" else scale / steps


def confidence(gathered: npt.NDArray[np.floating], factor: float) -> Confidences:
    """``c [...]`` of summed or last outputs ``[..., K]``, times the :func:`factor`."""
    scaled = factor * np.asarray(gathered, np.float64)
    found: Confidences = 1 / np.exp(scaled - scaled.max(-1, keepdims=True)).sum(-1)
    return found


def exit_steps(confidences: Confidences, at: float) -> npt.NDArray[np.int64]:
    """Number of the step, from 0, with which each sample ends: ``[N]`` of confidences ``[T, N]``."""
    sure = confidences >= at
    sure[-1] = True
    found: npt.NDArray[np.int64] = sure.argmax(0)
    return found


def candidates(confidences: Confidences) -> tuple[float, ...]:
    """Thresholds that tell the samples of ``confidences [T, N]`` apart, rising; the last one is 1."""
    early = confidences[:-1]
    if not early.size:
        return (1.0,)
    quantiles = np.quantile(early, np.linspace(0, 1, CANDIDATES))
    rounded = np.minimum(np.ceil(1e4 * quantiles) / 1e4, 1.0)
    return tuple(sorted({*rounded.tolist(), 1.0}))


def choose(confidences: Confidences, correct: npt.NDArray[np.bool_]) -> float:
    """The least of the :func:`candidates` whose accuracy is within :data:`NEAR` of that after T steps.

    ``correct [T, N]``: whether the decision after each step is right. Without one it is 1, which only scores
    beyond all doubt reach.
    """
    whole = correct[-1].mean()
    for at in candidates(confidences):
        stopped = exit_steps(confidences, at)
        if correct[stopped, np.arange(len(stopped))].mean() >= whole - NEAR:
            return at
    return 1.0


def exit_words(stated: Mapping[str, Any], timesteps: int) -> str:
    """The ``exit`` of a manifest in sentences, for a network of so many steps."""
    text = (
        f"A sample ends with the first step whose confidence is {stated['at']:g} or more: the largest "
        f"softmax of {stated['scale']:g} times the readout accumulated so far."
    )
    if stated["chosen"] == "validation":
        text += (
            f" On {stated['samples']} validation samples, on which this was chosen: "
            f"{stated['mean_steps']:.1f} of {timesteps} steps on average and {100 * stated['accuracy']:.1f} "
            f"% correct, {100 * stated['accuracy_at_end']:.1f} % with all steps."
        )
    return text
