"""Blocks of a report that are looked at: the network as a graph, what it decided step by step, and a few
samples with their spikes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from snn_deploy.report.blocks import Block, Finite, Fraction

Bits = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/=]*$")]
"""Bytes in base64."""


class NetworkNode(Block):
    """One node of the graph. ``sources`` feed it in the same step, ``feedback`` in the next one.

    ``detail`` says what its parameters are, in words; ``shape`` is that of its output.
    """

    name: str
    kind: str
    detail: str
    shape: tuple[int, ...]
    weights: int = 0
    sources: tuple[str, ...] = ()
    feedback: tuple[str, ...] = ()


class Decisions(Block):
    """What the network decided on all samples, had it been stopped after some of its steps.

    Attributes:
        classes: number of classes K; ``names`` of them, or none.
        samples: how many were decided.
        steps: the steps looked at, from 1; the last one is the last of the run.
        accuracy: fraction of correct decisions after each of ``steps``; none without labels.
        settled: fraction of samples whose decision after each of ``steps`` is their last one.
        per_class: correct decisions and samples of each class; none without labels.
        confused: (class, decided class, samples), most frequent first; none without labels.
        confused_in_all: how many wrong decisions there are, those not listed among them.
    """

    classes: int
    names: tuple[str, ...] = ()
    samples: int
    steps: tuple[int, ...]
    accuracy: tuple[Fraction, ...] = ()
    settled: tuple[Fraction, ...] = ()
    per_class: tuple[tuple[int, int], ...] = ()
    confused: tuple[tuple[int, int, int], ...] = ()
    confused_in_all: int = 0


class ExitPoint(Block):
    """Stopping with the first step whose confidence is ``at`` or more: means over the samples.

    ``steps`` run, ``sops`` synaptic operations, ``accuracy`` (none without labels), and ``settled``: the
    share of samples decided as after the last step.
    """

    at: Fraction
    steps: Finite
    sops: Finite
    accuracy: Fraction | None = None
    settled: Fraction


class EarlyExit(Block):
    """Stopping by confidence (:mod:`snn_deploy.core.early_exit`) at rising thresholds; ``at`` is the
    network's own one, ``scale`` the factor of its scores."""

    scale: Finite
    at: Fraction | None = None
    points: tuple[ExitPoint, ...]


class ShownSample(Block):
    """One sample: its number, its class where known, and the class decided after each step shown."""

    number: int
    label: int | None
    decided: tuple[int, ...]


class ShownInput(Block):
    """Inputs of the samples shown.

    Attributes:
        kind: ``events`` (2, H, W) counts of OFF and ON; ``grey`` (1, H, W); ``colour`` (3, H, W);
            ``channels`` (1, 1, N) values of any other input.
        shape: of one frame as stored, (C, H, W).
        frames: how many are stored; 1 where all steps are equal.
        steps_per_frame: steps that one frame is the mean of (the sum, for events).
        low, high: values that the bytes 0 and 255 stand for.
        values: ``[frames, C, H, W]`` bytes of each sample.
        note: what was summed, pooled or left out on the way to ``shape``.
    """

    kind: Literal["events", "grey", "colour", "channels"]
    shape: tuple[int, int, int]
    frames: int
    steps_per_frame: int
    low: Finite
    high: Finite
    values: tuple[Bits, ...]
    note: str = ""


class ShownLayer(Block):
    """Spikes of one layer: of each sample ``[steps, rows]`` bits, 1 where the neuron fired, big-endian.

    ``rows`` are the numbers of the neurons shown, ``neurons`` how many there are.
    """

    layer: str
    neurons: int
    rows: tuple[int, ...]
    spikes: tuple[Bits, ...]


class Recording(Block):
    """A few samples and what they set off: the first ``steps`` of ``steps_in_all``."""

    steps: int
    steps_in_all: int
    samples: tuple[ShownSample, ...]
    input: ShownInput
    layers: tuple[ShownLayer, ...]
