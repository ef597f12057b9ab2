"""The training loop, for teachers and students, on CPU and CUDA.

A run that is killed at any moment and resumed computes the very numbers of a run that was not: everything
that the next step depends on is in one checkpoint file (weights, helpers, optimiser, random number
generators, position in the data order, weights kept so far), and the metrics file is cut back to it.
On the CPU, with the same number of threads, the sequence of losses is equal to the last digit.

Several processes may train together (:mod:`snn_deploy.processes.world`): the first one reads and writes, all
of them stop, save and diverge at the same step. Nothing in a checkpoint depends on how many there were.

The weights kept are those with the highest accuracy on the validation split, of equals the earliest; or those
of the last epoch.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch

from snn_deploy.core.errors import InterruptedRunError
from snn_deploy.core.memory import keep_freed_memory
from snn_deploy.data.loading.loaders import BatchOrder
from snn_deploy.data.loading.resident import resident
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.batches import Batches
from snn_deploy.distill.checkpoint import (
    load_checkpoint,
    putting_back,
    rng_state,
    save_checkpoint,
    set_rng_state,
)
from snn_deploy.distill.divergence import check_loss, check_weights
from snn_deploy.distill.evaluate import Scores, evaluate
from snn_deploy.distill.events import EpochDone, PhaseStarted, Report, StepsDone
from snn_deploy.distill.interrupt import StopRequest
from snn_deploy.distill.kernels import kernels
from snn_deploy.distill.known_logits import known_logits
from snn_deploy.distill.metrics import NOTHING, Mark, Metrics
from snn_deploy.distill.objective import Objective
from snn_deploy.distill.optimizer import learning_rate, make_optimizer, restore_optimizer
from snn_deploy.distill.step import GradientStep
from snn_deploy.processes.world import ALONE, World
from snn_deploy.recipes.recipe import TrainSpec

SHOWN = 8
"""Samples in the picture of inputs."""
STEPS_PER_FLUSH = 16
"""Losses are read from the device this many at a time; one that is not finite is seen that much later."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One training: its ``name``, the ``folder`` of its checkpoint and metrics, the ``identity`` of what is
    trained on what, and the ``seed`` from which the order of the data, augmentation, dropout and the
    method each get a stream of random numbers of their own."""

    name: str
    folder: Path
    identity: str
    seed: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What came out: the weights kept (on the CPU), when and how good they were, and what it took."""

    weights: dict[str, torch.Tensor]
    accuracy: float
    epoch: int
    steps: int
    seconds: float


def fit(
    objective: Objective,
    data: DataSet,
    spec: TrainSpec,
    phase: Phase,
    *,
    train: Mapping[int, Split],
    device: torch.device,
    stop: StopRequest,
    report: Report,
    world: World = ALONE,
) -> Fit:
    """Train ``objective`` as ``spec`` says, going on from the checkpoint in the phase's folder if any.

    Args:
        objective: what to train; its modules are on ``device``.
        data: where validation and augmentation come from.
        spec: how.
        phase: which training this is.
        train: the training split for each of the objective's numbers of steps, in the same order of samples.
        device: where.
        stop: looked at after every step.
        report: told of every event.
        world: the processes that share each batch; networks are the same in all of them.

    Raises:
        DivergedError: a loss is not finite.
        InterruptedRunError: ``stop`` was requested; the state is saved.
        DataError: checkpoint or metrics are damaged.
        ConfigError: the checkpoint belongs to another run.
    """
    keep_freed_memory()
    with kernels(device, deterministic=spec.deterministic):
        return _Trainer(objective, data, spec, phase, train, device, stop, report, world).run()


@dataclass(slots=True)
class _Progress:
    """Where a training stands; with the modules, optimiser and generators this is all of its state."""

    step: int = 0
    epoch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0
    kept_accuracy: float = -1.0
    kept_epoch: int = 0
    kept_weights: dict[str, torch.Tensor] = field(default_factory=dict)


class _Pending(NamedTuple):
    """A step whose losses still are on the device: ``values`` holds the loss, its terms and the hits, as far
    as they come from this process."""

    step: int
    lr: float
    terms: tuple[str, ...]
    values: torch.Tensor
    samples: int


class _Trainer:
    def __init__(
        self,
        objective: Objective,
        data: DataSet,
        spec: TrainSpec,
        phase: Phase,
        train: Mapping[int, Split],
        device: torch.device,
        stop: StopRequest,
        report: Report,
        world: World,
    ) -> None:
        self.objective, self.data, self.spec, self.phase = objective, data, spec, phase
        self.device, self.stop, self.report, self.world = device, stop, report, world
        train = {steps: _placed(split, device, spec) for steps, split in train.items()}
        self.validation = _placed(data.validation, device, spec)
        self.batches = Batches(data, train, device, phase.seed, spec.mix)
        self.modules = (objective.network, objective.helpers)
        self.optimizer = make_optimizer(spec, self.modules)
        self.order = BatchOrder(len(self.batches), spec.batch_size, phase.seed, self.batches.samples_at)
        self.steps = spec.epochs * len(self.order)
        known = known_logits(objective, data, spec, train, device, world)
        self.gradients = GradientStep(objective, self.batches, spec, device, world, phase.seed, known)
        self.now = _Progress()
        self.pending: list[_Pending] = []
        self.file = phase.folder / "checkpoint.pt"
        kept = self.restore()
        self.metrics = Metrics(phase.folder, keep=kept, next_step=self.now.step + 1) if world.first else None
        self.started = self.saved = time.monotonic()

    def run(self) -> Fit:
        if self.metrics is not None and not self.now.step:
            self.metrics.inputs(self.data.validation.batch(spread(len(self.data.validation), SHOWN)))
        self.report(PhaseStarted(self.phase.name, self.spec.epochs, self.now.step, self.steps))
        try:
            while self.now.epoch < self.spec.epochs:
                self.train_epoch()
                self.finish_epoch()
        finally:
            if self.metrics is not None:
                self.metrics.close()
        now = self.now
        return Fit(now.kept_weights, now.kept_accuracy, now.kept_epoch, now.step, now.seconds)

    def train_epoch(self) -> None:
        for module in self.modules:
            module.train()
        for indices in self.order:
            self.batches.expect([indices, self.order.following()], self.world)
            self.train_step(indices)
            if len(self.pending) >= STEPS_PER_FLUSH:
                self.flush()
            due = self.world.first and time.monotonic() - self.saved >= self.spec.checkpoint_seconds
            asked, due = self.world.any(self.stop.requested, due)
            if asked or due:
                self.save()
            if asked:
                raise self.interrupted()

    def train_step(self, indices: torch.Tensor) -> None:
        lr = learning_rate(self.spec, self.now.step, len(self.order))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.optimizer.zero_grad(set_to_none=True)
        outcome = self.gradients(self.now.step, self.now.epoch, indices)
        if self.spec.grad_clip is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.spec.grad_clip)
        self.optimizer.step()
        self.now.step += 1
        self.pending.append(_Pending(self.now.step, lr, *outcome, len(indices)))

    def flush(self) -> None:
        """Read pending losses from the device, check them, and write them down."""
        if not self.pending:
            return
        epoch = self.now.epoch + 1
        read = self.world.sum(torch.stack([done.values for done in self.pending])).tolist()
        for done, (loss, *terms, hits) in zip(self.pending, read, strict=True):
            named = dict(zip(done.terms, terms, strict=True))
            check_loss(self.phase.name, epoch, done.step, done.lr, loss, named)
            if self.metrics is not None:
                self.metrics.step(
                    {"step": done.step, "epoch": epoch, "lr": done.lr, "loss": loss, "terms": named}
                )
            self.now.loss_sum += loss * done.samples
            self.now.correct += int(hits)
            self.now.seen += done.samples
        self.report(StepsDone(self.phase.name, epoch, self.now.step, self.steps, loss, done.lr))
        self.pending.clear()

    def finish_epoch(self) -> None:
        self.flush()
        self.world.level(self.objective.network.buffers())
        scores = evaluate(
            self.objective.network,
            self.objective.predict,
            self.validation,
            device=self.device,
            batch_size=self.spec.batch_size,
            world=self.world,
        )
        now = self.now
        now.epoch += 1
        last = self.spec.keep == "last"
        best = not last and scores.accuracy > now.kept_accuracy
        if best or last:
            weights = self.objective.network.state_dict()
            now.kept_weights = {name: w.detach().cpu().clone() for name, w in weights.items()}
            now.kept_accuracy, now.kept_epoch = scores.accuracy, now.epoch
        loss, train_accuracy = now.loss_sum / now.seen, now.correct / now.seen
        now.loss_sum, now.correct, now.seen = 0.0, 0, 0
        record = {
            "epoch": now.epoch,
            "step": now.step,
            "loss": loss,
            "train_accuracy": train_accuracy,
            "validation_accuracy": scores.accuracy,
            "best": best,
            **_activity(scores),
        }
        if self.metrics is not None:
            self.metrics.epoch(record, scores.rates)
        self.save()
        self.report(
            EpochDone(
                self.phase.name,
                now.epoch,
                self.spec.epochs,
                loss,
                train_accuracy,
                scores.accuracy,
                best,
                now.seconds,
            )
        )
        if self.world.any(self.stop.requested)[0] and now.epoch < self.spec.epochs:
            raise self.interrupted()

    def interrupted(self) -> InterruptedRunError:
        signal = self.stop.signal or "a signal to another process"
        return InterruptedRunError(
            f"Stopped by {signal} after step {self.now.step} of the {self.phase.name}; the state is saved.",
            hint="Continue with --resume.",
        )

    def save(self) -> None:
        self.flush()
        check_weights(self.phase.name, self.now.step, self.objective.network.state_dict())
        clock = time.monotonic()
        self.now.seconds += clock - self.started
        self.started = self.saved = clock
        if self.metrics is None:
            return
        save_checkpoint(
            self.file,
            {
                "identity": self.phase.identity,
                "progress": asdict(self.now),
                "network": self.objective.network.state_dict(),
                "helpers": self.objective.helpers.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "order": self.order.state_dict(),
                "batches": self.batches.state_dict(),
                "generator": self.gradients.generator.get_state(),
                "rng": rng_state(self.device),
                "metrics": self.metrics.flush()._asdict(),
            },
        )
        self.saved = time.monotonic()

    def restore(self) -> Mark:
        """Continue from the checkpoint, if there is one; the part of the metrics that it vouches for."""
        content = load_checkpoint(self.file, self.phase.identity, self.world)
        if content is None:
            return NOTHING
        with putting_back(self.file):
            self.now = _Progress(**content["progress"])
            self.objective.network.load_state_dict(content["network"])
            self.objective.helpers.load_state_dict(content["helpers"])
            restore_optimizer(self.optimizer, content["optimizer"])
            self.order.load_state_dict(content["order"])
            self.batches.load_state_dict(content["batches"])
            self.gradients.generator.set_state(content["generator"])
            set_rng_state(content["rng"], self.device)
            return Mark(**content["metrics"])


def _placed(split: Split, device: torch.device, spec: TrainSpec) -> Split:
    """``split`` on the device where it fits."""
    if device.type != "cuda" or spec.resident == "off":
        return split
    return resident(split, device, torch.cuda.mem_get_info(device)[0])


def _activity(scores: Scores) -> dict[str, float]:
    """What an evaluation says of a spiking network's activity; nothing of an analogue one's."""
    if scores.rate is None or scores.sops is None:
        return {}
    return {"firing_rate": scores.rate, "sops_per_sample": scores.sops}
