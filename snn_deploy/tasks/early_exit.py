"""The early exit of an opened network: its scale, its own threshold, and one chosen on validation samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.early_exit import ChosenExit, ExitRule, choose, exit_steps, factor
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import STUDENTS
from snn_deploy.data.types import DataSet
from snn_deploy.export.verify import CHUNK
from snn_deploy.simulate.footprint import block_bytes
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.decisions import Deciding, join
from snn_deploy.tasks.samples import validation_samples
from snn_deploy.tasks.source import Source

ExitAt: TypeAlias = float | Literal["off"] | None
"""A threshold, none, or that of the bundle if it has one."""
VALIDATION_SAMPLES = 1024
"""At most so many choose a threshold, evenly spread; our choice."""


def scale_of(source: Source) -> float:
    """Factor of the scores in the softmax: that of the bundle's rule, or the student's ``logit_scale``."""
    stated = _stated(source)
    if stated:
        return float(stated["scale"])
    if source.recipe is None:
        return 1.0
    options = source.recipe.student.resolve(STUDENTS)
    spiking = getattr(options, "readout", None) == "spiking"
    return float(getattr(options, "logit_scale", 1.0)) if spiking else 1.0


def rule_of(source: Source, at: ExitAt) -> ExitRule | None:
    """The rule by which samples end: ``at`` a confidence, never for ``"off"``, as the bundle says for None.

    Raises:
        ConfigError: no confidence.
    """
    if at is None:
        stated = _stated(source)
        return ExitRule(float(stated["at"]), float(stated["scale"])) if stated else None
    return None if at == "off" else ExitRule(at, scale_of(source))


def chosen_exit(
    source: Source,
    at: float | Literal["auto"],
    data: DataSet | str | None,
    steps: int,
    overrides: Sequence[str] = (),
) -> ChosenExit:
    """The rule for a bundle of samples of ``steps``: ``at`` a confidence, or ``"auto"`` for the least one
    that keeps the accuracy on validation samples (:func:`snn_deploy.core.early_exit.choose`).

    Raises:
        ConfigError: no confidence, a single step or class, or data without a validation split.
    """
    if steps < 2:
        raise ConfigError(f"'{source.name}' runs one step: it cannot end earlier.")
    scale = scale_of(source)
    if at != "auto":
        return ChosenExit(ExitRule(at, scale).at, scale)
    samples = validation_samples(source, data, VALIDATION_SAMPLES, overrides)
    assert samples.labels is not None
    reference = Reference(source.plan)

    def run(part: slice) -> Deciding:
        deciding = Deciding(samples.decode, factor(scale, samples.decode, len(samples.x)))
        for records in reference.blocks(samples.x[:, part], record=False, also=(source.plan.output,)):
            deciding.see(records[source.plan.output])
        return deciding

    at_once = samples_at_once(block_bytes(source.plan), at_most=CHUNK)
    decided = join([found.decided() for _, found in in_chunks(len(samples), at_once, run)])
    correct = (decided.classes == samples.labels.cpu()).numpy()
    found = choose(decided.confidences, correct)
    stopped = exit_steps(decided.confidences, found)
    return ChosenExit(
        at=found,
        scale=scale,
        chosen="validation",
        samples=len(samples),
        accuracy=float(correct[stopped, np.arange(len(stopped))].mean()),
        accuracy_at_end=float(correct[-1].mean()),
        mean_steps=float(stopped.mean() + 1),
    )


def _stated(source: Source) -> Mapping[str, Any]:
    """The exit in the manifest of a bundle."""
    return (source.manifest or {}).get("exit") or {}
