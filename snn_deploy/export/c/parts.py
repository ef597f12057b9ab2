"""The parts of a C program, as the templates need them: layers with their types, tables and parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass

from snn_deploy.export.c.tables import Table, Weights
from snn_deploy.graph.lava.net import STATE_LIMIT, LavaNet, Population, Shape

INT16_MAX, INT32_MAX = (1 << 15) - 1, (1 << 31) - 1


@dataclass(frozen=True, slots=True)
class Decay:
    r"""What stays of a state from step to step: :math:`\operatorname{trunc}(x\, m / n)`.

    ``table`` holds :math:`4096 - d` per channel where decays differ; then n is 4096.
    """

    m: int
    n: int
    table: Table | None = None

    @property
    def wide(self) -> bool:
        """Whether the product needs 64 bits."""
        return self.table is not None or self.m > INT32_MAX // STATE_LIMIT


@dataclass(frozen=True, slots=True)
class Values:
    """A parameter of the neurons: one number for all, or a table per channel."""

    value: int
    table: Table | None = None

    @property
    def none(self) -> bool:
        return self.table is None and self.value == 0


@dataclass(frozen=True, slots=True)
class CLayer:
    """One population as the templates need it.

    Attributes:
        name: C identifier; ``title`` is the network's own name.
        kind: ``conv``, ``dense`` or ``driven`` (an analog input through the bias).
        channels_last: whether what it sees is ordered row, column, channel.
        sees_spikes: whether it sees 0 or 1, not other numbers.
        events: the loop over spikes, or the one over all synapses.
        sum_type, state_type: C types of the sum and of the current.
        slots: sums kept at a time: 1, or with delays one more than the network's longest.
        wraps24: whether the sum itself is kept modulo 2^24, as Lava's convolution does.
    """

    name: str
    title: str
    kind: str
    source_shape: Shape
    channels_last: bool
    sees_spikes: bool
    shape: Shape
    events: bool
    weights: Weights | None
    recurrent: Weights | None
    delays: Table | None
    slots: int
    sum_type: str
    state_type: str
    wraps24: bool
    wraps: bool
    clips: bool
    keep_current: Decay
    keep_voltage: Decay
    bias: Values
    threshold: Values
    layer: Population

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def sources(self) -> int:
        return math.prod(self.source_shape)

    @property
    def positions(self) -> int:
        """Places of a convolution's population; 1 for the neurons of a dense layer."""
        return self.count // self.shape[0] if len(self.shape) == 3 else 1

    @property
    def channels(self) -> int:
        return self.count // self.positions

    @property
    def constant_bytes(self) -> int:
        """Memory of its weights, delays and tables of parameters."""
        weights = [part.table for part in (self.weights, self.recurrent) if part]
        others = [self.delays] if self.delays else []
        return sum(t.bytes for t in (*weights, *others, *(content for _, content in self.parameters)))

    @property
    def state_bytes(self) -> int:
        """RAM of what it keeps from step to step."""
        current = self.count * int(self.state_type.strip("int_")) // 8 if self.remembers_current else 0
        later = self.slots * self.count * int(self.sum_type.strip("int_")) // 8 if self.slots > 1 else 0
        return 4 * self.count + current + later + (self.count if self.recurrent else 0)

    @property
    def parameters(self) -> list[tuple[str, Table]]:
        """Tables of neuron parameters that differ between channels, by the end of their names."""
        found = {
            "keep_u": self.keep_current.table,
            "keep_v": self.keep_voltage.table,
            "bias": self.bias.table,
            "threshold": self.threshold.table,
        }
        return [(name, content) for name, content in found.items() if content is not None]

    @property
    def nested(self) -> bool:
        """Whether its neurons are gone through by place and channel: where the two must be told apart."""
        apart = self.parameters or self.kind == "driven"
        return self.positions > 1 and bool(apart)

    @property
    def channel(self) -> str:
        """The C variable that numbers channels in the loop over neurons."""
        return "c" if self.nested else "i"

    @property
    def sum_name(self) -> str:
        """The member of the scratch union that holds its sums."""
        return "narrow" if self.sum_type == "int16_t" else "wide"

    @property
    def remembers_current(self) -> bool:
        return self.keep_current.table is not None or self.keep_current.m > 0


@dataclass(frozen=True, slots=True)
class Program:
    """A network as C: its layers in order and the sizes that they share."""

    net: LavaNet
    layers: tuple[CLayer, ...]
    input_type: str

    @property
    def inputs(self) -> int:
        return math.prod(self.net.input_shape)

    @property
    def binary(self) -> bool:
        return self.input_type == "uint8_t"

    @property
    def scratch_bytes(self) -> int:
        """RAM that all layers share, beside their state: sums, spikes and the numbers of those that fired."""
        sums = max(layer.count * (2 if layer.sum_type == "int16_t" else 4) for layer in self.layers)
        index = 2 if self.widest <= 1 << 16 else 4
        return sums + 2 * max(layer.count for layer in self.layers) + index * self.widest

    @property
    def widest(self) -> int:
        """The largest number of sources that any layer looks through."""
        return max(layer.sources for layer in self.layers)
