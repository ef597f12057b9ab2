"""Strong2Weak and Weak2Strong: the most and the least confident timestep guide each other; no teacher.

::

    c(t) = (1/B) Σ_b max_k sigma(z(t))[b, k]          s = argmax_t c(t)     w = argmin_t c(t)
    L_s2w = f KL( sigma(z(s)/tau) || sigma(z(w)/tau) )      z(s) constant
    L_w2s = f KL( sigma(z(w)/tau) || sigma(z(s)/tau) )      z(w) constant
                                                            f = 1, or tau^2 with ``tau_squared``
    L = ce CE(sigma(z_mean), y) + alpha (L_s2w or L_w2s or L_s2w + L_w2s)

``z(t) [B, K]`` student logits at step t, ``z_mean`` their mean over T, batch mean.
Source: Strong2Weak and Weak2Strong, NeurIPS 2025, arXiv 2510.07924: the choice of the steps, softening
``tau`` 2, weight ``alpha`` 1 (0.01 for a transformer), cross entropy on the mean.
Our choice: no factor ``tau^2``, confidence without softening, the sum of both losses for ``direction: both``,
and the earliest of equally confident steps.

On recordings every step sees another frame, and a spiking readout rests after a spike: no weights make the
steps equal, the loss has a floor, and it pulls against the cross entropy as long as training lasts.
``tau_squared`` quadruples that pull. See "What can hurt" in ``METHODS.md``.
"""

from __future__ import annotations

import torch

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import cross_entropy, divergence
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.methods.options import S2wOptions
from snn_deploy.processes.share import Share


def extreme_steps(z: torch.Tensor, share: Share | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits ``[B, K]`` of the most and of the least confident step of ``z [T, B, K]``; confidence is that of
    the whole batch of which ``z`` is a ``share``."""
    confidence = z.detach().softmax(-1).amax(-1).mean(-1)
    if share is not None:
        confidence = share.mean(confidence)
    steps = torch.stack([confidence.argmax(), confidence.argmin()])
    strong, weak = z.index_select(0, steps)
    return strong, weak


def s2w_terms(z: torch.Tensor, options: S2wOptions, share: Share | None = None) -> Terms:
    """Terms ``s2w`` and ``w2s``, as far as ``direction`` wants them, for ``z [T, B, K]``."""
    strong, weak = extreme_steps(z, share)
    factor = options.alpha * (options.tau**2 if options.tau_squared else 1.0)
    terms: Terms = {}
    if options.direction != "w2s":
        terms["s2w"] = factor * divergence(strong, weak, options.tau)
    if options.direction != "s2w":
        terms["w2s"] = factor * divergence(weak, strong, options.tau)
    return terms


@METHODS.register("s2w")
class S2w(Method):
    """The most and the least confident timestep guide each other; no teacher."""

    def __init__(self, options: S2wOptions, setting: Setting) -> None:
        super().__init__(setting)
        if setting.timesteps < 2:
            raise ConfigError(
                "The method 's2w' compares timesteps, and the recipe has one.",
                hint="Set timesteps to 2 or more, or use the method 'none'.",
            )
        self.label_loss = options.ce > 0
        self.whole_batch = True
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, and ``s2w`` or ``w2s`` or both."""
        z = batch.student_logits
        terms = s2w_terms(z, self._options, batch.share)
        if not self._options.ce:
            return terms
        ce = cross_entropy(z.mean(0), batch.labels, label_smoothing=self._label_smoothing)
        return {"ce": self._options.ce * ce, **terms}
