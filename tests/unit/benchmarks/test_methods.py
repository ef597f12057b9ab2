"""The comparison of methods: who is trained and tested on what, and the figures of its tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.benchmarks import imported
from support.data import real_data

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, STUDENTS, TEACHERS

LABELS = np.repeat(np.arange(10), 100)
DIGITS = {"of": {"name": "digits-dvs"}, "teacher": 100, "tested": 50, "labelled": 40, "unlabelled": 80}


@pytest.fixture(scope="module")
def bench() -> Iterator[SimpleNamespace]:
    """The modules of the benchmark; what they register is taken back afterwards."""
    own = {name: f"methods_{name}" for name in ("pairs", "part", "settings", "table")}
    with imported(defaults="defaults", main="methods", **own) as scripts:
        yield scripts
    ours = ((DATASETS, "part"), (DATASETS, "pairs"), (STUDENTS, "recording-cnn"), (TEACHERS, "image-cnn"))
    for registry, name in ours:
        del registry._entries[name]


def part_of(bench: SimpleNamespace, **options: Any):
    return bench.part.part(bench.part.PartOptions(**{**DIGITS, **options}), timesteps=4)


def test_a_division_takes_its_share_of_every_class_and_no_sample_twice(bench):
    options = bench.part.PartOptions(of={}, teacher=500, tested=200, labelled=20, unlabelled=200)
    division = bench.part.divide(LABELS, options)
    assert [len(rows) for rows in division] == [500, 200, 20, 200]
    assert len(np.unique(np.concatenate(division))) == 920
    for rows, of_a_class in zip(division, (50, 20, 2, 20), strict=True):
        assert np.bincount(LABELS[rows]).tolist() == [of_a_class] * 10


def test_another_draw_changes_the_students_samples_alone(bench):
    options = bench.part.PartOptions(of={}, teacher=500, tested=200, labelled=20, unlabelled=200)
    one, other = (bench.part.divide(LABELS, options.model_copy(update={"draw": d})) for d in (0, 1))
    assert [np.array_equal(a, b) for a, b in zip(one, other, strict=True)] == [True, True, False, False]


def test_more_samples_than_there_are_are_refused(bench):
    with pytest.raises(ConfigError, match="1000 training samples; 1001 are asked for"):
        bench.part.divide(LABELS, bench.part.PartOptions(of={}, teacher=900, labelled=101))


def test_labelled_samples_alone_make_as_many_steps_with_their_own_labels(bench):
    few = part_of(bench, use="labelled")
    assert len(few.train) == 120
    assert few.train.rows.unique(return_counts=True)[1].tolist() == [3] * 40
    whole = DATASETS.get("digits-dvs").factory(DATASETS.options("digits-dvs")(), timesteps=4)
    assert torch.equal(few.train.labels, whole.train.labels[few.train.rows])
    some = torch.tensor([5, 0])
    assert torch.equal(few.train.batch(some), whole.train.batch(few.train.rows[some]))


def test_guesses_stand_for_the_labels_of_unlabelled_samples(bench, tmp_path: Path):
    np.save(tmp_path / "guesses.npy", np.full(80, 7))
    known, guessed = part_of(bench, use="labelled"), part_of(bench, guesses=tmp_path / "guesses.npy")
    assert torch.equal(guessed.train.labels[:40], known.train.labels[:40])
    assert guessed.train.labels[40:].tolist() == [7] * 80
    assert torch.equal(guessed.train.rows[40:], part_of(bench, use="unlabelled").train.rows)
    with pytest.raises(ConfigError, match="guesses"):
        part_of(bench)


def test_trials_see_no_test_sample(bench):
    tested, trial = part_of(bench, use="labelled"), part_of(bench, use="labelled", trial=True)
    assert trial.test is trial.validation
    assert len(tested.test) == 450 + 50
    assert not set(tested.test.rows.tolist()) & set(tested.train.rows.tolist())
    assert tested.digest != trial.digest


def test_blocks_of_pixels_are_averaged(bench):
    image = torch.tensor([[0, 2, 10, 10], [4, 5, 10, 11]], dtype=torch.uint8).view(1, 1, 2, 4)
    split = bench.part.ImageSplit(image, torch.tensor([3]), torch.tensor([0]))
    data = bench.part.DataSet("toy", (1, 2, 4), ("a",), split, split, split, "digest")
    small = bench.part.shrunk(data, 2)
    assert small.shape == (1, 1, 2)
    assert small.train.pixels.flatten().tolist() == [3, 10]


def test_no_student_sees_the_image_and_no_teacher_the_events(bench):
    recordings = {"root": str(real_data("NMNIST"))}
    images = {"root": str(real_data("MNIST/raw"))}
    options = bench.pairs.PairsOptions(recordings=recordings, images=images)
    data = bench.pairs.pairs(options, timesteps=4)
    x = data.train.batch(torch.arange(3))
    assert x.shape == (4, 3, 3, 34, 34)
    spikes = bench.settings.RECORDINGS["student"]
    student = bench.pairs.recording_cnn(
        STUDENTS.options("recording-cnn").model_validate({k: v for k, v in spikes.items() if k != "name"}),
        in_shape=data.shape,
        classes=10,
        timesteps=4,
    ).eval()
    network = {k: v for k, v in bench.settings.MNIST_TEACHER.items() if k == "blocks"}
    teacher = bench.pairs.image_cnn(
        TEACHERS.options("image-cnn").model_validate(network), in_shape=data.shape, classes=10
    ).eval()
    blank, dark = x.clone(), x.clone()
    blank[:, :, 2], dark[:, :, :2] = 0, 0
    assert torch.equal(student(x), student(blank))
    assert torch.equal(teacher(x.mean(0)), teacher(dark.mean(0)))
    unpaired = bench.pairs.pairs(options.model_copy(update={"use": "images"}), timesteps=4)
    assert len(unpaired.train) + len(unpaired.validation) == 60_000 - len(data.train) - len(data.validation)


def test_every_row_of_every_setting_is_a_valid_recipe(bench, tmp_path: Path):
    digits = bench.settings.SETTINGS["digits"]
    trials = {option: bench.defaults.trial(option, digits) for option in ("norm", "lam")}
    for name, setting in {**bench.settings.SETTINGS, **trials}.items():
        runs = bench.main.Bench(name, setting, tmp_path, "cpu")
        runs.runs.mkdir()
        (runs.runs / "guesses-0.npy").touch()
        assert set(setting.against) <= set(setting.rows)
        for row in setting.rows.values():
            for method in row.choices:
                recipe = runs.recipe(method, 0, row.use)
                assert (recipe.teacher is None) == (method["name"] in {"none", "tssd", "s2w"})


def test_intervals_are_students(bench):
    found = bench.table.Interval.of([1.0, 2.0, 3.0])  # s = 1, t(0.975, 2) = 4.302653
    assert (found.mean, found.half) == (2.0, pytest.approx(4.302653 / math.sqrt(3), rel=1e-6))
    assert bench.table.Interval.of([1.0]).half == math.inf
    assert str(bench.table.Interval.of([1.0])) == "+1.00, one seed"


def outcome(bench: SimpleNamespace, accuracy: float):
    student = {"test_accuracy": accuracy, "firing_rate": 0.1, "sops_per_sample": 80_000.0}
    return bench.table.Outcome({"student": student}, [accuracy])


def test_a_row_is_better_only_by_more_than_its_interval(bench):
    setting = bench.settings.SETTINGS["digits"]
    accuracies = {"none": (0.5, 0.6), "kd": (0.55, 0.651), "tser": (0.5, 0.7), "s2w": (0.4, 0.5)}
    outcomes = {name: [outcome(bench, a) for a in two] for name, two in accuracies.items()}
    table = bench.table.Table("digits", setting, {}, outcomes)
    assert list(table.verdict()) == [
        "Against none, by more than the interval: better: kd; not told apart: tser; worse: s2w."
    ]
    assert list(table.lines())[3] == "| kd | 60.05 ± 7.14 | +5.05 ± 0.64 | 10.0 | 80.0\u202fk |"
