"""TSER: the teacher and the labels act on every step, and an entropy term damps over-confidence.

::

    L = ce (1 - alpha) (1/T) Σ_t CE(sigma(z(t)/tau_ce), y)
        + alpha c (1/T) Σ_t KL( sigma(u/tau) || sigma(z(t)/tau) )
        - lambda H
    H = (1/(T B)) Σ_t Σ_b Σ_k - p ln p,    p = sigma(z(t)/tau_h)

``z(t) [B, K]`` student logits at step t, ``u [B, K]`` teacher logits (constant), batch mean;
``ce`` is 1, or 0 beside another method that brings the cross entropy.
Source: K. Yu et al., CVPR 2025, arXiv 2503.03144. The two sums over time are reported by
independent texts. No official code was found, so these points are our choice, each an option:

* ``c = tau^2`` (``tau_squared: true``); the printed formula has ``c = 1``.
* ``tau_ce = 1`` (``ce_temperature: one``); a re-implementation uses tau.
* ``tau_h = tau`` (``entropy_temperature: tau``).
* ``H`` is the student's entropy: the teacher is constant, so only the student's can be trained.
* values of ``alpha``, ``lam`` (lambda) and ``tau``; none is published. Re-implementations have a ``lam`` of
  0.001 to 0.01, at which the entropy has under 2 % of the gradient; at 0.1 it has about a tenth ("What can
  hurt" in ``METHODS.md``).
"""

from __future__ import annotations

import torch

from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import divergence, entropy, stepwise_cross_entropy
from snn_deploy.distill.methods.method import (
    DistillBatch,
    Method,
    Setting,
    Terms,
    need_teacher,
    required_teacher,
)
from snn_deploy.distill.methods.options import TserOptions


def tser_terms(
    z: torch.Tensor, u: torch.Tensor, y: torch.Tensor, options: TserOptions, label_smoothing: float = 0.0
) -> Terms:
    """Terms ``ce``, ``kl`` and ``entropy`` for ``z [T, B, K]``, ``u [B, K]``; see the module's equation."""
    tau_ce, tau_h = (
        options.tau if which == "tau" else 1.0
        for which in (options.ce_temperature, options.entropy_temperature)
    )
    factor = options.tau**2 if options.tau_squared else 1.0
    ce = stepwise_cross_entropy(z / tau_ce, y, label_smoothing=label_smoothing)
    kl = divergence(u, z, options.tau)
    return {
        "ce": options.ce * (1 - options.alpha) * ce,
        "kl": options.alpha * factor * kl,
        "entropy": -options.lam * entropy(z, tau_h),
    }


@METHODS.register("tser")
class Tser(Method):
    """Labels and teacher act on every step; entropy is rewarded."""

    def __init__(self, options: TserOptions, setting: Setting) -> None:
        super().__init__(setting)
        need_teacher("tser", setting)
        self.label_loss = options.ce * (1 - options.alpha) > 0
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``kl`` and ``entropy``."""
        u = required_teacher(batch)
        return tser_terms(batch.student_logits, u, batch.labels, self._options, self._label_smoothing)
