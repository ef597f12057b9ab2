"""What the documents in a run folder hold, as far as somebody reads it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from snn_deploy.core.contract import Made
from snn_deploy.core.damage import Count, Document, Finite, Fraction, Sha256, plain_json, reading

MAX_SIDE = 1 << 16
"""Largest height, width or number of channels of a frame that is believed."""

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]


class Environment(Document):
    """``environment.json``: what a run was made with; the facts of its last start, once there was one."""

    python: str
    system: str
    packages: dict[str, str | None]
    time: str
    device: str | None = None
    threads: int | None = None
    processes: int | None = None
    neurons: str | None = None
    data_digest: str | None = None
    teacher_sha256: Sha256 | None = None


class Samples(Document):
    """How many samples each split has."""

    train: Count
    validation: Count
    test: Count


class Data(Document):
    """The data set of a run."""

    name: str
    digest: str
    shape: tuple[Side, Side, Side]
    classes: tuple[str, ...] = Field(min_length=1)
    samples: Samples
    notes: tuple[str, ...]
    made: Made | None = None


class Figures(Document):
    """Final figures of one network; ``sha256`` is that of its weights file."""

    validation_accuracy: Fraction
    test_accuracy: Fraction
    test_correct: Count
    parameters: Count
    sha256: Sha256
    epochs: Count
    seconds: Annotated[Finite, Field(ge=0)]


class Result(Document):
    """``result.json``; ``sha256`` is that of everything else in it (:func:`snn_deploy.core.damage.seal`)."""

    recipe: str
    recipe_digest: Sha256
    method: tuple[str, ...]
    seed: Count
    timesteps: Annotated[int, Field(ge=1, le=4096)]
    device: str
    data: Data
    student: Figures
    real_student: Figures | None = None
    teacher: Figures | None
    metrics_sha256: Sha256
    sha256: Sha256


class StepRecord(Document):
    """A training step in ``metrics.jsonl``."""

    kind: Literal["step"]
    step: Count
    epoch: Count
    lr: Finite
    loss: Finite
    terms: dict[str, Finite]


class EpochRecord(Document):
    """An epoch in ``metrics.jsonl``."""

    kind: Literal["epoch"]
    epoch: Count
    step: Count
    loss: Finite
    train_accuracy: Fraction
    validation_accuracy: Fraction
    best: bool


_RECORD: TypeAdapter[Any] = TypeAdapter(Annotated[StepRecord | EpochRecord, Field(discriminator="kind")])


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a ``metrics.jsonl``, in order.

    Raises:
        DataError: missing, or a damaged line, by its number.
    """
    with reading(path, "metrics file"), path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            with reading(path, f"record in line {number} of"):
                record: dict[str, Any] = plain_json(line)
                _RECORD.validate_json(line)
            yield record
