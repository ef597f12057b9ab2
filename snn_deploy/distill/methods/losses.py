"""The pieces that distillation losses are made of.

``z [..., K]`` are student logits, ``u [..., K]`` teacher logits, ``y`` class numbers ``[...]`` or class
probabilities ``[..., K]``; leading axes are averaged. ``sigma`` is the softmax over classes and ``tau`` the
temperature. Gradients never reach the teacher's side.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def class_numbers(y: torch.Tensor) -> torch.Tensor:
    """Class numbers ``[B]`` of labels ``y``: itself, or the likeliest class of each row of ``[B, K]``."""
    return y if y.ndim == 1 else y.argmax(1)


def cross_entropy(z: torch.Tensor, y: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """``mean -Σ_k y_k log sigma(z)_k`` over the leading axes of ``z [B, K]``."""
    return functional.cross_entropy(z, y, label_smoothing=label_smoothing)


def stepwise_cross_entropy(z: torch.Tensor, y: torch.Tensor, *, label_smoothing: float = 0.0) -> torch.Tensor:
    """``(1/T) Σ_t CE(sigma(z(t)), y)`` for ``z [T, B, K]``: every step has the same label."""
    repeated = y.expand(z.shape[0], *y.shape).flatten(0, 1)
    return cross_entropy(z.flatten(0, 1), repeated, label_smoothing=label_smoothing)


def kl_of_logs(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """``mean Σ_k p_k (log p_k - log q_k)``, of the logarithms of two distributions over the last axis."""
    return (log_p.exp() * (log_p - log_q)).sum(-1).mean()


def divergence(u: torch.Tensor, z: torch.Tensor, tau: float) -> torch.Tensor:
    """``mean KL(sigma(u/tau) || sigma(z/tau))`` with the teacher as reference and held constant.

    ``u`` is broadcast over leading axes of ``z`` that it lacks: teacher ``[B, K]``, student ``[T, B, K]``.
    """
    log_p = functional.log_softmax(u.detach() / tau, dim=-1)
    log_q = functional.log_softmax(z / tau, dim=-1)
    return kl_of_logs(log_p, log_q)


def entropy(z: torch.Tensor, tau: float = 1.0) -> torch.Tensor:
    """``mean -Σ_k p_k ln p_k`` with ``p = sigma(z/tau)``, in nats; between 0 and ``ln K``."""
    log_p = functional.log_softmax(z / tau, dim=-1)
    return -(log_p.exp() * log_p).sum(-1).mean()
