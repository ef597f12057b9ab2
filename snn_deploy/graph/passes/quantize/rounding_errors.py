"""What quantising costs and where it fails: a row per layer, sentences for the manifest, problems."""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import DECAY_ONE, IntArray
from snn_deploy.graph.lava.rules import SUM_MAX
from snn_deploy.graph.passes.quantize.candidates import (
    Candidate,
    LayerTask,
    counts_whole_units,
    current_errors,
    threshold_error,
    wide,
)
from snn_deploy.graph.passes.quantize.columns import currents
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.passes.to_chip.layers import Chain
from snn_deploy.graph.passes.to_chip.windows import FloatArray
from snn_deploy.graph.trained_form import TrainedForm


def error_row(task: LayerTask, candidate: Candidate, bits: int) -> dict[str, Any]:
    """One line of the table of rounding errors; relative errors are in shares of the threshold, or of the
    standard deviation of the currents where there is no threshold."""
    layer, linear = task.layer, task.map
    unit = layer.threshold or float(currents(linear.weight, task.judged).std()) or 1.0
    scale = wide(candidate.scale, linear.weight.ndim)
    clipped = np.abs(candidate.weight / scale - linear.weight) > (1 << (9 - bits)) / scale
    leaks = np.atleast_1d(layer.voltage_leak)
    return {
        "layer": layer.name,
        "scale": _plain(candidate.scale),
        "chosen by": candidate.chosen_by,
        "largest weight": int(np.abs(candidate.weight).max()),
        "clipped weights": float(clipped.mean()),
        "current error / threshold": float(np.sqrt(current_errors(task, candidate).mean())) / unit,
        "vThMant": _plain(candidate.threshold),
        "threshold error": float(threshold_error(layer, candidate).max()) / unit,
        "vDecay": int(np.rint(leaks * DECAY_ONE)[0]),
        "leak error": float(np.abs(np.rint(leaks * DECAY_ONE) / DECAY_ONE - leaks).max()),
        "largest possible sum": int(task.sums(task.with_relays(candidate.weight, bits)).max()),
        "sum limit": SUM_MAX,
    }


def _plain(values: FloatArray | IntArray) -> Any:
    """A number, or a list of one per channel, as JSON has it."""
    return values.tolist()


def graded_relay(chain: Chain, grid: InputGrid) -> Problem:
    """A skip path carries an input of more than spikes."""
    low, high = grid.range
    through = [
        layer.name
        for layer in chain.layers
        if any(member.source == chain.input_name for member in layer.members)
    ]
    return Problem(
        chain.input_name,
        f"holds values {low}..{high}, and a skip path carries it through {', '.join(through)}",
        "relay neurons pass on spikes, 0 or 1",
        try_instead="clip the input to one event per step and pixel, or put neurons before the first branch",
    )


def no_scale(name: str, bits: int) -> Problem:
    """No scale of a layer keeps the limits."""
    return Problem(
        name,
        f"no {bits}-bit weights keep the limits; the layer may have no weights but zeros, or no positive one",
        "24-bit sums, 13-bit biases, 17-bit thresholds, a matrix that Lava computes as stored",
        try_instead="prune the dead layer, or train it further",
    )


def not_trained(name: str, bits: int) -> Problem:
    """A layer does not hold the integers it was trained with."""
    return Problem(
        name,
        f"its weights are no {bits}-bit integers at the scale it was trained with, or break a limit",
        "the integers of the training, within 24-bit sums; a matrix that Lava computes as stored",
        try_instead="export the run that trained it; train a dead layer (all weights 0) further",
    )


def notes(
    chain: Chain, grid: InputGrid, bits: int, scales: str, trained: TrainedForm | None
) -> tuple[str, ...]:
    """What the manifest says of the rounding, sentence by sentence."""
    notes = [
        f"Weights are rounded to {bits} bits with one scale per {scales}; see the table of errors. In layers "
        "chosen by 'compensated' each makes up for the errors of others on calibration samples."
    ]
    if trained is not None:
        notes = [
            f"The weights are the {bits}-bit integers that the network was trained with under the rules of "
            f"{trained.target}; the export rounds nothing."
        ]
    if scales == "channel":
        notes.append(
            "Simulation only: scales per channel need thresholds per channel; no chip is documented."
        )
    if relays := sum(layer.relays * int(np.prod(layer.shape[1:])) for layer in chain.layers):
        notes.append(
            f"Skip paths, and spikes that wait before recurrent layers, travel through {relays:,} relay "
            "neurons; operations and energy are estimated without them."
        )
    if any(not counts_whole_units(layer) for layer in chain.layers):
        notes.append("Leaking membranes are rounded toward zero to 1/64 of a weight unit at every step.")
    if any(leak.ndim for layer in chain.layers for leak in (layer.current_leak, layer.voltage_leak)):
        notes.append("Leaks that differ between channels run in Lava's simulation; no chip is documented.")
    if grid.error:
        notes.append(f"The input is rounded to multiples of {grid.scale:.6g}, by at most {grid.error:.3g}.")
    elif grid.range != (0, 1):
        notes.append("The input is given as graded spikes of whole numbers (Loihi 2 only); this is exact.")
    return tuple(notes)
