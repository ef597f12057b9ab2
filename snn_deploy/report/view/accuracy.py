"""Accuracies as dots with the interval that the number of samples leaves open; the training curve."""

from __future__ import annotations

from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.charts import LinearAxis, Plot, Tick, wilson
from snn_deploy.report.model import Accuracy, ReportData, Training


@dataclass(frozen=True, slots=True)
class Dot:
    """One accuracy on the shared axis."""

    name: str
    role: str
    at: float
    low: float
    high: float
    value: str
    interval: str
    note: str


@dataclass(frozen=True, slots=True)
class AccuracyView:
    """The strip of accuracies; ``same_samples`` is set where all were measured on equally many."""

    dots: tuple[Dot, ...]
    ticks: tuple[Tick, ...]
    same_samples: str


def accuracy_view(data: ReportData) -> AccuracyView | None:
    """Accuracies on one zoomed axis; None without any."""
    rows = data.accuracies
    if not rows:
        return None
    spans = [wilson(row.fraction, row.samples) for row in rows]
    counts = {row.samples for row in rows}
    axis = LinearAxis.of_fractions([value for low, high in spans for value in (low, high)])
    dots = tuple(
        Dot(
            name=row.name,
            role=row.role,
            at=axis.at(row.fraction),
            low=axis.at(low),
            high=axis.at(high),
            value=fmt.percent(row.fraction),
            interval=f"{100 * low:.1f}{fmt.DASH}{fmt.percent(high)}",
            note=row.note if len(counts) == 1 else _note(row),
        )
        for row, (low, high) in zip(rows, spans, strict=True)
    )
    return AccuracyView(dots, axis.percent_ticks(), fmt.number(rows[0].samples) if len(counts) == 1 else "")


def _note(row: Accuracy) -> str:
    samples = f"{fmt.number(row.samples)} samples"
    return f"{samples} · {row.note}" if row.note else samples


@dataclass(frozen=True, slots=True)
class TrainingView:
    """Loss above, accuracies below, over epochs."""

    epochs: int
    loss: Plot
    accuracies: Plot
    best_at: float | None
    best: str


def training_view(training: Training | None) -> TrainingView | None:
    """Curves of a run; None without any."""
    if training is None or not training.loss:
        return None
    series = (
        ("validation", "validation", training.validation_accuracy),
        ("training", "training", training.train_accuracy),
    )
    best_at, best = None, ""
    epochs = len(training.loss)
    if training.best_epoch and training.validation_accuracy:
        best_at = 100 * (training.best_epoch - 1) / max(epochs - 1, 1)
        value = training.validation_accuracy[min(training.best_epoch, epochs) - 1]
        best = f"best epoch {training.best_epoch}: {fmt.percent(value)} on the validation split"
    return TrainingView(
        epochs=epochs,
        loss=Plot.from_zero("loss", "loss", training.loss),
        accuracies=Plot.of_fractions(series),
        best_at=best_at,
        best=best,
    )
