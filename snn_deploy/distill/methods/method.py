"""What a distillation method is: a loss, what it wants to see, and helpers that are dropped afterwards.

A method never edits the networks. It says which module paths it taps and how many steps it wants
the student to run, and turns what the trainer then hands it into named loss terms.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.processes.share import Share, share_of

Terms = dict[str, torch.Tensor]
"""Named scalar loss terms; their sum is the loss."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a method is built for.

    Attributes:
        student: ``[T, B, *in_shape] -> [T, B, classes]``.
        teacher: ``[B, *in_shape] -> [B, classes]``, frozen, or None.
        in_shape: shape of one frame.
        classes: number of classes K.
        timesteps: the recipe's T.
        label_smoothing: for the cross entropy of the method.
        steady: the data's; see :class:`~snn_deploy.data.types.DataSet`.
    """

    student: nn.Module
    teacher: nn.Module | None
    in_shape: tuple[int, int, int]
    classes: int
    timesteps: int
    label_smoothing: float = 0.0
    steady: bool = False


@dataclass(frozen=True, slots=True)
class StudentPass:
    """One run of the student from zero state: scaled ``logits [T, B, K]``, tapped ``feats [T, B, ...]``."""

    logits: torch.Tensor
    feats: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DistillBatch:
    """What one training step offers to a method.

    Attributes:
        passes: the student's runs, by their number of steps.
        timesteps: the recipe's T; the key of the ordinary run.
        labels: class numbers ``[B]`` (int64) or class probabilities ``[B, K]``.
        generator: for methods that draw random numbers, on the device; part of every checkpoint.
        teacher_logits: ``[B, K]``, or None without a teacher.
        teacher_feats: tapped outputs of the teacher, by module path, ``[B, ...]``.
    """

    passes: Mapping[int, StudentPass]
    timesteps: int
    labels: torch.Tensor
    generator: torch.Generator
    teacher_logits: torch.Tensor | None = None
    teacher_feats: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def share(self) -> Share:
        """What this is of the batch that the optimiser takes a step on."""
        return share_of(self.generator) or Share(0, len(self.labels), len(self.labels))

    @property
    def student_logits(self) -> torch.Tensor:
        """Logits of the ordinary run, ``[T, B, K]``."""
        return self.passes[self.timesteps].logits

    @property
    def student_feats(self) -> Mapping[str, torch.Tensor]:
        """Tapped outputs of the ordinary run, by module path, ``[T, B, ...]``."""
        return self.passes[self.timesteps].feats


class Method(nn.Module):
    """Base of all methods. Its own parameters are helpers: trained with the student, never saved with it.

    Attributes:
        student_taps: module paths in the student whose outputs the method needs.
        teacher_taps: the same in the teacher.
        teacher_gradients: whether it differentiates the teacher's logits with respect to tapped outputs
            (class activation maps). The teacher's parameters are frozen either way.
        passes: the numbers of steps of the student's runs that it needs. Data are binned for each.
        label_loss: whether the cross entropy of the ordinary run with the labels is among its terms.
            One method of a recipe may bring it; the others get ``ce: 0``.
        whole_batch: whether its terms are more than means over samples: they need a figure of the whole
            batch, which :attr:`DistillBatch.share` finds across processes, but not across parts of a batch.
    """

    def __init__(self, setting: Setting) -> None:
        super().__init__()
        self.student_taps: tuple[str, ...] = ()
        self.teacher_taps: tuple[str, ...] = ()
        self.teacher_gradients = False
        self.passes: tuple[int, ...] = (setting.timesteps,)
        self.label_loss = False
        self.whole_batch = False

    @abstractmethod
    def losses(self, batch: DistillBatch) -> Terms:
        """Named terms of the loss of one batch; their sum is what training reduces."""


def required_teacher(batch: DistillBatch) -> torch.Tensor:
    """The teacher's logits of a batch, for methods that have asked for a teacher when they were built."""
    assert batch.teacher_logits is not None
    return batch.teacher_logits


def need_teacher(name: str, setting: Setting) -> None:
    """Refuse to build the method ``name`` without a teacher.

    Raises:
        ConfigError: the recipe has no teacher.
    """
    if setting.teacher is None:
        raise ConfigError(
            f"The method '{name}' needs a teacher, and the recipe has none.",
            hint="Add a 'teacher' section, or use the method 'none'.",
        )
