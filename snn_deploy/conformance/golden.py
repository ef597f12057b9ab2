"""The golden set: graphs of one trait each, small enough to work out by hand.

Weights, inputs and parameters are multiples of powers of two, so that Euler steps are exact in float32; no
membrane comes near its threshold, except where the row asks whether a neuron at its threshold fires.

What a row asks is asked with one neuron at most, its *carrier*: the one that the reader reads right when it
is asked for nothing else. A reader that knows no IF is so still asked for its skip edges.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.conformance.loops import Array, Edge, Habits, run

Floats = npt.NDArray[np.float32]
Make = Callable[[float, str], nir.NIRGraph]
STEPS, BATCH = 24, 2
SLOW = 8
"""Time constants of the golden neurons, in steps."""


@dataclass(frozen=True, slots=True)
class Golden:
    """One row of the matrix.

    Attributes:
        name: the trait.
        group: which part of a graph it belongs to.
        tells: what a right answer shows, a sentence.
        make: the graph for a step in seconds and a carrier, see :data:`CARRIERS`.
        x: input ``[T, B, *shape]``.
        feedback: edges that carry the value of the step before.
        carriers: neurons that the row may be asked with; empty where it has no carrier.
        step: the step of the file, in seconds; None: the reader's own.
    """

    name: str
    group: str
    tells: str
    make: Make
    x: Array
    feedback: tuple[Edge, ...] = ()
    carriers: tuple[str, ...] = ()
    step: float | None = None


def array(values: object) -> Floats:
    """``values`` in float32."""
    return np.asarray(values, np.float32)


def full(value: float, *shape: int) -> Floats:
    """One number per neuron; exporters write shapes that way."""
    return np.full(shape, value, np.float32)


def pulses(*shape: int) -> Array:
    """Spikes ``[T, B, *shape]`` in about half of the steps, by a rule that repeats late (our choice)."""
    step, batch, place = np.ogrid[:STEPS, :BATCH, : int(np.prod(shape))]
    found = (3 * step**2 + 5 * step * (place + 1) + 4 * batch + 2 * place) % 11 < 5
    return np.asarray(found, np.float64).reshape(STEPS, BATCH, *shape)


def dense(rows: Sequence[Sequence[float]] | Array, bias: Sequence[float] | None = None) -> nir.Affine:
    """A dense layer; without ``bias`` its biases are 0."""
    weight = array(rows)
    return nir.Affine(weight, array(np.zeros(len(weight)) if bias is None else bias))


def chain(
    nodes: Mapping[str, nir.NIRNode],
    source: Sequence[int],
    target: Sequence[int],
    *,
    edges: Sequence[Edge] = (),
    more: Sequence[Edge] = (),
) -> nir.NIRGraph:
    """``nodes`` between an Input and an Output, one after the other unless ``edges`` says otherwise."""
    path = ["input", *nodes, "output"]
    return nir.NIRGraph(
        {
            "input": nir.Input({"input": np.array(source)}),
            **nodes,
            "output": nir.Output({"output": np.array(target)}),
        },
        [*(edges or itertools.pairwise(path)), *more],
        type_check=False,
    )


def lif(
    dt: float,
    count: int,
    *,
    tau: float | Sequence[float] = SLOW,
    r: float | Sequence[float] = SLOW,
    threshold: float | Sequence[float] | npt.NDArray[np.float64] = 1.0,
    v_leak: float = 0.0,
    v_reset: float = 0.0,
) -> nir.LIF:
    """A LIF with ``tau`` in steps; r = tau / dt adds its input unscaled."""
    one = full(1, count)
    return nir.LIF(
        tau=array(tau) * dt * one,
        r=array(r) * one,
        v_leak=v_leak * one,
        v_threshold=array(threshold) * one,
        v_reset=v_reset * one,
    )


def integrate(dt: float, count: int, *, threshold: float = 1.0, v_reset: float = 0.0) -> nir.IF:
    """An IF that adds its input unscaled: r = 1 / dt."""
    return nir.IF(r=full(1 / dt, count), v_threshold=full(threshold, count), v_reset=full(v_reset, count))


def cuba(dt: float, count: int, *, scaled: bool = False, threshold: float = 1.0) -> nir.CubaLIF:
    """A CubaLIF whose current leaks in 2 steps; ``scaled``: r = w_in = 1, else it adds its input unscaled."""
    one = full(1, count)
    return nir.CubaLIF(
        tau_syn=2 * dt * one,
        tau_mem=SLOW * dt * one,
        r=one if scaled else SLOW * one,
        v_leak=0 * one,
        v_threshold=threshold * one,
        v_reset=0 * one,
        w_in=one if scaled else 2 * one,
    )


IF_THRESHOLD, LIF_THRESHOLD, CUBA_THRESHOLD = 61 / 64, 137 / 128, 47 / 16
"""Of the carriers: no membrane of a row comes nearer to it than 0.05 %, however its steps are made."""

CARRIERS: dict[str, Callable[[float, int], nir.NIRNode]] = {
    "IF": lambda dt, count: integrate(dt, count, threshold=IF_THRESHOLD),
    "LIF, r = tau / dt": lambda dt, count: lif(dt, count, threshold=LIF_THRESHOLD),
    "LIF, r = 1": lambda dt, count: lif(dt, count, r=1, threshold=LIF_THRESHOLD / SLOW),
    "CubaLIF": lambda dt, count: cuba(dt, count, threshold=CUBA_THRESHOLD),
}
"""Neurons by the row that asks for nothing but them; all add their input as it is."""

WEIGHTS = ((0.75, -0.25, 0.5), (0.25, 0.625, -0.375), (1.25, 0.5, 0.25), (0.375, 0.25, 0.125))
"""Of the dense layer before neurons: three inputs, four neurons of different rates."""


ANY = tuple(CARRIERS)
LEAKING = ANY[1:]


def neuron_row(
    name: str,
    tells: str,
    make: Callable[[float, int], nir.NIRNode],
    *,
    group: str = "neurons",
    step: float | None = None,
) -> Golden:
    """A dense layer and the neurons that ``make`` gives for a step and a number."""

    def graph(dt: float, _carrier: str) -> nir.NIRGraph:
        return chain({"w": dense(WEIGHTS), "n": make(dt, len(WEIGHTS))}, (3,), (len(WEIGHTS),))

    return Golden(name, group, tells, graph, pulses(3), step=step)


def plain_row(
    name: str, group: str, tells: str, nodes: Mapping[str, nir.NIRNode], source: tuple[int, ...]
) -> Golden:
    """A row without a neuron: what its nodes give is compared as it is."""

    def graph(_dt: float, _carrier: str) -> nir.NIRGraph:
        return chain(nodes, source, _target(nodes, source))

    return Golden(name, group, tells, graph, _graded(*source))


def _graded(*shape: int) -> Array:
    """Eighths that tell every element, sample and step."""
    count = int(np.prod(shape))
    step, batch, place = np.ogrid[:4, :BATCH, :count]
    values = (7 * step + 5 * batch + 3 * place) % 16 / 8 - 0.75
    return np.asarray(values, np.float64).reshape(4, BATCH, *shape)


def _target(nodes: Mapping[str, nir.NIRNode], source: tuple[int, ...]) -> tuple[int, ...]:
    given = run(chain(nodes, source, source), np.zeros((1, 1, *source)), Habits(1.0))
    return given["output"].shape[2:]
