"""What a network decides after every step, and how sure it is, gathered while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from snn_deploy.core.early_exit import Confidences, candidates, confidence, exit_steps
from snn_deploy.energy.counts import IntArray
from snn_deploy.report.shown import Decisions, EarlyExit, ExitPoint

STEPS = 128
"""At most so many steps are looked at, evenly spread; our choice."""
PAIRS = 1024
"""At most so many pairs of confused classes are listed; our choice."""


@dataclass(frozen=True, slots=True)
class Decided:
    """After each step of each sample: the class ``[T, N]`` and the confidence ``[T, N]`` in it."""

    classes: torch.Tensor
    confidences: Confidences


class Deciding:
    """Turns outputs of successive blocks of time into decisions.

    With the scores o_t [B, K] of step t, the decision after t steps is argmax over K of the mean of
    o_1 .. o_t, or of o_t alone where the network is decoded by its ``last`` value. Sums are in float64.
    Confidences are those of :mod:`snn_deploy.core.early_exit`, with its ``factor``.
    """

    def __init__(self, decode: str, factor: float = 1.0) -> None:
        self._last, self._factor = decode == "last", factor
        self._sum: torch.Tensor | None = None
        self._found: list[torch.Tensor] = []
        self._sure: list[Confidences] = []

    def see(self, output: torch.Tensor) -> None:
        """The next block of outputs, ``[T, B, *shape]``."""
        scores = output.detach().flatten(2).double().cpu()
        if not self._last:
            scores = scores.cumsum(0)
            if self._sum is not None:
                scores += self._sum
            self._sum = scores[-1].clone()
        self._found.append(scores.argmax(2).int())
        self._sure.append(confidence(scores.numpy(), self._factor))

    def decided(self) -> Decided:
        """What was decided after each step, and how surely."""
        return Decided(torch.cat(self._found), np.concatenate(self._sure))


def join(parts: Sequence[Decided]) -> Decided:
    """The decisions of successive samples."""
    return Decided(
        torch.cat([part.classes for part in parts], 1),
        np.concatenate([part.confidences for part in parts], 1),
    )


def early_exit(
    decided: Decided, labels: torch.Tensor | None, sops: IntArray, scale: float, at: float | None
) -> EarlyExit | None:
    """What stopping by confidence gives at each threshold, for synaptic operations ``sops [T, N]``; None
    where there is one class or one step. ``at`` is the network's own threshold, if it has one."""
    classes = decided.classes.numpy()
    if len(classes) < 2 or bool((decided.confidences == 1).all()):
        return None
    samples, spent = np.arange(classes.shape[1]), sops.cumsum(0)
    wanted = sorted({*candidates(decided.confidences), *([] if at is None else [at])})

    def point(threshold: float) -> ExitPoint:
        stopped = exit_steps(decided.confidences, threshold)
        found = classes[stopped, samples]
        return ExitPoint(
            at=threshold,
            steps=float(stopped.mean() + 1),
            sops=float(spent[stopped, samples].mean()),
            accuracy=None if labels is None else float((found == labels.cpu().numpy()).mean()),
            settled=float((found == classes[-1]).mean()),
        )

    return EarlyExit(scale=scale, at=at, points=tuple(point(threshold) for threshold in wanted))


def steps_shown(steps: int, at_most: int = STEPS) -> tuple[int, ...]:
    """Steps from 1, the last among them."""
    count = min(steps, at_most)
    return tuple((i + 1) * steps // count for i in range(count))


def decisions(
    decided: torch.Tensor, labels: torch.Tensor | None, classes: int, names: Sequence[str] = ()
) -> Decisions | None:
    """Decisions ``decided [T, B]`` among ``classes``, held against ``labels [B]``; None where there is
    nothing to decide."""
    if classes < 2:
        return None
    steps = steps_shown(len(decided))
    at = torch.tensor(steps) - 1
    last = decided[-1]
    settled = (decided[at] == last).double().mean(1)
    block = Decisions(
        classes=classes,
        names=tuple(names) if len(names) == classes else (),
        samples=len(last),
        steps=steps,
        settled=tuple(settled.tolist()),
    )
    if labels is None:
        return block
    labels = labels.cpu().int()
    wrong = labels != last
    pairs, counts = torch.unique(torch.stack([labels[wrong], last[wrong]], 1), dim=0, return_counts=True)
    listed = sorted(
        ((int(a), int(b), int(n)) for (a, b), n in zip(pairs, counts, strict=True)), key=lambda row: -row[2]
    )
    samples = torch.bincount(labels.long(), minlength=classes)
    correct = torch.bincount(labels[~wrong].long(), minlength=classes)
    return block.model_copy(
        update={
            "accuracy": tuple((decided[at] == labels).double().mean(1).tolist()),
            "per_class": tuple(zip(correct.tolist(), samples.tolist(), strict=True)),
            "confused": tuple(listed[:PAIRS]),
            "confused_in_all": int(wrong.sum()),
        }
    )
