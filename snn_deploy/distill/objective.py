"""What is optimised: the teacher on labels, or the student by a method. The trainer sees only this."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Protocol

import torch
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.distill.methods.losses import cross_entropy
from snn_deploy.distill.methods.method import DistillBatch, Method, StudentPass, Terms
from snn_deploy.distill.neurons.choice import scanned
from snn_deploy.distill.recompute import recomputed
from snn_deploy.distill.taps import tap

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Objective(Protocol):
    """Something that can be trained.

    Attributes:
        network: what is trained and kept.
        networks: all that are shown the inputs, trained or not.
        helpers: what is trained along and dropped.
        passes: for which numbers of steps it wants the training data.
    """

    network: nn.Module
    networks: tuple[nn.Module, ...]
    helpers: nn.Module
    passes: tuple[int, ...]

    def losses(
        self,
        inputs: Mapping[int, torch.Tensor],
        labels: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
    ) -> tuple[Terms, torch.Tensor]:
        """Loss terms and class scores ``[B, K]`` of one batch; ``inputs`` are ``[T, B, C, H, W]`` by T, and
        ``known [B, K]`` what the teacher says, if that is known."""

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Class scores ``[B, K]`` of ``x [T, B, C, H, W]``."""


def time_mean(x: torch.Tensor) -> torch.Tensor:
    """Mean over time of ``x [T, B, C, H, W]``; channels stay last in memory where they are."""
    last = x.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
    mean = x.mean(0)
    return mean.contiguous(memory_format=torch.channels_last) if last else mean


class LabelObjective:
    """Cross entropy of an analogue network on the mean over time of the frames: how teachers are trained."""

    def __init__(self, network: nn.Module, timesteps: int, label_smoothing: float) -> None:
        self.network = network
        self.networks: tuple[nn.Module, ...] = (network,)
        self.helpers: nn.Module = nn.ModuleList()
        self.passes: tuple[int, ...] = (timesteps,)
        self._label_smoothing = label_smoothing

    def losses(
        self,
        inputs: Mapping[int, torch.Tensor],
        labels: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
    ) -> tuple[Terms, torch.Tensor]:
        """``ce``."""
        logits = self.predict(inputs[self.passes[0]])
        return {"ce": cross_entropy(logits, labels, label_smoothing=self._label_smoothing)}, logits

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the time-mean of the frames."""
        logits: torch.Tensor = self.network(time_mean(x))
        return logits


class DistillObjective:
    """A student under a method, with a frozen teacher.

    The teacher is put into eval mode, its parameters are frozen, and its state (if it spikes) is reset for
    every batch; it sees the mean over time of the frames. The student starts every pass from zero state.
    The running statistics of its batch norms are those of the ordinary pass alone, because that is the one
    that is deployed: finer frames of the same events are sparser. With ``recompute``, its activations are
    computed again in the backward pass instead of being kept.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module | None,
        method: Method,
        timesteps: int,
        *,
        recompute: bool = False,
    ) -> None:
        self.network = student
        self.networks: tuple[nn.Module, ...] = (student,) if teacher is None else (student, teacher)
        self.helpers: nn.Module = method
        self.passes = method.passes
        self._teacher = None if teacher is None else teacher.eval().requires_grad_(False)
        self._method = method
        self._timesteps = timesteps
        self._recompute = recompute
        self._scale = float(getattr(student, "logit_scale", 1.0))

    @property
    def has_teacher(self) -> bool:
        """Whether there is one."""
        return self._teacher is not None

    @property
    def wants_logits_only(self) -> bool:
        """Whether the method wants nothing of the teacher but its logits."""
        return not self._method.teacher_taps and not self._method.teacher_gradients

    def ordinary(self, passes: Mapping[int, object]) -> int:
        """Which of ``passes``, by number of steps, is the one that decides and that the teacher sees."""
        return self._timesteps if self._timesteps in passes else next(iter(passes))

    def teacher_logits(self, x: torch.Tensor) -> torch.Tensor:
        """What the teacher says of ``x [T, B, C, H, W]``: ``[B, K]``."""
        logits, _ = self._ask_teacher(x)
        assert logits is not None
        return logits

    def losses(
        self,
        inputs: Mapping[int, torch.Tensor],
        labels: torch.Tensor,
        generator: torch.Generator,
        known: torch.Tensor | None = None,
    ) -> tuple[Terms, torch.Tensor]:
        """The method's terms."""
        ordinary = self.ordinary(inputs)
        teacher_logits, teacher_feats = self._ask_teacher(inputs[ordinary]) if known is None else (known, {})
        passes = {steps: self._run_student(x, decides=steps == ordinary) for steps, x in inputs.items()}
        batch = DistillBatch(passes, self._timesteps, labels, generator, teacher_logits, teacher_feats)
        return self._method.losses(batch), passes[ordinary].logits.mean(0)

    def predict(self, x: torch.Tensor) -> torch.Tensor:
        """Mean over time of the student's logits."""
        functional.reset_net(self.network)
        with scanned(self.network):
            logits: torch.Tensor = self.network(x)
        functional.reset_net(self.network)
        return logits.mean(0)

    def _run_student(self, x: torch.Tensor, *, decides: bool) -> StudentPass:
        functional.reset_net(self.network)
        statistics = contextlib.nullcontext() if decides else frozen_statistics(self.network)
        # Where activations are computed again, each block sees to its neurons, then and now.
        neurons = contextlib.nullcontext() if self._recompute else scanned(self.network)
        with statistics, neurons, tap(self.network, self._method.student_taps) as feats:
            logits = (recomputed(self.network, x) if self._recompute else self.network(x)) * self._scale
        functional.reset_net(self.network)
        return StudentPass(logits.float(), feats)

    def _ask_teacher(self, x: torch.Tensor) -> tuple[torch.Tensor | None, Mapping[str, torch.Tensor]]:
        if self._teacher is None:
            return None, {}
        gradients = self._method.teacher_gradients
        functional.reset_net(self._teacher)
        if self.wants_logits_only:
            with torch.inference_mode(), scanned(self._teacher):
                logits = self._teacher(time_mean(x)).float()
            return logits.clone(), {}  # a copy may take part in what has gradients
        tapped = tap(self._teacher, self._method.teacher_taps)
        with torch.set_grad_enabled(gradients), scanned(self._teacher), tapped as feats:
            logits = self._teacher(time_mean(x).requires_grad_(gradients))
        return logits.float(), feats


@contextlib.contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norms still normalise by their batch, but their running statistics stay as they are."""
    norms = [module for module in network.modules() if isinstance(module, _NORMS)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
