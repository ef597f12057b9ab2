"""Fine-tune an ANN for T levels before it is converted: against its own logits, on training images.

State and metrics lie in a folder beside the conversion's until that is written: a fine-tuning that is stopped
or killed goes on to the same losses, as every training does. The weights kept are those of the epoch that is
best on the validation split. Rates and temperature are our choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.ann_module import AnnModule
from snn_deploy.convert.choices import FineTuning
from snn_deploy.convert.clip_floor_shift import trained_ann, with_levels
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.locks import locked
from snn_deploy.distill.evaluate import evaluate
from snn_deploy.distill.imitation import ImitationObjective
from snn_deploy.distill.interrupt import stop_on_signal
from snn_deploy.distill.trainer import Phase, fit
from snn_deploy.models.own import weights_digest
from snn_deploy.processes.world import choose_device
from snn_deploy.recipes.recipe import TrainSpec
from snn_deploy.tasks.images import CHECKED_STEPS, Images

SCORED = 256
"""Samples that are scored together."""


def schedule(how: FineTuning) -> TrainSpec:
    """``how`` as a training."""
    warmup = min(0.1, how.epochs / 10)
    return TrainSpec(
        epochs=how.epochs, batch_size=how.batch_size, lr=how.lr, warmup_epochs=warmup, grad_clip=5.0
    )


def fine_tuned(
    ann: Ann,
    images: Images,
    levels: int,
    how: FineTuning,
    folder: Path,
    *,
    each_channel: bool = True,
    resume: bool = False,
    report: Callable[[Any], None] = lambda event: None,
) -> tuple[Ann, dict[str, Any]]:
    """``ann`` with rectifiers of ``levels``, after training; and what was done, for the certificate.

    Args:
        ann: what is fine-tuned and imitated.
        images: calibration images give the first thresholds, their data set the training split.
        levels: L, the number of steps that it is converted for.
        how: epochs, seed and rates.
        folder: where state and metrics lie.
        each_channel: one threshold per channel, instead of per layer.
        resume: whether ``folder`` may hold the state of an earlier start.
        report: is told every event.

    Raises:
        ConfigError: files instead of a data set, or ``folder`` holds another fine-tuning.
        DivergedError, InterruptedRunError, DataError: see :func:`snn_deploy.distill.trainer.fit`.
    """
    data = images.data
    if data is None:
        raise ConfigError(
            "Fine-tuning needs a data set with a training and a validation split; files hold neither.",
            hint="Add --data NAME (see: snn-deploy ls data), or --data FILE.py:NAME.",
        )
    if folder.exists() and not resume:
        raise ConfigError(
            f"'{folder}' holds the state of a fine-tuning.",
            hint="Add --resume to go on with it, or delete the folder.",
        )
    device = choose_device("auto")
    module = with_levels(ann, images.calibration, levels, each_channel=each_channel)
    other = AnnModule(ann)
    content = [weights_digest(other), weights_digest(module), data.digest, levels, asdict(how)]
    identity = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    objective = ImitationObjective(module.to(device), other.to(device), CHECKED_STEPS, how.tau)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", str(folder), report), stop_on_signal() as stop:

        def accuracy(network: AnnModule) -> float:
            scored = evaluate(
                network,
                lambda x: network(x[0]),
                data.validation,
                device=device,
                batch_size=SCORED,
            )
            return scored.accuracy

        whole, before = accuracy(other), accuracy(module)
        report(f"{levels} levels: validation {before:.1%} before fine-tuning, ANN {whole:.1%}")
        result = fit(
            objective,
            data,
            schedule(how),
            Phase(f"ANN with {levels} levels", folder, identity, how.seed),
            train={CHECKED_STEPS: data.training},
            device=device,
            stop=stop,
            report=report,
        )
    module.load_state_dict(result.weights)
    told = {
        **asdict(how),
        "levels": levels,
        "steps": result.steps,
        "best_epoch": result.epoch,
        "seconds": round(result.seconds, 3),
        "threads": torch.get_num_threads(),
        "validation_samples": len(data.validation),
        "validation_ann": whole,
        "validation_before": before,
        "validation_after": result.accuracy,
    }
    return trained_ann(module.cpu()), told
