"""BKD: the student's blurred features must suffice to restore the teacher's.

::

    S   = (1/T) Σ_t F_st[t]                    [B, D_s, H, W]   features of the student
    S'  = conv1x1(S) if D_s != D_t, else S     [B, D_t, H, W]
    m   [B, D_t, 1, 1], 0 with probability ``blur``, else 1     whole channels are zeroed, per sample
    R   = conv3x3( ReLU( conv3x3( m S' ) ) )   [B, D_t, H, W]   padded by 1, no norm
    F   features of the teacher, constant      [B, D_t, H, W] or, already averaged over positions, [B, D_t];
                                               R is averaged over positions then
    L_bkd  = feature (1/B) Σ (R - F)^2         reduction: sum, over all elements, divided by B only
             feature mean (R - F)^2            reduction: mean, over all elements

    omega_b = 1 - exp( - CE(sigma(z_mean_b), y_b) / (CE(sigma(u_b), y_b) + 1e-7) )      constant
    L_wsld  = logit tau^2 mean_b omega_b ( - Σ_k sigma(u_b/tau)_k log sigma(z_mean_b/tau)_k )

    L = ce CE(sigma(z_mean), y) + L_bkd + L_wsld

``clip`` multiplies F by ``max S' / max F`` (over the whole tensors, constant) first. A weight of 0 leaves its
term out: ``logit: 0`` is the feature-only form, ``feature: 0`` the logit-only form without any helper.

Source: Z. Xu et al., ECCV 2024, arXiv 2407.09083, as their released code computes it: the equations, ``blur``
0.15, ``logit`` 1 and ``tau`` 2, and with ``reduction: sum`` a ``feature`` weight of 7e-5 (SEW-ResNet) or
2e-3 (transformers, event data). A summary of the paper gives 0.60 as the best blur.
Our choice: ``reduction: mean`` with weight 1, because a sum grows with the resolution; ``clip`` off; biases
in the convolutions; no gradient through ``clip``; no label smoothing inside omega. The released script for
event data blurs the teacher and regresses on the student; here the direction is that of the equations.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import cross_entropy
from snn_deploy.distill.methods.method import (
    DistillBatch,
    Method,
    Setting,
    Terms,
    need_teacher,
    required_teacher,
)
from snn_deploy.distill.methods.options import BkdOptions
from snn_deploy.distill.probe import axes_problems, common_grid, pool_to, student_shapes, teacher_shapes
from snn_deploy.processes.share import Share, drawn

CE_EPSILON = 1e-7
"""Added to the teacher's cross entropy that omega divides by."""


def channel_mask(shape: torch.Size, blur: float, generator: torch.Generator) -> torch.Tensor:
    """``m [B, D, 1, 1]`` for features of ``shape`` ``[B, D, ...]``: 0 with probability ``blur``, else 1."""
    samples, channels, where = *shape[:2], generator.device
    draw = drawn(
        generator, samples, lambda n: torch.rand((n, channels, 1, 1), generator=generator, device=where)
    )
    return (draw >= blur).to(draw.dtype)


def clip_scale(target: torch.Tensor, features: torch.Tensor, share: Share | None = None) -> torch.Tensor:
    """``F max S' / max F``, maxima over the whole batch; F itself when nothing in it is positive."""
    high, ours = target.max(), features.max()
    if share is not None:
        high, ours = share.max(high), share.max(ours)
    ratio = torch.where(high > 0, ours / high, 1.0)
    return target * ratio


def squared_error(
    restored: torch.Tensor, target: torch.Tensor, reduction: Literal["mean", "sum"]
) -> torch.Tensor:
    """``Σ (R - F)^2`` over ``B``, or over the number of elements; F ``[B, ...]`` is constant."""
    total = (restored - target.detach()).square().sum()
    return total / (target.shape[0] if reduction == "sum" else target.numel())


def label_trust(z: torch.Tensor, u: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``omega [B]``, constant; below 1. Large where the student is worse than the teacher."""
    student, teacher = (functional.cross_entropy(x.detach(), y, reduction="none") for x in (z, u))
    return 1 - torch.exp(-student / (teacher + CE_EPSILON))


def wsld(z: torch.Tensor, u: torch.Tensor, y: torch.Tensor, tau: float) -> torch.Tensor:
    """``tau^2 mean_b omega_b H(sigma(u_b/tau), sigma(z_b/tau))`` of ``z, u [B, K]``, H the cross entropy."""
    soft = (u.detach() / tau).softmax(-1)
    distance = -(soft * (z / tau).log_softmax(-1)).sum(-1)
    return tau**2 * (label_trust(z, u, y) * distance).mean()


class Restoration(nn.Module):
    """``S [B, D_s, H, W] -> S' -> R [B, D_t, H, W]``: align, blur, restore; dropped after training."""

    def __init__(self, student_channels: int, teacher_channels: int) -> None:
        super().__init__()
        same = student_channels == teacher_channels
        self.align = nn.Identity() if same else nn.Conv2d(student_channels, teacher_channels, 1)
        self.restore = nn.Sequential(
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
        )

    def forward(
        self, features: torch.Tensor, blur: float, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``(R, S')``."""
        aligned = self.align(features)
        mask = channel_mask(aligned.shape, blur, generator)
        return self.restore(mask * aligned), aligned


@METHODS.register("bkd")
class Bkd(Method):
    """Blurred features of the student must restore the teacher's; weighted soft labels."""

    def __init__(self, options: BkdOptions, setting: Setting) -> None:
        super().__init__(setting)
        need_teacher("bkd", setting)
        self.label_loss = options.ce > 0
        self.whole_batch = options.feature > 0 and options.clip
        self._options = options
        self._label_smoothing = setting.label_smoothing
        if options.feature:
            self.student_taps = (options.student_tap,)
            self.teacher_taps = (options.teacher_tap,)
            self._connect(setting)

    def _connect(self, setting: Setting) -> None:
        """Make the restoration block for the shapes found at the taps.

        Raises:
            ConfigError: they are no feature maps, or of different sizes.
        """
        student_tap, teacher_tap = self._options.student_tap, self._options.teacher_tap
        (ours,), (theirs,) = student_shapes(setting, [student_tap]), teacher_shapes(setting, [teacher_tap])
        problems = [
            *axes_problems(f"student tap '{student_tap}'", ours, {3: "[D, H, W]"}),
            *axes_problems(f"teacher tap '{teacher_tap}'", theirs, {3: "[D, H, W]", 1: "[D]"}),
        ]
        if problems:
            raise ConfigError("The method 'bkd' needs feature maps.", problems=problems)
        self._grid = ours[1], ours[2]
        if len(theirs) == 3:
            maps = (student_tap, self._grid), (teacher_tap, (theirs[1], theirs[2]))
            self._grid = common_grid("bkd", *maps, self._options.resize)
        self.restoration = Restoration(ours[0], theirs[0])

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``bkd`` and ``wsld``, each unless its weight is 0."""
        options, u, z = self._options, required_teacher(batch), batch.student_logits.mean(0)
        terms: Terms = {}
        if options.ce:
            terms["ce"] = options.ce * cross_entropy(z, batch.labels, label_smoothing=self._label_smoothing)
        if options.feature:
            terms["bkd"] = options.feature * self._feature_loss(batch)
        if options.logit:
            terms["wsld"] = options.logit * wsld(z, u, batch.labels, options.tau)
        return terms

    def _feature_loss(self, batch: DistillBatch) -> torch.Tensor:
        options = self._options
        spikes = batch.student_feats[options.student_tap]
        features = pool_to(spikes.mean(0, dtype=torch.float32), self._grid)
        target = batch.teacher_feats[options.teacher_tap].float()
        restored, aligned = self.restoration(features, options.blur, batch.generator)
        if target.ndim == 4:
            target = pool_to(target, self._grid)
        else:
            restored = restored.mean((2, 3))
        if options.clip:
            target = clip_scale(target, aligned, batch.share)
        return squared_error(restored.float(), target, options.reduction)
