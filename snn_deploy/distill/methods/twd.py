"""TWD: every step learns from the labels, from the teacher, and from the mean of the student's right steps.

::

    c_t = [argmax_k z(t)_k = y]  per sample        m = Σ_t c_t z(t) / (Σ_t c_t + 1e-8)
    L = ce (1/T) Σ_t CE(sigma(z(t)), y)
        + alpha tau^2 (1/T) Σ_t KL( sigma(u/tau) || sigma(z(t)/tau) )
        + beta  tau^2 (1/T) Σ_t KL( sigma(m/tau) || sigma(z(t)/tau) )        m constant

``z(t) [B, K]`` student logits at step t, ``u [B, K]`` teacher logits (constant), batch mean. Where no step of
a sample is right m is 0, so that the last term pulls that sample toward equal classes.
Source: temporal-wise logit distillation, ICML 2025, arXiv 2501.15925, with ``alpha`` 0.2, ``beta`` 0.5,
``tau`` 3 (1 on ImageNet), and ``alpha`` 0 on recordings, where its released script has no teacher.
Our choice: with mixed labels ``y [B, K]`` a step is right when it names the likeliest class.
"""

from __future__ import annotations

import torch

from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import class_numbers, divergence, stepwise_cross_entropy
from snn_deploy.distill.methods.method import (
    DistillBatch,
    Method,
    Setting,
    Terms,
    need_teacher,
    required_teacher,
)
from snn_deploy.distill.methods.options import TwdOptions

_NONE_RIGHT = 1e-8


def mean_of_right_steps(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``m [B, K]`` of ``z [T, B, K]`` and class numbers ``y [B]``; see the module's equation."""
    right = (z.argmax(-1) == y).to(z.dtype).unsqueeze(-1)
    return (right * z).sum(0) / (right.sum(0) + _NONE_RIGHT)


def twd_terms(
    z: torch.Tensor,
    u: torch.Tensor | None,
    y: torch.Tensor,
    options: TwdOptions,
    label_smoothing: float = 0.0,
) -> Terms:
    """Terms ``ce``, ``kl`` (with a teacher) and ``right`` for ``z [T, B, K]``, ``u [B, K]``."""
    factor = options.tau**2
    terms = {"ce": options.ce * stepwise_cross_entropy(z, y, label_smoothing=label_smoothing)}
    if u is not None:
        terms["kl"] = options.alpha * factor * divergence(u, z, options.tau)
    right = mean_of_right_steps(z, class_numbers(y))
    terms["right"] = options.beta * factor * divergence(right, z, options.tau)
    return terms


@METHODS.register("twd")
class Twd(Method):
    """Every step learns from labels, teacher, and the mean of the steps that are right."""

    def __init__(self, options: TwdOptions, setting: Setting) -> None:
        super().__init__(setting)
        if options.alpha > 0:
            need_teacher("twd", setting)
        self.label_loss = options.ce > 0
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``kl`` unless ``alpha`` is 0, and ``right``."""
        u = required_teacher(batch) if self._options.alpha > 0 else None
        return twd_terms(batch.student_logits, u, batch.labels, self._options, self._label_smoothing)
