"""The named settings of ``methods.py``: what is trained on what, and by which methods.

Where a row has several choices of a method's constants, the one with the highest accuracy on the validation
samples stands in the table. Choices are tried with seeds of their own, and such runs read no test sample.
All networks, schedules and constants are our choice where the method's defaults are not a source's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Section = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table.

    Attributes:
        choices: options of the method, of which one is chosen.
        use: the training samples, of those that ``part`` offers a student.
    """

    choices: tuple[Section, ...]
    use: str = "student"


@dataclass(frozen=True, slots=True)
class Setting:
    """One table.

    Attributes:
        says: what it asks, in a sentence.
        recipe: data, networks and schedule of every student.
        teacher: the teacher's network and training; one teacher serves all seeds.
        taught_on: the teacher's data.
        rows: by their names; the first is the baseline.
        against: the rows from which differences are taken.
        draws: each seed draws samples of its own; else all have those of draw 0.
        seeds: how many.
        trials: seeds of the trials by which choices are made.
    """

    says: str
    recipe: Section
    teacher: Section
    taught_on: Section
    rows: Mapping[str, Row]
    against: tuple[str, ...] = ("none",)
    draws: bool = False
    seeds: int = 5
    trials: int = 1


def schedule(epochs: int, batch_size: int = 32) -> dict[str, Any]:
    """AdamW for so many epochs."""
    return {"epochs": epochs, "batch_size": batch_size, "lr": 5e-3, "weight_decay": 1e-2, "warmup_epochs": 1}


def cnn(*blocks: tuple[int, int]) -> list[dict[str, int]]:
    """Blocks of (channels, stride)."""
    return [{"channels": channels, "stride": stride} for channels, stride in blocks]


def rows(
    student_tap: str, teacher_tap: str, weak_tap: str, *, tuned: bool, use: str = "student"
) -> dict[str, Row]:
    """Every method but ``none``, at its defaults or, when ``tuned``, with a choice of its main weight."""
    maps = {"student_tap": student_tap, "teacher_tap": teacher_tap}
    grids: dict[str, tuple[dict[str, Any], ...]] = {
        "kd": ({}, {"alpha": 0.9}),
        "tser": ({}, {"alpha": 0.9}),
        "twd": ({}, {"alpha": 1.0}),
        "seal": ({}, {"alpha": 2.0}),
        "samd_nld": (maps, {**maps, "nld": 4.0}),
        "bkd": (maps, {**maps, "logit": 4.0}),
        "tssd": ({"weak_tap": weak_tap}, {"weak_tap": weak_tap, "alpha": 0.3, "beta": 0.3}),
        "s2w": ({}, {"alpha": 0.1}),
    }
    return {
        name: Row(tuple({"name": name, **options} for options in (grid if tuned else grid[:1])), use)
        for name, grid in grids.items()
    }


NONE = Row(({"name": "none"},))
GUESSED = {"labels only": Row(NONE.choices, "labelled"), "guessed labels": NONE}
"""The baselines where some samples have guessed labels."""
LAST = ("block3.neuron", "block3.relu", "block2.neuron")

GUESSING = (
    "`labels only` trains on the labelled ones by cross entropy, shown so often that steps are equal; "
    "`guessed labels` by cross entropy on all, with the teacher's classes as labels of the others. All "
    "further rows have the guessed labels too."
)

DIGITS: Section = {"name": "digits-dvs", "augment": {"shift": 1}}
DIGITS_PART: Section = {"name": "part", "of": DIGITS, "teacher": 600, "tested": 128, "labelled": 300}
SMALL = cnn((16, 2), (32, 2), (32, 1))
LARGE = cnn((32, 1), (64, 2), (128, 2), (128, 1))
HALVED = cnn((16, 2), (32, 2), (64, 2))

CIFAR: Section = {"name": "cifar10", "verify": False, "validation": 1000}
FEW: Section = {
    "name": "part",
    "of": CIFAR,
    "shrink": 2,
    "teacher": 20_000,
    "tested": 2_000,
    "labelled": 200,
    "unlabelled": 2_000,
}

PAIRS: Section = {"name": "pairs", "recordings": {"augment": {"shift": 1}}}
PAIRS_PART: Section = {"name": "part", "of": PAIRS, "tested": 300, "labelled": 600}
RECORDINGS: Section = {
    "timesteps": 4,
    "student": {"name": "recording-cnn", "blocks": cnn((16, 2), (32, 2), (32, 2)), "readout": "linear"},
    "train": {**schedule(15), "keep": "last"},
}
MNIST_TEACHER: Section = {
    "name": "image-cnn",
    "blocks": HALVED,
    "train": schedule(3, 128),
}

FASHION: Section = {"name": "fashion-mnist", "validation": 2000}
FASHION_RECIPE: Section = {
    "timesteps": 4,
    "student": {"name": "spiking-cnn", "blocks": HALVED, "readout": "linear"},
    "train": schedule(3, 128),
}
TWIN: Section = {"name": "cnn", "blocks": HALVED, "grid": 4, "train": schedule(3, 128)}
FLIPPED: Section = {**FASHION, "augment": {"flip": True}}
WHOLE = cnn((32, 1), (64, 2), (96, 2))
LONGER: Section = {**schedule(8, 128), "amp": "on"}

CAMERA: Section = {"name": "camera", "of": "fashion-mnist"}
CAMERA_PART: Section = {"name": "part", "of": CAMERA, "labelled": 6_000}

SETTINGS: dict[str, Setting] = {
    "digits": Setting(
        says="Few recordings of digits, and a teacher that has seen more; needs no download.",
        recipe={
            "timesteps": 4,
            "data": DIGITS_PART,
            "student": {"name": "spiking-cnn", "blocks": SMALL, "readout": "linear"},
            "train": {**schedule(20), "keep": "last"},
        },
        teacher={"name": "cnn", "blocks": LARGE, "train": schedule(30)},
        taught_on={**DIGITS_PART, "use": "teacher"},
        rows={"none": NONE, **rows("block3.neuron", "block4.relu", "block2.neuron", tuned=True)},
        draws=True,
    ),
    "few-labels": Setting(
        says=f"200 labelled images and 2,000 that only the teacher labels, CIFAR-10 at 16x16. {GUESSING}",
        recipe={
            "timesteps": 4,
            "data": FEW,
            "student": {"name": "spiking-cnn", "blocks": cnn((16, 2), (32, 2), (64, 1)), "readout": "linear"},
            "train": {**schedule(10, 64), "keep": "last"},
        },
        teacher={"name": "cnn", "blocks": LARGE, "train": schedule(10, 128)},
        taught_on={**FEW, "of": {**CIFAR, "augment": {"flip": True}}, "use": "teacher"},
        rows={
            **GUESSED,
            **rows("block3.neuron", "block4.relu", "block2.neuron", tuned=True),
        },
        against=tuple(GUESSED),
        draws=True,
    ),
    "cross-modal": Setting(
        says="N-MNIST recordings, and a teacher that sees the image of MNIST each was made of.",
        recipe={**RECORDINGS, "data": PAIRS_PART},
        teacher=MNIST_TEACHER,
        taught_on={**PAIRS, "use": "images"},
        rows={"none": NONE, **rows(*LAST, tuned=False)},
        draws=True,
    ),
    "cross-modal-few": Setting(
        says=f"100 labelled N-MNIST recordings and 500 whose image the teacher sees. {GUESSING}",
        recipe={**RECORDINGS, "data": {**PAIRS_PART, "labelled": 100, "unlabelled": 500}},
        teacher=MNIST_TEACHER,
        taught_on={**PAIRS, "use": "images"},
        rows={
            **GUESSED,
            **rows(*LAST, tuned=False),
        },
        against=tuple(GUESSED),
        draws=True,
    ),
    "fashion-part": Setting(
        says="A fixed part of 12,000 images of Fashion-MNIST; the teacher is the student's analogue twin.",
        recipe={**FASHION_RECIPE, "data": {"name": "part", "of": FASHION, "labelled": 12_000}},
        teacher=TWIN,
        taught_on=FASHION,
        rows={"none": NONE, **rows(*LAST, tuned=False)},
        seeds=3,
    ),
    "fashion": Setting(
        says="All of Fashion-MNIST; the teacher is the student's analogue twin.",
        recipe={
            "timesteps": 4,
            "data": FLIPPED,
            "student": {"name": "spiking-cnn", "blocks": WHOLE, "readout": "linear"},
            "train": LONGER,
        },
        teacher={"name": "cnn", "blocks": WHOLE, "grid": 7, "train": LONGER},
        taught_on=FLIPPED,
        rows={"none": NONE, **rows(*LAST, tuned=False)},
        seeds=3,
    ),
    "camera": Setting(
        says="Images of Fashion-MNIST before a simulated event camera.",
        recipe={
            "timesteps": 4,
            "data": CAMERA_PART,
            "student": FASHION_RECIPE["student"],
            "train": schedule(6, 64),
        },
        teacher={"name": "cnn", "blocks": cnn((32, 2), (64, 2), (128, 2)), "train": schedule(4, 128)},
        taught_on=CAMERA,
        rows={"none": NONE, **rows(*LAST, tuned=False)},
        seeds=3,
    ),
}
