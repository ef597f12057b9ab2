"""The numbers that a student was trained with under a chip's rules, in the metadata of its hub graph.

A graph holds real weights. One whose student was trained in integers says here at which scales its weights
are integers, so that an exporter writes the very integers of the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir

from snn_deploy.core.errors import DataError
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid

KEY = "snn_deploy_trained_form"
VERSION = 1
BITS = (2, 8)
"""Fewest and most bits of a weight."""


@dataclass(frozen=True, slots=True)
class TrainedForm:
    """How a graph's student was trained.

    Attributes:
        target: name of the rules, e.g. ``loihi2``.
        bits: bits of its weights.
        thresholds: of its neurons in weight units, halfway between the last state that does not fire and the
            first that does, by their name. With the graph's own thresholds they give the scale S of a layer.
        scales: S, in weight units per unit of the current, of weights that no neurons follow, by their name.
        grid: the integers of its input.
    """

    target: str
    bits: int
    thresholds: Mapping[str, float]
    scales: Mapping[str, float]
    grid: InputGrid


def write_trained_form(graph: nir.NIRGraph, form: TrainedForm) -> None:
    """Store ``form`` in the metadata of ``graph`` (in place)."""
    content = {
        "version": VERSION,
        "target": form.target,
        "bits": form.bits,
        "thresholds": dict(form.thresholds),
        "scales": dict(form.scales),
        "input_scale": form.grid.scale,
        "input_range": list(form.grid.range),
    }
    graph.metadata[KEY] = json.dumps(content, sort_keys=True)


def read_trained_form(graph: nir.NIRGraph) -> TrainedForm | None:
    """The form stored in ``graph``; None for a network that was trained in real numbers.

    Raises:
        DataError: what is stored is damaged or of another version.
    """
    raw = graph.metadata.get(KEY)
    if raw is None:
        return None
    try:
        content = json.loads(raw.decode() if isinstance(raw, bytes) else str(raw))
        if content["version"] != VERSION:
            raise DataError(
                f"The graph's trained form is version {content['version']}; this reads {VERSION}."
            )
        low, high = content["input_range"]
        form = TrainedForm(
            target=str(content["target"]),
            bits=int(content["bits"]),
            thresholds=_numbers(content["thresholds"]),
            scales=_numbers(content["scales"]),
            grid=InputGrid(float(content["input_scale"]), (int(low), int(high)), 0.0),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"The graph's '{KEY}' metadata are damaged: {error}") from None
    numbers = (form.grid.scale, *form.scales.values(), *form.thresholds.values())
    if not all(math.isfinite(number) and number > 0 for number in numbers):
        raise DataError(f"The graph's '{KEY}' metadata hold scales that are not positive numbers.")
    if not BITS[0] <= form.bits <= BITS[1] or not -(1 << 16) <= low <= 0 < high <= 1 << 16:
        raise DataError(
            f"The graph's '{KEY}' metadata hold {form.bits} bits and the input range {low}..{high}."
        )
    return form


def _numbers(content: Mapping[str, Any]) -> dict[str, float]:
    return {str(name): float(number) for name, number in content.items()}


def real_numbers_note(graph: nir.NIRGraph) -> tuple[str, ...]:
    """What a format of real numbers has to say of a network that was trained in integers."""
    form = read_trained_form(graph)
    if form is None:
        return ()
    return (
        f"The network was trained under the rules of {form.target} with {form.bits}-bit weights. This file "
        "holds these weights as real numbers; it does not truncate the state at every step as the chip does, "
        "so leaking neurons may now and then fire at another step.",
    )
