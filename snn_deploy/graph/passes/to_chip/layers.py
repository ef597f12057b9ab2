"""What lowering makes of a network: a chain of weight layers with CUBA neurons, in real numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from snn_deploy.graph.lava.net import IntArray
from snn_deploy.graph.passes.protocol import parts
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Pair, Window
from snn_deploy.graph.semantics import Comparison, Semantics

NETX = "lava-dl 0.6.0, netx"
ReadoutKind = Literal["current", "membrane"]


@dataclass(frozen=True, slots=True)
class Member:
    """Channels (of a dense layer: neurons) of a layer that hold one population, or relay it.

    Attributes:
        name: hub name of the population; ``SOURCE@LAYER`` for a relay, ``SOURCE[phase]@LAYER`` for one of
            several.
        source: hub name of the population whose spikes these are.
        first, count: which channels.
        stride, phase: a relay's neuron ``(c, i, k)`` holds the source's spike at
            ``(c, stride i + phase, stride k + phase)``, per axis; phase None is the source flattened.
        held: steps that a relay holds the spikes back: nothing, one number, or one per neuron.
    """

    name: str
    source: str
    first: int
    count: int
    stride: Pair = (1, 1)
    phase: Pair | None = (0, 0)
    held: tuple[int, ...] = ()

    @property
    def rows(self) -> slice:
        """Which channels these are."""
        return slice(self.first, self.first + self.count)

    @property
    def relay(self) -> bool:
        """Whether these neurons only pass on spikes of an earlier layer."""
        return self.name != self.source


@dataclass(frozen=True, slots=True, eq=False)
class ChipLayer:
    r"""One layer of neurons and the weights before it, in real numbers.

    .. math::
        u \leftarrow (1 - \ell_u) u + W x, \qquad v \leftarrow (1 - \ell_v) v + u + b

    Attributes:
        name: hub name of the neurons, or of the weights when nothing fires; joined by ``+`` where several
            populations lie side by side.
        weights_name: hub name of the weights; the neurons' when there are none.
        map: the linear map W, with the bias b.
        shape: shape of the layer.
        flattens: whether the layer before is flattened on the way.
        current_leak, voltage_leak: shares in [0, 1] lost per step; a number, or one per channel.
        threshold: None when the layer is a readout.
        fires_at: ``>=`` or ``>``.
        members: what the channels hold, relays last; empty when they are the one population ``name``.
        nodes: hub names of what became this layer, relays left out; of relays alone what they relay.
        recurrent: the map ``[N, N]`` of the layer's own spikes of the step before, added to W x.
        delay: whole steps that every synapse of W waits, ``[N, N_in]``.
    """

    name: str
    weights_name: str
    map: Window | Matrix
    shape: tuple[int, ...]
    flattens: bool
    current_leak: FloatArray
    voltage_leak: FloatArray
    threshold: float | None
    fires_at: Comparison
    members: tuple[Member, ...] = ()
    nodes: tuple[str, ...] = ()
    recurrent: FloatArray | None = None
    delay: IntArray | None = None

    @property
    def relays(self) -> int:
        """How many channels, the last ones, only pass on spikes: any weight above the threshold does it."""
        return sum(member.count for member in self.members if member.relay)


def held_by(layer: ChipLayer) -> tuple[Member, ...]:
    """The members of a layer; one for a layer that is one population."""
    return layer.members or (Member(layer.name, layer.name, 0, layer.shape[0]),)


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A network as a chain of layers, ready to be quantised."""

    layers: tuple[ChipLayer, ...]
    input_name: str
    input_shape: tuple[int, ...]
    readout: ReadoutKind | None
    semantics: Semantics

    @property
    def relays_input(self) -> bool:
        """Whether some layer passes on the input, which must then be spikes."""
        return any(member.source == self.input_name for layer in self.layers for member in layer.members)


@parts.register
def _(chain: Chain) -> Mapping[str, object]:
    return {chain.input_name: chain.input_shape, **{layer.name: layer for layer in chain.layers}}
