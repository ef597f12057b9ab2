"""Typed model of a lava-dl ``.net`` file: a chain of CUBA populations with integer parameters.

The file format is the one that lava-dl 0.6 calls netx. Everything here is an integer; the arithmetic that
the integers stand for is in :mod:`snn_deploy.simulate.cuba`, what Lava really accepts in
:mod:`snn_deploy.graph.lava.rules`, the file in :mod:`snn_deploy.graph.lava.io`.

Axes: ``C H W`` channel, height, width (the order of torch; Lava itself uses W H C); ``N`` neurons.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.int64]
Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]

STATE_LIMIT = 1 << 23
"""u wraps outside ``(-2^23, 2^23]``; v is clipped to ``+-(2^23 - 1)``."""
DECAY_ONE = 4096
"""Decays are fractions of 4096."""
NEVER_FIRES = (1 << 17) - 1
"""Largest threshold of 17 bits: ``64 x 131071 = 2^23 - 64``. A population with this threshold or a larger one
is read by its membrane; ours are scaled so that they never reach it."""


@dataclass(frozen=True, slots=True, eq=False)
class Cuba:
    """Parameters of a population of current-based leaky integrate-and-fire neurons.

    Each is an int64 array of shape ``()``, or ``[C]`` for a convolution, or ``[N]`` for a dense layer
    (arrays run in Lava's simulation; no published statement says that the chip takes them).

    Attributes:
        current_decay: 0..4096; 4096 forgets the current after each step (``iDecay``).
        voltage_decay: 0..4096; 0 is no leak (``vDecay``).
        threshold: in weight units; a neuron fires when ``v > 64 threshold`` (``vThMant``).
    """

    current_decay: IntArray
    voltage_decay: IntArray
    threshold: IntArray

    @classmethod
    def of(cls, current_decay: int, voltage_decay: int, threshold: int) -> Cuba:
        """The same parameters for every neuron."""
        return cls(*(np.asarray(value, np.int64) for value in (current_decay, voltage_decay, threshold)))

    @property
    def spikes(self) -> bool:
        """Whether the population is meant to fire at all (see ``NEVER_FIRES``)."""
        return bool((self.threshold < NEVER_FIRES).any())


NON_SPIKING = Cuba.of(0, 4096, 1 << 17)
"""What netx gives a dense layer without neurons: ``v = 64 x sum of all currents so far, + 64 bias``."""


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """Shape of the input. With ``neuron`` it is a population without synapses that is driven through its
    bias by ``weight x + bias`` of an analog input x."""

    shape: Shape
    neuron: Cuba | None = None
    weight: int = 64
    bias: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Conv:
    """Cross-correlation in torch's convention and a population of shape ``(C, H, W)``.

    Attributes:
        weight: int64 ``[C_out, C_in / groups, kH, kW]``.
        bias: int64 ``[C_out]``, added to the voltage at every step; None for none.
    """

    shape: Shape
    weight: IntArray
    neuron: Cuba
    bias: IntArray | None = None
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Flatten:
    """The next dense layer sees the neurons in C-H-W order."""

    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """Full connection and a population of shape ``(N,)``.

    Attributes:
        weight: int64 ``[N, N_in]``.
        neuron: None means :data:`NON_SPIKING`.
        bias: int64 ``[N]``, added to the voltage at every step; None for none.
        recurrent: int64 ``[N, N]``, applied to the population's own spikes of the step before.
        delay: int64 ``[N, N_in]``, extra steps each synapse waits, 0..62; None for none.
    """

    weight: IntArray
    neuron: Cuba | None
    bias: IntArray | None = None
    recurrent: IntArray | None = None
    delay: IntArray | None = None

    @property
    def shape(self) -> Shape:
        return (int(self.weight.shape[0]),)


Layer: TypeAlias = Input | Conv | Flatten | Dense
Population: TypeAlias = Input | Conv | Dense


@dataclass(frozen=True, slots=True)
class Span:
    """Channels of a convolution, or neurons of a dense layer, that are one population of the hub."""

    name: str
    first: int
    count: int


@dataclass(frozen=True, slots=True)
class Readout:
    """How the last population's membrane v becomes the network's output ``y``.

    ``current``: ``y[t] = (v[t] - v[t-1]) / scale``, for a membrane without leak that sums a linear layer;
    ``membrane``: ``y[t] = v[t] / scale``. ``scale`` counts state units (1/64 weight unit) per unit of y.
    """

    kind: Literal["current", "membrane"]
    scale: float


@dataclass(frozen=True, slots=True, eq=False)
class LavaNet:
    """A ``.net`` file and what its own format cannot say.

    Attributes:
        layers: in file order.
        names: one name per population, in order; hub names when we wrote the file, else ``layer0``...
        input_name: name of the input in the hub graph.
        input_range: smallest and largest integer input; (0, 1) is binary, anything else graded.
        input_scale: value of one unit of the integer input, ``x = input_scale n``.
        readout: None when the last population spikes.
        timesteps: T that the network was made for, when known.
        decode: how class scores follow from the output over time.
        classes: class names, when known.
        spans: per population what it holds; empty for a population that is one of the hub.
    """

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    input_name: str = "input"
    input_range: Pair = (0, 1)
    input_scale: float = 1.0
    readout: Readout | None = None
    timesteps: int | None = None
    decode: str = "mean"
    classes: tuple[str, ...] = field(default=())
    spans: tuple[tuple[Span, ...], ...] = field(default=())

    @property
    def populations(self) -> tuple[Population, ...]:
        """The layers that hold neurons, in order; ``names`` runs beside them."""
        return tuple(
            layer
            for layer in self.layers
            if isinstance(layer, Conv | Dense) or (isinstance(layer, Input) and layer.neuron is not None)
        )

    @property
    def depth(self) -> int:
        """Number of synaptic layers: Lava's output is late by as many steps."""
        return sum(isinstance(layer, Conv | Dense) for layer in self.layers)

    @property
    def input_shape(self) -> Shape:
        """Shape of one input frame."""
        first = next(layer for layer in self.layers if not isinstance(layer, Flatten))
        return first.shape if isinstance(first, Input) else (int(first.weight.shape[1]),)

    @property
    def input_bits(self) -> int:
        """netx's ``input_message_bits``: 0 for binary spikes, else the bits of the largest graded one."""
        low, high = self.input_range
        return 0 if (low, high) == (0, 1) else max(-low, high).bit_length()

    @property
    def analog(self) -> bool:
        """Whether the input is analog and drives the first population through its bias."""
        first = self.layers[0]
        return isinstance(first, Input) and first.neuron is not None


def neuron_of(layer: Population) -> Cuba:
    """The neurons of a population."""
    return NON_SPIKING if layer.neuron is None else layer.neuron


def conv_shape(layer: Conv, height: int, width: int) -> Shape:
    """Output shape ``(C, H, W)`` of a convolution of an input of ``height x width``."""
    sizes = [
        (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
        for size, pad, dilation, kernel, stride in zip(
            (height, width), layer.padding, layer.dilation, layer.weight.shape[2:], layer.stride, strict=True
        )
    ]
    return (int(layer.weight.shape[0]), *sizes)


def row_bounds(weight: npt.NDArray[Any], input_range: Pair = (0, 1)) -> npt.NDArray[Any]:
    """Largest ``|sum|`` that each row of ``weight [N, ...]``, or any part of it, can reach for inputs in
    ``input_range`` and 0."""
    low, high = min(input_range[0], 0), max(input_range[1], 0)
    rows = weight.reshape(len(weight), int(np.prod(weight.shape[1:])))
    positive = np.maximum(rows, 0).sum(1)
    negative = rows.sum(1) - positive
    bounds: npt.NDArray[Any] = np.maximum(
        positive * high + negative * low, -(positive * low + negative * high)
    )
    return bounds


def layer_bound(layer: Conv | Dense, input_range: Pair) -> int:
    """Largest ``|sum|`` of a layer, its own recurrent spikes included."""
    bounds = row_bounds(layer.weight, input_range)
    if isinstance(layer, Dense) and layer.recurrent is not None:
        bounds = bounds + row_bounds(layer.recurrent)
    return int(bounds.max(initial=0))
