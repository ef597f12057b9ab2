r"""Placement on Loihi 1 cores, by the counts of nengo-loihi 1.1.0 (``nengo_loihi/block.py``).

A core holds 1024 compartments, 4096 input axons, 4096 output axons and 2^20 bits of synapses. An input axon
with n synapses of b weight bits and i index bits takes, in blocks of 64 synapses and units of 64 bits,

.. math:: \sum_{blocks} 64 \left\lceil \frac{n_{block} (b + i) + 10}{64} \right\rceil

bits, i = 0 for a dense row. A neuron spends one output axon per core that it reaches.

We cut every population into equal tiles, one tile per core, and look for the fewest tiles that keep all four
counts, with one axon per source neuron, one axon per output neuron to the host, and no weights shared; the
neurons of a recurrent layer are sources of all its tiles as well. That
placement exists, so its cores are an upper bound; sharing weights, as nengo-loihi does for convolutions, can
only save. The lower bound fills every core with compartments. Tiles and search are our choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.passes.to_chip.layers import ChipLayer
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.passes.to_chip.windows import Matrix, Window
from snn_deploy.hardware.constraint import span_words
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limit, Limits
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.placement import counts as placement_counts
from snn_deploy.hardware.placement.base import Placement, Row, Use

BLOCK, UNIT, OVERHEAD = 64, 64, 10
INDEX_BITS = (0, 6, 7, 8, 9, 10, 11, 12)
NO_INDEX = 1 << 20
"""Bits charged for an index wider than the chip has, so that nothing that needs one fits."""
IntArray = npt.NDArray[np.int64]
SENTENCE = "Compartments, axons and synapses fit the cores of one chip."


@dataclass(frozen=True, slots=True)
class Core:
    """What one core holds at most."""

    compartments: int
    input_axons: int
    output_axons: int
    synapse_bits: int
    weight_bits: int


@dataclass(frozen=True, slots=True)
class Tiles:
    """A population cut into equal tiles, and what the fullest of them uses.

    ``box`` is the size of a tile per axis of the population; ``reached`` is the number of tiles that one
    source neuron reaches at most.
    """

    box: tuple[int, ...]
    cores: int
    compartments: int
    input_axons: int
    output_axons: int
    synapse_bits: int
    reached: int


def synapse_bits(synapses: IntArray, bits: int | IntArray) -> IntArray:
    """Memory of one axon with so many synapses of ``bits`` bits (weight and index)."""
    widths = np.asarray(bits, np.int64)
    blocks, rest = np.divmod(synapses, BLOCK)
    full = -(-(BLOCK * widths + OVERHEAD) // UNIT) * UNIT
    last = -(-(rest * widths + OVERHEAD) // UNIT) * UNIT
    memory: IntArray = blocks * full + np.where(rest > 0, last, 0)
    return memory


def index_bits(compartments: IntArray) -> IntArray:
    """Bits of an index into so many compartments, in a width that the chip has."""
    needed = np.ceil(np.log2(np.maximum(compartments, 1))).astype(np.int64)
    widths = np.asarray([*INDEX_BITS, NO_INDEX])
    return widths[np.searchsorted(widths, needed)]


def dense_tiles(
    sources: int, neurons: int, fan_out: int, core: Core, *, recurrent: bool = False
) -> Tiles | None:
    """Fewest tiles of a fully connected population whose neurons reach ``fan_out`` cores each, and with
    ``recurrent`` its own."""
    size = np.arange(1, min(core.compartments, neurons) + 1)
    sources += neurons * recurrent
    sent = fan_out + recurrent * -(-neurons // size)
    bits = sources * synapse_bits(size, core.weight_bits)
    fits = (bits <= core.synapse_bits) & (size * sent <= core.output_axons)
    if sources > core.input_axons or not fits.any():
        return None
    cores = -(-neurons // int(size[fits].max()))
    even = -(-neurons // cores)
    axons = even * (fan_out + recurrent * cores)
    return Tiles((even,), cores, even, sources, axons, int(bits[even - 1]), cores)


def window_tiles(window: Window, fan_out: int, core: Core) -> Tiles | None:
    """Fewest tiles of a convolution's population; a tile covers a box of rows, columns and channels."""
    (height, width), channels = window.size_out, len(window.weight)
    rows, columns, depth = np.meshgrid(
        *(_sizes(n) for n in (height, width, channels)), indexing="ij", sparse=False
    )
    per_group = channels // window.groups
    groups = np.minimum(-(-(depth - 1) // per_group) + 1, window.groups)
    compartments = rows * columns * depth
    field, targets, overlap = [], [], []
    for axis, size in ((0, rows), (1, columns)):
        reach = window.dilation[axis] * (window.kernel[axis] - 1)
        span = (size - 1) * window.stride[axis] + reach + 1
        field.append(np.minimum(span, window.size_in[axis]))
        hits = min(reach // window.stride[axis] + 1, window.kernel[axis])
        targets.append(np.minimum(size, hits))
        tiles = -(-window.size_out[axis] // size)
        overlap.append(np.minimum((span - 1) // (size * window.stride[axis]) + 1, tiles))
    axons = window.weight.shape[1] * groups * field[0] * field[1]
    synapses = np.minimum(depth, per_group) * targets[0] * targets[1]
    bits = axons * synapse_bits(synapses, core.weight_bits + index_bits(compartments))
    fits = (compartments <= core.compartments) & (axons <= core.input_axons)
    fits &= (compartments * fan_out <= core.output_axons) & (bits <= core.synapse_bits)
    if not fits.any():
        return None
    cores = -(-height // rows) * -(-width // columns) * -(-channels // depth)
    crossed = np.minimum(-(-channels // depth), (per_group - 1) // depth + 2)
    reached = overlap[0] * overlap[1] * crossed
    best = np.lexsort((reached[fits], cores[fits]))[0]

    def at(values: IntArray) -> int:
        return int(values[fits][best])

    return Tiles(
        box=(at(depth), at(rows), at(columns)),
        cores=at(cores),
        compartments=at(compartments),
        input_axons=at(axons),
        output_axons=at(compartments) * fan_out,
        synapse_bits=at(bits),
        reached=at(reached),
    )


def place(network: Network, limits: Limits) -> Placement:
    """Tiles for every population of the chain that Loihi runs; bounds by counting where it is no chain."""
    try:
        layers = Lower()(network.plan.graph).layers
    except UnsupportedError as error:
        counted = placement_counts.place(network, limits)
        found = f"not placed: {len(error.problems)} parts of it cannot be lowered to a chain of layers"
        return placement_counts.with_findings(counted, _unknown("network", found, ""))
    core = Core(
        compartments=_most(limits.neurons_per_core),
        input_axons=_most(limits.input_axons_per_core),
        output_axons=_most(limits.output_axons_per_core),
        synapse_bits=_most(limits.synapse_memory_bits_per_core),
        weight_bits=max(limits.weight_bits.value or ()) if limits.weight_bits else 8,
    )
    rows: list[Row] = []
    findings: list[Finding] = []
    highest: int | None = 0
    fan_out = 1
    for layer in reversed(layers):
        tiles = _tiles(layer, fan_out, core)
        if tiles is None:
            findings.append(_no_tile(layer, fan_out, core, limits))
            highest, fan_out = None, 1
            continue
        rows.insert(0, _row(layer, tiles, core))
        if layer.delay is not None:
            findings.append(_unknown(layer.name, "delays of synapses, whose bits nobody states", ""))
        highest = None if highest is None else highest + tiles.cores
        fan_out = tiles.reached
    neurons = sum(int(np.prod(layer.shape)) for layer in layers)
    lowest = -(-neurons // core.compartments)
    findings += _too_many(lowest, highest, limits)
    return Placement(
        scheme="one tile of a layer per core, an axon per source neuron, no shared weights",
        rows=tuple(rows),
        cores=(lowest, highest),
        available=limits.cores.value if limits.cores else None,
        findings=tuple(findings),
    )


def _tiles(layer: ChipLayer, fan_out: int, core: Core) -> Tiles | None:
    if isinstance(layer.map, Matrix):
        outputs, inputs = layer.map.weight.shape
        return dense_tiles(inputs, outputs, fan_out, core, recurrent=layer.recurrent is not None)
    return window_tiles(layer.map, fan_out, core)


def _sizes(total: int) -> IntArray:
    """Every tile size that is ``ceil(total / parts)`` for some number of parts."""
    return np.unique(-(-total // np.arange(1, total + 1)))


def _most(limit: Limit[Any] | None) -> int:
    assert limit is not None and limit.value is not None
    return int(limit.value[0])


def _row(layer: ChipLayer, tiles: Tiles, core: Core) -> Row:
    return Row(
        layer=layer.name,
        cores=f"{tiles.cores}",
        uses={
            "compartments": Use(tiles.compartments, core.compartments),
            "input axons": Use(tiles.input_axons, core.input_axons),
            "output axons": Use(tiles.output_axons, core.output_axons),
            "synapse bits": Use(tiles.synapse_bits, core.synapse_bits),
        },
    )


def _no_tile(layer: ChipLayer, fan_out: int, core: Core, limits: Limits) -> Finding:
    """A layer that no tile fits: sharing axons or weights might still place it."""
    inputs = layer.map.weight.shape[1] + (0 if layer.recurrent is None else len(layer.recurrent))
    if isinstance(layer.map, Matrix) and inputs > core.input_axons:
        found, limit = f"{inputs:,} input axons", limits.input_axons_per_core
        allowed = span_words("at most", limit.value) if limit and limit.value else ""
        return _unknown(layer.name, f"{found}; shared axons might fit", allowed, limit)
    return _unknown(
        layer.name, f"no tile keeps all limits with {fan_out} cores behind it; shared weights might", ""
    )


def _too_many(lowest: int, highest: int | None, limits: Limits) -> Iterator[Finding]:
    cores = limits.cores
    if cores is None or cores.value is None:
        return
    allowed = span_words("at most", cores.value)
    if lowest > cores.value[1]:
        yield Finding(
            state="violated",
            rule="cores",
            where="network",
            found=f"at least {lowest:,} cores",
            limit=allowed,
            sentence=SENTENCE,
            source=cited(cores.source, cores.grade),
            try_instead=f"a smaller network, or {-(-lowest // cores.value[1])} chips",
        )
    elif highest is not None and highest > cores.value[0]:
        yield _unknown(
            "network", f"{lowest:,} to {highest:,} cores, by how weights are shared", allowed, cores
        )


def _unknown(where: str, found: str, allowed: str, limit: Limit[Any] | None = None) -> Finding:
    return Finding(
        state="unknown",
        rule="placement",
        where=where,
        found=found,
        limit=allowed,
        sentence=SENTENCE,
        source=cited(limit.source, limit.grade) if limit is not None else "",
        try_instead="stride or pool earlier, or fewer channels",
    )
