"""TSSD: the student's own longer run teaches the short one, and its output teaches an early weak classifier.

::

    o(t) [B, K]   logits of the student at step t         o_s = mean over t <= T_s of o(t)
    w(t) [B, K]   logits of the weak classifier           o_t = mean over t <= T_t of o(t)
    L = ce CE(sigma(o_s), y) + ce_long CE(sigma(o_t), y) + ce_weak CE(sigma(w_s), y)
        + alpha D(o_t -> o_s)  +  beta (1/T_s) Σ_{t <= T_s} D(o(t) -> w(t))
    D_mse(a -> b) = mean (a - b)^2 over B and K
    D_kl(a -> b)  = tau^2 KL( sigma(a/tau) || sigma(b/tau) )

``T_s`` is the recipe's number of timesteps, ``T_t >= T_s`` that of the longer run of the same weights; ``a``
is constant. The weak classifier is a linear layer on the mean over positions of the output of ``weak_tap``,
at every step of the short run; it is dropped after training, and the student runs ``T_s`` steps.

``passes: 2`` runs the student twice, on data binned to ``T_s`` and to ``T_t`` frames; each run is normalised
by its own batch, and running statistics are those of the short run, which is the one deployed. ``passes: 1``
runs it once for ``T_t`` steps and takes the first ``T_s`` of them for the short run. Its neurons' states are
those of a run of its own, its batch statistics are not. The first frames of a longer recording are only its
beginning, so one pass is refused for data that are not steady.

Source: L. Zuo et al., arXiv 2406.07862, of which the two parts with a weight each are reported, and that the
weak classifier is supervised at every step. No official code was found. Our choice, each an option:
``distance`` kl with ``tau`` 2 (as the group's next paper; a re-implementation uses mse, which has no scale of
its own: logits that grow in both runs cost nothing in cross entropy), ``long_timesteps`` 2 T_s,
``alpha`` and ``beta`` 1, ``weak_tap``, cross entropy on the longer output too (else its later steps see no
label), none on the weak one, and ``detach``. The shape of the weak classifier is our choice too.
"""

from __future__ import annotations

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import cross_entropy, kl_of_logs
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.methods.options import Distance, TssdOptions
from snn_deploy.distill.probe import axes_problems, student_shapes


def distance(a: torch.Tensor, b: torch.Tensor, kind: Distance, tau: float) -> torch.Tensor:
    """``D(a -> b)`` of logits ``[..., K]``, mean over leading axes; differentiable in both."""
    if kind == "mse":
        return (a - b).square().mean()
    return tau**2 * kl_of_logs((a / tau).log_softmax(-1), (b / tau).log_softmax(-1))


def tssd_terms(
    short: torch.Tensor,
    long: torch.Tensor,
    weak: torch.Tensor | None,
    y: torch.Tensor,
    options: TssdOptions,
    label_smoothing: float = 0.0,
) -> Terms:
    """The terms whose weight is not 0 for ``o(t)`` of both runs, ``[T_s, B, K]`` and ``[T_t, B, K]``, and
    ``w(t) [T_s, B, K]``, which may be None where ``beta`` and ``ce_weak`` are 0."""
    taught = (options.distance, options.tau)
    guide_long, guide_steps = (x.detach() if options.detach else x for x in (long.mean(0), short))
    terms: Terms = {}
    for name, weight, logits in (("ce", options.ce, short), ("ce_long", options.ce_long, long)):
        if weight:
            terms[name] = weight * cross_entropy(logits.mean(0), y, label_smoothing=label_smoothing)
    if options.alpha:
        terms["tsd"] = options.alpha * distance(guide_long, short.mean(0), *taught)
    if weak is not None and options.ce_weak:
        terms["ce_weak"] = options.ce_weak * cross_entropy(weak.mean(0), y, label_smoothing=label_smoothing)
    if weak is not None and options.beta:
        terms["ssd"] = options.beta * distance(guide_steps, weak, *taught)
    return terms


class WeakClassifier(nn.Module):
    """``[T, B, D, H, W]`` or ``[T, B, D] -> [T, B, K]``: mean over positions, linear; no state, no neuron."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, classes)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        pooled = features.mean((3, 4)) if features.ndim == 5 else features
        logits: torch.Tensor = self.linear(pooled)
        return logits.float()


@METHODS.register("tssd")
class Tssd(Method):
    """A longer run of the student teaches the short one and a weak classifier; no teacher."""

    def __init__(self, options: TssdOptions, setting: Setting) -> None:
        super().__init__(setting)
        self._options = options
        self._short = setting.timesteps
        self._long = options.long_timesteps or 2 * setting.timesteps
        self._label_smoothing = setting.label_smoothing
        self._refuse_what_cannot_work(setting)
        self.label_loss = options.ce > 0
        self.passes = (self._short, self._long) if options.passes == 2 else (self._long,)
        self._uses_weak = options.beta > 0 or options.ce_weak > 0
        if self._uses_weak:
            self.student_taps = (options.weak_tap,)
            self.weak = WeakClassifier(self._weak_channels(setting), setting.classes)

    def _refuse_what_cannot_work(self, setting: Setting) -> None:
        options = self._options
        if self._long < self._short or (self._long == self._short and options.ce_long > 0):
            raise ConfigError(
                f"The method 'tssd' has long_timesteps {self._long}, and the recipe {self._short} timesteps: "
                "the longer run must be longer (or as long, with ce_long 0).",
                hint=f"Try long_timesteps: {2 * self._short}.",
            )
        if options.alpha == options.beta == 0:
            raise ConfigError("The method 'tssd' distils nothing: alpha and beta are both 0.")
        if options.passes == 1 and not setting.steady:
            raise ConfigError(
                "The method 'tssd' with passes: 1 would show the short run only the beginning of recordings.",
                hint="Use passes: 2, which bins the same events twice.",
            )

    def _weak_channels(self, setting: Setting) -> int:
        path = self._options.weak_tap
        (shape,) = student_shapes(setting, [path])
        if problems := axes_problems(f"student tap '{path}'", shape, {3: "[D, H, W]", 1: "[D]"}):
            raise ConfigError("The method 'tssd' cannot put its weak classifier there.", problems=problems)
        return shape[0]

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``, ``ce_long``, ``ce_weak``, ``tsd`` and ``ssd``, each unless its weight is 0."""
        options = self._options
        long = batch.passes[self._long]
        short = long if options.passes == 1 else batch.passes[self._short]
        weak = self.weak(short.feats[options.weak_tap][: self._short]) if self._uses_weak else None
        logits = short.logits[: self._short]
        return tssd_terms(logits, long.logits, weak, batch.labels, options, self._label_smoothing)
