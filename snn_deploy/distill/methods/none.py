"""No distillation: cross entropy with the labels.

::

    loss_on: mean     L = CE(sigma(z_mean), y)              z_mean = (1/T) Σ_t z(t)  [B, K]
    loss_on: steps    L = (1/T) Σ_t CE(sigma(z(t)), y)      z(t) [B, K]

Labels on every step are the main term of temporal efficient training (Deng et al., ICLR 2022).
"""

from __future__ import annotations

from snn_deploy.core.registry import METHODS
from snn_deploy.distill.methods.losses import cross_entropy, stepwise_cross_entropy
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.methods.options import NoneOptions


@METHODS.register("none")
class CrossEntropy(Method):
    """Cross entropy with the labels, no teacher."""

    def __init__(self, options: NoneOptions, setting: Setting) -> None:
        super().__init__(setting)
        self.label_loss = True
        self._options = options
        self._label_smoothing = setting.label_smoothing

    def losses(self, batch: DistillBatch) -> Terms:
        """``ce``."""
        z = batch.student_logits
        if self._options.loss_on == "steps":
            return {"ce": stepwise_cross_entropy(z, batch.labels, label_smoothing=self._label_smoothing)}
        return {"ce": cross_entropy(z.mean(0), batch.labels, label_smoothing=self._label_smoothing)}
