from __future__ import annotations

import contextlib
import json
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.splits import Expecting
from support.toy import CLASSES, SHAPE, toy_data, toy_recipe
from torch import nn

from snn_deploy.core.errors import ConfigError, DivergedError, InterruptedRunError
from snn_deploy.data.types import DataSet, Split
from snn_deploy.distill.events import EpochDone, Event, PhaseStarted, StepsDone
from snn_deploy.distill.interrupt import StopRequest, stop_on_signal
from snn_deploy.distill.methods.method import DistillBatch, Method, Setting, Terms
from snn_deploy.distill.objective import DistillObjective, LabelObjective, Objective
from snn_deploy.distill.trainer import Fit, Phase, fit
from snn_deploy.models.load import build_student
from snn_deploy.recipes.recipe import MixSpec, TrainSpec

CPU = torch.device("cpu")
RECIPE = toy_recipe()
SPEC = RECIPE.train.model_copy(update={"mix": MixSpec(mixup=0.5, cutmix=1.0, probability=0.7)})
PLAIN_SGD = TrainSpec(epochs=1, batch_size=16, optimizer="sgd", momentum=0.0, schedule="constant")
STEPS = 9  # 3 epochs of 40 samples in batches of 16


class Noisy(Method):
    """A loss that needs all that a resume must keep: a trained helper and noise from both generators."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.align = nn.Linear(setting.classes, setting.classes)
        self.dropout = nn.Dropout(0.2)

    def losses(self, batch: DistillBatch) -> Terms:
        z = self.align(self.dropout(batch.student_logits.mean(0)))
        noise = torch.randn(z.shape, generator=batch.generator)
        return {
            "ce": nn.functional.cross_entropy(z + 0.1 * noise, batch.labels),
            "size": 1e-3 * z.square().mean(),
        }


def noisy_objective(seed: int = 0) -> DistillObjective:
    torch.manual_seed(seed)
    student = build_student(RECIPE, SHAPE, CLASSES)
    method = Noisy(Setting(student, None, SHAPE, CLASSES, RECIPE.timesteps))
    return DistillObjective(student, None, method, RECIPE.timesteps)


def train(
    folder: Path,
    *,
    objective: Objective | None = None,
    spec: TrainSpec = SPEC,
    data: DataSet | None = None,
    split: Split | None = None,
    identity: str = "toy",
    stop: StopRequest | None = None,
    report: Callable[[Event], None] = lambda event: None,
) -> Fit:
    chosen = data or toy_data()
    return fit(
        objective or noisy_objective(),
        chosen,
        spec,
        Phase("student", folder, identity, seed=3),
        train={RECIPE.timesteps: split or chosen.train},
        device=CPU,
        stop=stop or StopRequest(),
        report=report,
    )


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


class Killed(BaseException):
    """Stands for the process ending without any clean-up by the trainer."""


class KilledAt:
    """A split that dies when it is asked for its n-th batch."""

    def __init__(self, split: Split, batches: int) -> None:
        self.split, self.left = split, batches
        self.labels = split.labels

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        if self.left == 0:
            raise Killed
        self.left -= 1
        return self.split.batch(indices)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Fit]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder)


def test_an_epoch_sees_every_sample_and_the_metrics_say_so(whole: tuple[Path, Fit]) -> None:
    folder, result = whole
    steps, epochs = records(folder, "step"), records(folder, "epoch")
    assert [s["step"] for s in steps] == list(range(1, STEPS + 1))
    assert [s["epoch"] for s in steps] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert [e["step"] for e in epochs] == [3, 6, 9]
    for number, epoch in enumerate(epochs):
        of_epoch = [s["loss"] for s in steps[3 * number : 3 * number + 3]]
        assert epoch["loss"] == pytest.approx((16 * of_epoch[0] + 16 * of_epoch[1] + 8 * of_epoch[2]) / 40)
    for s in steps:
        assert s["loss"] == pytest.approx(sum(s["terms"].values()), rel=1e-6)
    assert [s["lr"] for s in steps[:4]] == pytest.approx([0.01 / 3, 0.02 / 3, 0.01, 0.01])
    best = max(e["validation_accuracy"] for e in epochs)
    assert (result.accuracy, result.steps) == (best, STEPS)
    assert result.epoch == next(e["epoch"] for e in epochs if e["validation_accuracy"] == best)


def test_the_same_seed_gives_the_same_numbers(whole: tuple[Path, Fit], tmp_path: Path) -> None:
    result = train(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    assert all(torch.equal(result.weights[name], w) for name, w in whole[1].weights.items())


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    kills=st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=3),
    every_step=st.booleans(),
)
def test_killed_and_resumed_runs_compute_the_same_numbers(
    whole: tuple[Path, Fit], tmp_path_factory: pytest.TempPathFactory, kills: list[int], every_step: bool
) -> None:
    folder = tmp_path_factory.mktemp("killed")
    spec = SPEC.model_copy(update={"checkpoint_seconds": 0.0 if every_step else 1000.0})
    for seed, batches in enumerate([*kills, STEPS], start=1):
        # Once there is a checkpoint, what the networks and generators were before must not matter.
        objective = noisy_objective(seed if (folder / "checkpoint.pt").exists() else 0)
        with contextlib.suppress(Killed):
            result = train(folder, objective=objective, spec=spec, split=KilledAt(toy_data().train, batches))
    assert (folder / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()
    assert (result.epoch, result.accuracy) == (whole[1].epoch, whole[1].accuracy)
    assert all(torch.equal(result.weights[name], w) for name, w in whole[1].weights.items())


def test_a_finished_training_is_not_repeated(whole: tuple[Path, Fit]) -> None:
    folder, result = whole
    events: list[Event] = []
    again = train(folder, objective=noisy_objective(7), report=events.append)
    assert events == [PhaseStarted("student", 3, STEPS, STEPS)]
    assert all(torch.equal(again.weights[name], w) for name, w in result.weights.items())


def test_mixed_samples_count_as_right_when_their_likelier_class_is_found(tmp_path: Path) -> None:
    class Knows(LabelObjective):
        def losses(self, inputs: Any, labels: torch.Tensor, *more: Any) -> Any:
            terms, _ = super().losses(inputs, labels, *more)
            scores = labels.clone()
            scores[0] = -scores[0]  # one of a batch is wrong
            return terms, scores

    spec = PLAIN_SGD.model_copy(update={"mix": MixSpec(mixup=0.3)})
    train(tmp_path, objective=Knows(nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)), 3, 0.0), spec=spec)
    assert records(tmp_path, "epoch")[0]["train_accuracy"] == 37 / 40


def test_every_weight_of_the_student_is_trained(whole: tuple[Path, Fit]) -> None:
    start = noisy_objective().network.state_dict()
    assert not [name for name, weight in whole[1].weights.items() if torch.equal(weight, start[name])]


def test_helpers_are_trained_and_dropped(whole: tuple[Path, Fit], tmp_path: Path) -> None:
    objective = noisy_objective()
    before = [p.clone() for p in objective.helpers.parameters()]
    train(tmp_path, objective=objective)
    after = list(objective.helpers.parameters())
    assert len(after) == 2
    assert not any(torch.equal(now, then) for now, then in zip(after, before, strict=True))
    assert whole[1].weights.keys() == build_student(RECIPE, SHAPE, CLASSES).state_dict().keys()


@pytest.mark.parametrize(
    ("keep", "best", "kept"),
    [("best", [True, True, False, False], (2, 6.0)), ("last", [False] * 4, (4, 12.0))],
)
def test_the_best_weights_are_kept_and_of_equals_the_earliest_or_the_last(
    tmp_path: Path, keep: str, best: list[bool], kept: tuple[int, float]
) -> None:
    class Scripted:
        """Weights count the steps; validation accuracy follows a script."""

        def __init__(self) -> None:
            self.network: nn.Module = nn.Linear(1, 1, bias=False)
            self.helpers: nn.Module = nn.Module()
            self.passes: tuple[int, ...] = (3,)
            self.right = iter([1, 5, 5, 4])
            torch.nn.init.zeros_(next(self.network.parameters()))

        def losses(self, inputs: Any, labels: torch.Tensor, *more: Any) -> Any:
            return {"w": -self.network(torch.ones(1)).sum()}, torch.zeros(len(labels), CLASSES)

        def predict(self, x: torch.Tensor) -> torch.Tensor:
            scores = torch.nn.functional.one_hot(toy_data().validation.labels, CLASSES).float()
            scores[next(self.right) :] *= -1
            return scores

    spec = PLAIN_SGD.model_copy(update={"epochs": 4, "lr": 1.0, "keep": keep})
    result = train(tmp_path, objective=Scripted(), spec=spec)
    epochs = records(tmp_path, "epoch")
    assert [e["best"] for e in epochs] == best
    assert (result.epoch, result.weights["weight"].item()) == kept
    assert result.accuracy == epochs[result.epoch - 1]["validation_accuracy"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad: float) -> None:
    class Breaks(LabelObjective):
        steps = 0

        def losses(self, *given: Any) -> Any:
            terms, scores = super().losses(*given)
            self.steps += 1
            return {**terms, "extra": torch.tensor(bad if self.steps == 5 else 0.0)}, scores

    objective = Breaks(nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)), 3, 0.0)
    with pytest.raises(DivergedError, match=r"not finite at step 5 \(epoch 2.*terms: extra") as failure:
        train(tmp_path, objective=objective)
    assert failure.value.exit_code == 8
    assert [s["step"] for s in records(tmp_path, "step")] == [1, 2, 3, 4]


def test_gradients_are_clipped(tmp_path: Path) -> None:
    class Steep(LabelObjective):
        def losses(self, *given: Any) -> Any:
            terms, scores = super().losses(*given)
            return {"ce": 1e6 * terms["ce"]}, scores

    objective = Steep(nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)), 3, 0.0)
    before = torch.cat([p.detach().flatten().clone() for p in objective.network.parameters()])
    spec = PLAIN_SGD.model_copy(update={"epochs": 1, "lr": 0.5, "grad_clip": 0.1})
    train(tmp_path, objective=objective, spec=spec)
    after = torch.cat([p.detach().flatten() for p in objective.network.parameters()])
    assert 0 < (after - before).norm().item() <= 3 * 0.5 * 0.1 + 1e-6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_the_run_goes_on_later(
    whole: tuple[Path, Fit], tmp_path: Path, number: signal.Signals
) -> None:
    class Signals(KilledAt):
        def batch(self, indices: torch.Tensor) -> torch.Tensor:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(number)
            return self.split.batch(indices)

    with (
        stop_on_signal() as stop,
        pytest.raises(InterruptedRunError, match=f"{number.name} after step 5") as stopped,
    ):
        train(tmp_path, split=Signals(toy_data().train, 5), stop=stop)
    assert stopped.value.exit_code == 75
    train(tmp_path, objective=noisy_objective(9))
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_the_batch_after_the_current_one_is_expected(tmp_path: Path, whole: tuple[Path, Fit]) -> None:
    split = Expecting(toy_data().train)
    train(tmp_path, split=split)
    assert split.ahead == [16, 8, 0] * 3
    assert (tmp_path / "metrics.jsonl").read_bytes() == (whole[0] / "metrics.jsonl").read_bytes()


def test_a_second_signal_is_not_caught_and_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.requested and stop.signal == "SIGINT"
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with stop_on_signal() as stop:
            seen.append((stop.requested, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_a_checkpoint_of_other_data_is_refused(whole: tuple[Path, Fit]) -> None:
    with pytest.raises(ConfigError, match="other data or another recipe"):
        train(whole[0], identity="other")


def test_events_tell_the_story(tmp_path: Path) -> None:
    events: list[Event] = []
    train(tmp_path, report=events.append)
    assert isinstance(events[0], PhaseStarted) and events[0].step == 0
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [(e.epoch, e.validation_accuracy) for e in epochs] == [
        (r["epoch"], r["validation_accuracy"]) for r in records(tmp_path, "epoch")
    ]
    last = [e for e in events if isinstance(e, StepsDone)][-1]
    assert (last.step, last.steps, last.loss) == (STEPS, STEPS, records(tmp_path, "step")[-1]["loss"])
    assert str(epochs[0]).startswith("student epoch 1/3: loss ")
