"""SeAl: the teacher does not insist where the student errs, and steps that agree teach each other.

::

    w = argmax_k z(t)_k.  Where w != y, in copies:  z'(t)_w <- z(t)_y,    u'_y, u'_w <- min(u_y, u_w)
    q_s = 1 - H(sigma(z(s))) / ln K
    W[t, s] = softmax over s != t of  q_s cos(z(t), z(s))            m(t) = Σ_s W[t, s] z(s)   constant
    L = ce (1/T) Σ_t CE(sigma(z(t)), y)
        + alpha tau^2 (1/T) Σ_t KL( sigma(u'/tau) || sigma(z'(t)/tau) )
        + beta  tau^2 (1/T) Σ_t KL( sigma(m(t)/tau) || sigma(z(t)/tau) )      0 for T = 1

``z(t) [B, K]`` student logits at step t, ``u [B, K]`` teacher logits (constant), H the entropy in nats, batch
mean. The copies of a step that errs are made per step and sample: the class that was taken for the right one
weighs as much as that one in both, and what is left to learn is the rest.
Source: SeAl-KD, 2026, arXiv 2605.14252: ``alpha`` 0.6, ``beta`` 0.15, ``tau`` 3. On recordings its teacher
sees the mean of the frames.
Our choice: with mixed labels ``y [B, K]`` the right class is the likeliest one.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

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
from snn_deploy.distill.methods.options import SealOptions


def without_confusion(z: torch.Tensor, u: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``z' [T, B, K]`` and ``u' [T, B, K]`` of ``z [T, B, K]``, ``u [B, K]`` and class numbers ``y [B]``."""
    u = u.expand_as(z)
    right = y.expand(z.shape[:2]).unsqueeze(-1)
    taken = z.argmax(-1, keepdim=True)
    least = torch.minimum(u.gather(-1, right), u.gather(-1, taken))
    # where the step is right, `taken` is the right class and both copies stay as they are
    return z.scatter(-1, taken, z.gather(-1, right)), u.scatter(-1, taken, least).scatter(-1, right, least)


def agreeing_steps(z: torch.Tensor) -> torch.Tensor:
    """``m [T, B, K]`` of ``z [T, B, K]`` with T of 2 or more, constant; see the module's equation."""
    z = z.detach().transpose(0, 1)
    log_p = z.log_softmax(-1)
    confidence = 1 + (log_p.exp() * log_p).sum(-1) / math.log(z.shape[-1])
    direction = functional.normalize(z, dim=-1)
    score = confidence.unsqueeze(1) * (direction @ direction.transpose(1, 2))
    own = torch.eye(z.shape[1], dtype=torch.bool, device=z.device)
    weight = score.masked_fill(own, -math.inf).softmax(-1)
    return (weight @ z).transpose(0, 1)


def seal_terms(
    z: torch.Tensor, u: torch.Tensor, y: torch.Tensor, options: SealOptions, label_smoothing: float = 0.0
) -> Terms:
    """Terms ``ce``, ``kl`` and, for more than one step, ``time``, for ``z [T, B, K]``, ``u [B, K]``."""
    factor = options.tau**2
    student, teacher = without_confusion(z, u, class_numbers(y))
    terms = {
        "ce": options.ce * stepwise_cross_entropy(z, y, label_smoothing=label_smoothing),
        "kl": options.alpha * factor * divergence(teacher, student, options.tau),
    }
    if len(z) > 1:
        terms["time"] = options.beta * factor * divergence(agreeing_steps(z), z, options.tau)
    return terms


@METHODS.register("seal")
class Seal(Method):
    """The teacher does not insist where the student errs; steps that agree teach each other."""

    def __init__(self, options: SealOptions, setting: Setting) -> None:
        super().__init__(setting)
        need_teacher("seal", setting)
        self.label_loss = options.ce > 0
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``kl`` and ``time``."""
        u = required_teacher(batch)
        return seal_terms(batch.student_logits, u, batch.labels, self._options, self._label_smoothing)
