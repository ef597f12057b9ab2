"""Where a network looks: activation maps, their scaling, and the divergence of two of them.

A map is ``M [B, H, W]``. ``F [B, C, H, W]`` are features of a teacher, ``u [B, K]`` its logits, ``k_b`` the
class that sample b is explained for. Source of the two teacher maps: Zhou et al., CVPR 2016, "Learning deep
features for discriminative localization" (class activation map); Selvaraju et al., ICCV 2017, "Grad-CAM".
"""

from __future__ import annotations

import torch

from snn_deploy.distill.methods.losses import kl_of_logs
from snn_deploy.distill.methods.options import Scaling
from snn_deploy.processes.share import Share

MINMAX_EPSILON = 1e-3
"""Added to the range that min-max scaling divides by."""

SHARED_EVENLY = 0.1
"""Of shares, this much of a map's mean is added at every position, so that no share is 0 (our choice)."""
SHARE_EPSILON = 1e-2
"""And so much besides, so that a map of zeros has equal shares (our choice)."""


def grad_cam(u: torch.Tensor, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """``M[b] = Σ_c a[b,c] F[b,c]`` with ``a[b,c] = (1/(H W)) Σ_hw d u[b,k_b] / d F[b,c,h,w]``, constant.

    ``u`` must have been computed from ``features`` with gradients enabled, samples independent of each other
    (a network in eval mode). ``classes`` ``k`` is ``[B]``. The paper's ReLU is left to the caller.
    """
    scores = u.gather(1, classes[:, None]).sum()
    (gradient,) = torch.autograd.grad(scores, features, retain_graph=True)
    a = gradient.to(u.dtype).mean((2, 3), keepdim=True)
    return (a * features.detach().to(u.dtype)).sum(1)


def classifier_cam(weight: torch.Tensor, features: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """``M[b] = Σ_c w[k_b,c] F[b,c]`` with the weights ``w [K, C]`` of the linear layer after the
    average over positions; constant. It is ``H W`` times :func:`grad_cam` of such a network."""
    rows = weight.detach()[classes][:, :, None, None]
    return (rows * features.detach().to(weight.dtype)).sum(1)


def spike_map(features: torch.Tensor, dtype: torch.dtype | None = None) -> torch.Tensor:
    """``M[b,h,w] = Σ_t Σ_c F[t,b,c,h,w]``, the number of spikes at each position; of ``[T, B, C, H, W]``."""
    return features.sum((0, 2), dtype=dtype)


def scale_map(maps: torch.Tensor, norm: Scaling, share: Share | None = None) -> torch.Tensor:
    """``(M - min M) / (max M - min M + 1e-3)`` with extrema over the whole batch, of which ``maps`` are a
    ``share``, or over each sample.

    Gradients pass through the extrema too, in equal parts where several positions share one.
    """
    if norm == "none":
        return maps
    axes = (0, 1, 2) if norm == "batch_minmax" else (1, 2)
    seen = share.gather(maps) if norm == "batch_minmax" and share is not None else maps
    low, high = seen.amin(axes, keepdim=True), seen.amax(axes, keepdim=True)
    return (maps - low) / (high - low + MINMAX_EPSILON)


def map_divergence(
    target: torch.Tensor, maps: torch.Tensor, tau: float, *, floor: float = 0.0
) -> torch.Tensor:
    """``mean_b Σ_hw P log(P / Q)``, with ``P`` of ``target`` (constant) and ``Q`` of ``maps`` their
    softmax over the H W positions at temperature ``tau``, plus ``floor``."""
    log_p, log_q = (_log_probabilities(m, tau, floor) for m in (target.detach(), maps))
    return kl_of_logs(log_p, log_q)


def share_divergence(target: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """``mean_b Σ_hw P log(P / Q)``, with ``P`` of ``target`` (constant) and ``Q`` of ``maps`` the share of
    each position: ``(M + e) / Σ_hw (M + e)``, ``e = 0.1 mean_hw M + 0.01``, for maps without negative values.

    It hardly depends on how many spikes there are, only on where: with ``M`` times ``r`` for ``Q``,
    ``dL/d ln r`` is 0 but for the 0.01.
    """
    log_p, log_q = (_log_shares(m) for m in (target.detach(), maps))
    return kl_of_logs(log_p, log_q)


def _log_shares(maps: torch.Tensor) -> torch.Tensor:
    counts = maps.flatten(1)
    raised = counts + SHARED_EVENLY * counts.mean(1, keepdim=True) + SHARE_EPSILON
    return (raised / raised.sum(1, keepdim=True)).log()


def _log_probabilities(maps: torch.Tensor, tau: float, floor: float) -> torch.Tensor:
    scaled = maps.flatten(1) / tau
    if floor == 0:
        return scaled.log_softmax(1)
    return (scaled.softmax(1) + floor).log()
