"""What the trainer tells whoever watches. Rendering is the watcher's business; ``str`` gives a plain line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """Training of the ``teacher`` or the ``student`` starts at ``step`` of ``steps`` (not 0 on resume)."""

    phase: str
    epochs: int
    step: int
    steps: int

    def __str__(self) -> str:
        place = f", continued after step {self.step}" if self.step else ""
        return f"training the {self.phase}: {self.epochs} epochs, {self.steps} steps{place}"


@dataclass(frozen=True, slots=True)
class StepsDone:
    """``step`` of ``steps`` is done, with its ``loss`` and learning rate."""

    phase: str
    epoch: int
    step: int
    steps: int
    loss: float
    lr: float

    def __str__(self) -> str:
        return f"{self.phase} step {self.step}/{self.steps}: loss {self.loss:.4f}"


@dataclass(frozen=True, slots=True)
class EpochDone:
    """An epoch (from 1) is done. Accuracies are fractions; ``best`` says whether validation improved, which
    a line of text marks with a star."""

    phase: str
    epoch: int
    epochs: int
    loss: float
    train_accuracy: float
    validation_accuracy: float
    best: bool
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.phase} epoch {self.epoch}/{self.epochs}: loss {self.loss:.4f}, "
            f"train {100 * self.train_accuracy:.1f} %, val {100 * self.validation_accuracy:.1f} %"
            f"{'*' if self.best else ''}, {self.seconds:.1f} s"
        )


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader of the run should know."""

    text: str

    def __str__(self) -> str:
        return self.text


Event = PhaseStarted | StepsDone | EpochDone | Note
Report = Callable[[Event], None]
