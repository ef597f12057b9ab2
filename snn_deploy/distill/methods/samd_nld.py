"""SAMD and NLD: the student looks where the teacher looks, and its logits are smoothed by noise.

::

    M_te [B, H, W]  class map of the teacher (:mod:`~snn_deploy.distill.methods.maps`), constant: Grad-CAM or
                    classifier CAM, with ReLU unless ``cam_relu: false``
    M_st [B, H, W] = Σ_t Σ_c F_st[t, b, c, h, w]                        the student's spike counts
    L_samd = samd s KL( P_te || P_st )      P = softmax over the H W positions of scaled M / map_tau
                                            s = map_tau^2, or 1 without ``map_tau_squared``
                                            ``norm: share``: P = M / Σ M (nearly) and s = 1

    z = mean over t of z(t)  [B, K];  mu, s_z [B] its mean and standard deviation over the K classes
    eps [B, K] = mu + s_z xi  or  mu + s_z^2 xi (``noise_scale: variance``)      xi ~ N(0, 1)
    q = sigma( (z + noise eps) / tau )                                           mixing: logits
    q = (1 - noise) sigma(z / tau) + noise sigma(eps / tau)                      mixing: probabilities
    L_nld = nld s KL( sigma(u / tau) || q )             s = tau^2, or 1 without ``tau_squared``

    L = ce CE(sigma(z), y) + L_samd + L_nld

``u [B, K]`` teacher logits, batch mean; the variance is the sum of squares over ``K - 1``.
Source: X. Liu et al., AAAI 2026, arXiv 2511.06902 ("CKDSNN"). What is reported of the paper and the released
code disagree; ``variant`` chooses, and every option that is given beside it wins over it:

==================  ============================  ================================  ========================
option              ``ours`` (default)            ``official-code``                 ``raw-counts``
==================  ============================  ================================  ========================
cam                 grad-cam                      classifier                        grad-cam
norm                sample_minmax                 batch_minmax, + 1e-3 in the range none
map_tau_squared     true                          false                             true
map_floor           0                             1e-10 added to P                  0
mixing              logits                        probabilities (0.9, 0.1)          logits
noise_scale         std                           variance                          std
noise_gradient      false                         true: through mu and s_z          false
==================  ============================  ================================  ========================

``ours`` are the equations as reported, with each map scaled to its own range; ``raw-counts`` are the same
without any scaling, which the reports do not mention, and very probably a misreading: every version of the
released code scales both maps to 0 .. 1. Raw spike counts make P_st nearly one-hot and raw Grad-CAM makes
P_te nearly uniform, so that L_samd grows with the firing rate and a silent layer solves it: it wants a weight
``samd`` of some hundredths, which must be given ("What can hurt" in ``METHODS.md``).

Our choice too: the class explained is the one the teacher predicts, as in the code (``cam_class: label``
explains the true one, of mixed samples the likelier); the noise is constant but in ``official-code``. Not
reproduced of the code: its teacher in train mode, whose statistics drift, and the ReLU at the end of its
student, which could not be deployed.
"""

from __future__ import annotations

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import METHODS
from snn_deploy.data.augment.constants import constant
from snn_deploy.distill.methods.losses import class_numbers, cross_entropy, kl_of_logs
from snn_deploy.distill.methods.maps import (
    classifier_cam,
    grad_cam,
    map_divergence,
    scale_map,
    share_divergence,
    spike_map,
)
from snn_deploy.distill.methods.method import (
    DistillBatch,
    Method,
    Setting,
    Terms,
    need_teacher,
    required_teacher,
)
from snn_deploy.distill.methods.options import NoiseOptions, SamdNldOptions
from snn_deploy.distill.probe import axes_problems, common_grid, pool_to, student_shapes, teacher_shapes
from snn_deploy.processes.share import Share, drawn


def smoothed_log_probabilities(z: torch.Tensor, xi: torch.Tensor, options: NoiseOptions) -> torch.Tensor:
    """``log q [B, K]`` for logits ``z [B, K]`` and standard normal numbers ``xi [B, K]``."""
    mu = z.mean(-1, keepdim=True)
    spread = z.std(-1, keepdim=True) if options.noise_scale == "std" else z.var(-1, keepdim=True)
    eps = mu + spread * xi
    if not options.noise_gradient:
        eps = eps.detach()
    tau, noise = options.tau, options.noise
    if options.mixing == "logits":
        return ((z + noise * eps) / tau).log_softmax(-1)
    shares = constant((1 - noise, noise), z.device, z.dtype).log()
    return torch.logaddexp(shares[0] + (z / tau).log_softmax(-1), shares[1] + (eps / tau).log_softmax(-1))


def nld(u: torch.Tensor, z: torch.Tensor, xi: torch.Tensor, options: NoiseOptions) -> torch.Tensor:
    """``L_nld`` without its weight, for ``u, z, xi [B, K]``."""
    log_p = (u.detach() / options.tau).log_softmax(-1)
    divergence = kl_of_logs(log_p, smoothed_log_probabilities(z, xi, options))
    return divergence * (options.tau**2 if options.tau_squared else 1.0)


def samd(
    teacher_map: torch.Tensor,
    student_map: torch.Tensor,
    options: SamdNldOptions,
    share: Share | None = None,
) -> torch.Tensor:
    """``L_samd`` without its weight, for maps ``[B, H, W]``."""
    if options.norm == "share":
        return share_divergence(teacher_map, student_map)
    target, student = (scale_map(maps, options.norm, share) for maps in (teacher_map, student_map))
    divergence = map_divergence(target, student, options.map_tau, floor=options.map_floor)
    return divergence * (options.map_tau**2 if options.map_tau_squared else 1.0)


@METHODS.register("samd_nld")
class SamdNld(Method):
    """The student looks where the teacher looks; its logits are smoothed by noise."""

    def __init__(self, options: SamdNldOptions, setting: Setting) -> None:
        super().__init__(setting)
        need_teacher("samd_nld", setting)
        self.label_loss = options.ce > 0
        self.whole_batch = options.samd > 0 and options.norm == "batch_minmax"
        self._options = options
        self._label_smoothing = setting.label_smoothing
        if options.samd:
            self.student_taps = (options.student_tap,)
            self.teacher_taps = (options.teacher_tap,)
            self.teacher_gradients = options.cam == "grad-cam"
            self._connect(setting)

    def _connect(self, setting: Setting) -> None:
        """Find the grid of the maps and the teacher's last layer.

        Raises:
            ConfigError: there are no maps at the taps, or of different sizes, or no such layer.
        """
        student_tap, teacher_tap = self._options.student_tap, self._options.teacher_tap
        (ours,), (theirs,) = student_shapes(setting, [student_tap]), teacher_shapes(setting, [teacher_tap])
        problems = [
            *axes_problems(f"student tap '{student_tap}'", ours, {3: "[C, H, W]"}),
            *axes_problems(f"teacher tap '{teacher_tap}'", theirs, {3: "[C, H, W]"}),
        ]
        if problems:
            raise ConfigError("The method 'samd_nld' needs feature maps.", problems=problems)
        self._grid = common_grid(
            "samd_nld",
            (student_tap, (ours[1], ours[2])),
            (teacher_tap, (theirs[1], theirs[2])),
            self._options.resize,
        )
        if self._grid == (1, 1):
            raise ConfigError(
                "The method 'samd_nld' compares positions, and its maps have one.",
                hint="Tap an earlier module, or set samd: 0.",
            )
        if self._options.cam == "classifier":
            # In a tuple, so that the teacher's layer is not registered as a helper of the method.
            self._head = (
                _find_head(setting.teacher, self._options.teacher_head, theirs[0], setting.classes),
            )

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``samd`` and ``nld``, each unless its weight is 0."""
        options, u, z = self._options, required_teacher(batch), batch.student_logits.mean(0)
        terms: Terms = {}
        if options.ce:
            terms["ce"] = options.ce * cross_entropy(z, batch.labels, label_smoothing=self._label_smoothing)
        if options.samd:
            target = pool_to(self.teacher_map(batch), self._grid)
            student_map = spike_map(batch.student_feats[options.student_tap], torch.float32)
            terms["samd"] = options.samd * samd(
                target, pool_to(student_map, self._grid), options, batch.share
            )
        if options.nld:
            xi = drawn(
                batch.generator,
                len(z),
                lambda n: torch.randn(
                    (n, z.shape[1]), generator=batch.generator, device=z.device, dtype=z.dtype
                ),
            )
            terms["nld"] = options.nld * nld(u, z, xi, options)
        return terms

    def teacher_map(self, batch: DistillBatch) -> torch.Tensor:
        """``M_te [B, H, W]`` on the teacher's own grid."""
        options, u = self._options, required_teacher(batch)
        features = batch.teacher_feats[options.teacher_tap]
        classes = u.argmax(1) if options.cam_class == "predicted" else class_numbers(batch.labels)
        if options.cam == "grad-cam":
            maps = grad_cam(u, features, classes)
        else:
            maps = classifier_cam(self._head[0].weight, features, classes)
        return maps.relu() if options.cam_relu else maps


def _find_head(teacher: nn.Module | None, path: str, channels: int, classes: int) -> nn.Linear:
    assert teacher is not None
    head = dict(teacher.named_modules()).get(path)
    wanted = f"a linear layer from {channels} channels to {classes} classes"
    if isinstance(head, nn.Linear) and head.weight.shape == (classes, channels):
        return head
    found = "no such module" if head is None else str(head)
    raise ConfigError(
        "The method 'samd_nld' with cam: classifier needs the teacher's last layer.",
        problems=[Problem(f"teacher_head '{path}'", found, wanted, try_instead="cam: grad-cam")],
    )
