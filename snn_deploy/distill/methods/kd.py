"""Knowledge distillation on the mean over time of the student's logits.

::

    L = ce (1 - alpha) CE(sigma(z_mean), y) + alpha tau^2 KL( sigma(u/tau) || sigma(z_mean/tau) )

``z_mean = (1/T) Σ_t z(t)`` ``[B, K]``, ``u`` teacher logits ``[B, K]`` (constant), batch mean.
Source: Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network", with the mean over
time as the student's logits. ``ce`` is 1, or 0 beside another method that brings the cross entropy.
"""

from __future__ import annotations

import torch

from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import cross_entropy, divergence
from snn_deploy.distill.methods.method import (
    DistillBatch,
    Method,
    Setting,
    Terms,
    need_teacher,
    required_teacher,
)
from snn_deploy.distill.methods.options import KdOptions


def kd_terms(
    z: torch.Tensor, u: torch.Tensor, y: torch.Tensor, options: KdOptions, label_smoothing: float = 0.0
) -> Terms:
    """Terms ``ce`` and ``kl`` for ``z [T, B, K]``, ``u [B, K]``; see the module's equation."""
    mean = z.mean(0)
    ce = cross_entropy(mean, y, label_smoothing=label_smoothing)
    kl = divergence(u, mean, options.tau)
    return {"ce": options.ce * (1 - options.alpha) * ce, "kl": options.alpha * options.tau**2 * kl}


@METHODS.register("kd")
class Kd(Method):
    """Teacher logits against the time-mean of the student's."""

    def __init__(self, options: KdOptions, setting: Setting) -> None:
        super().__init__(setting)
        need_teacher("kd", setting)
        self.label_loss = options.ce * (1 - options.alpha) > 0
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce`` and ``kl``."""
        u = required_teacher(batch)
        return kd_terms(batch.student_logits, u, batch.labels, self._options, self._label_smoothing)
