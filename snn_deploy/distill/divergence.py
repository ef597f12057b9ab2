"""Stop a training whose numbers are lost, and say which."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from snn_deploy.core.errors import DivergedError

_CALMER = "Lower train.lr, add train.warmup_epochs, or set train.grad_clip=1.0."


def check_loss(phase: str, epoch: int, step: int, lr: float, loss: float, terms: Mapping[str, float]) -> None:
    """Stop unless ``loss``, the sum of ``terms``, is finite.

    Raises:
        DivergedError: it is not; the terms to blame are named.
    """
    if math.isfinite(loss):
        return
    bad = [name for name, value in terms.items() if not math.isfinite(value)]
    raise DivergedError(
        f"The loss of the {phase} is not finite at step {step} (epoch {epoch}, "
        f"learning rate {lr:.3g}); terms: {', '.join(bad)}.",
        hint=_CALMER,
    )


def check_weights(phase: str, step: int, weights: Mapping[str, torch.Tensor]) -> None:
    """Stop when weights are lost: a threshold turns NaN into silence, and the loss stays finite.

    Raises:
        DivergedError: some weight is not finite.
    """
    real = {name: w for name, w in weights.items() if w.is_floating_point()}
    if not real:
        return
    with torch.no_grad():
        # The largest magnitude of each, or NaN: a device is asked for one table.
        finite = torch.isfinite(torch.stack(torch._foreach_norm(list(real.values()), float("inf"))))
    lost = [name for name, is_finite in zip(real, finite.cpu().tolist(), strict=True) if not is_finite]
    if lost:
        raise DivergedError(
            f"Weights of the {phase} are not finite after step {step}: {lost[0]}"
            + (f" and {len(lost) - 1} more." if len(lost) > 1 else "."),
            hint=_CALMER,
        )
