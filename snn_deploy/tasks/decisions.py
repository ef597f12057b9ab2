"""What a network decides after every step, gathered while it runs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from snn_deploy.report.shown import Decisions

STEPS = 128
"""At most so many steps are looked at, evenly spread; our choice."""
PAIRS = 1024
"""At most so many pairs of confused classes are listed; our choice."""


class Deciding:
    """Turns outputs of successive blocks of time into decisions.

    With the scores o_t [B, K] of step t, the decision after t steps is argmax over K of the mean of
    o_1 .. o_t, or of o_t alone where the network is decoded by its ``last`` value. Sums are in float64.
    """

    def __init__(self, decode: str) -> None:
        self._last = decode == "last"
        self._sum: torch.Tensor | None = None
        self._found: list[torch.Tensor] = []

    def see(self, output: torch.Tensor) -> None:
        """The next block of outputs, ``[T, B, *shape]``."""
        scores = output.detach().flatten(2).double().cpu()
        if not self._last:
            scores = scores.cumsum(0)
            if self._sum is not None:
                scores += self._sum
            self._sum = scores[-1].clone()
        self._found.append(scores.argmax(2).int())

    def decided(self) -> torch.Tensor:
        """Class decided after each step, ``[T, B]``."""
        return torch.cat(self._found)


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
