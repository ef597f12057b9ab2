"""What the teacher says of every training sample, asked once instead of in every epoch.

That is possible where a sample always looks the same, without augmentation and mixing, and where the method
wants nothing of the teacher but its logits.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.loading.loaders import in_order
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.objective import DistillObjective, Objective
from snn_deploy.processes.world import World
from snn_deploy.recipes.recipe import TrainSpec

MAX_BYTES = 1 << 30
"""A larger table is made only when it is asked for."""


def known_logits(
    objective: Objective,
    data: DataSet,
    spec: TrainSpec,
    train: Mapping[int, Split],
    device: torch.device,
    world: World,
) -> torch.Tensor | None:
    """Logits ``[N, K]`` of the teacher for all training samples, or None to ask it batch by batch.

    Batches of a fixed order and size are asked, so that a run that is resumed has the same table; processes
    take every ``size``-th batch each.

    Raises:
        ConfigError: ``teacher_logits: once`` where it cannot be.
    """
    if not isinstance(objective, DistillObjective) or not objective.has_teacher:
        return None
    reasons = {
        "augmentation changes the samples": data.augment is not None,
        "samples are mixed": spec.mix is not None,
        "the method looks inside the teacher": not objective.wants_logits_only,
    }
    against = [reason for reason, holds in reasons.items() if holds]
    if spec.teacher_logits == "once" and against:
        raise ConfigError(
            f"train.teacher_logits: once is not possible: {'; '.join(against)}.",
            hint="Set it to auto, or take the reason away.",
        )
    split = train[objective.ordinary(train)]
    size = 4 * len(split) * len(data.classes)
    if spec.teacher_logits == "always" or against or (spec.teacher_logits == "auto" and size > MAX_BYTES):
        return None
    table = torch.zeros((len(split), len(data.classes)), device=device)
    for indices, x in in_order(split, spec.batch_size, world):
        table[indices] = objective.teacher_logits(x.to(device))
    return world.sum(table)
