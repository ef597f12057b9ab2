"""One student for every number of steps: a method's loss, had the student been stopped after each step.

::

    L = (1/T) Σ_{T' = 1 .. T}  L_method( z(1 .. T'), F(1 .. T') )

``z(t) [B, K]`` student logits and ``F(t)`` tapped features at step t; ``L_method`` is the whole loss of the
method, whatever it makes of the steps it is given. One that acts on the mean over time acts on the mean of
every prefix: with ``kd``, ``CE(sigma((1/T') Σ_{t <= T'} z(t)), y)`` for all T', and the same of KL. A
state depends on earlier steps alone, so a prefix is what the student computes when it is stopped there; only
the batch statistics in training are those of the whole run. With T = 1 this is the method itself. A term that
a method does not have for a short prefix (``time`` of ``seal`` at one step) counts as 0 there.

On recordings a prefix is their beginning: this trains a student that may be stopped early, not one for
coarser frames. The loss is computed T times, the networks run once.

Our choice: equal weights of all prefixes. Cross entropy is convex in the logits, so that of single steps
(``twd``, ``tser``, ``loss_on: steps``) bounds that of every prefix from above, which is the argument for
"full-range" training of TWD (ICML 2025, arXiv 2501.15925); here the prefixes themselves are trained.
"""

from __future__ import annotations

from dataclasses import replace

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, StudentPass, Terms


def prefix(batch: DistillBatch, steps: int) -> DistillBatch:
    """``batch``, had the student been stopped after ``steps`` of its ordinary run."""
    seen = batch.passes[batch.timesteps]
    feats = {path: features[:steps] for path, features in seen.feats.items()}
    return replace(batch, passes={steps: StudentPass(seen.logits[:steps], feats)}, timesteps=steps)


class EveryT(Method):
    """The mean of a ``method``'s losses over all prefixes of the ordinary run.

    Raises:
        ConfigError: the method looks at runs of other lengths.
    """

    def __init__(self, name: str, method: Method, setting: Setting) -> None:
        super().__init__(setting)
        if method.passes != (setting.timesteps,):
            raise ConfigError(
                f"The method '{name}' looks at runs of other lengths; every_t stops one run after each step.",
                hint="Leave every_t out, or use another method.",
            )
        self.method = method
        self.student_taps, self.teacher_taps = method.student_taps, method.teacher_taps
        self.teacher_gradients = method.teacher_gradients
        self.label_loss, self.whole_batch = method.label_loss, method.whole_batch

    def losses(self, batch: DistillBatch) -> Terms:
        """The method's terms, each the mean over the prefixes."""
        steps, mean = batch.timesteps, Terms()
        for stop in range(1, steps + 1):
            for term, value in self.method.losses(prefix(batch, stop)).items():
                mean[term] = value / steps + mean[term] if term in mean else value / steps
        return mean
