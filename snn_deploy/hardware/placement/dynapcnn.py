r"""Placement on DYNAP-CNN cores (Speck): one layer per core, and the cores differ.

For c input and f output channels, kernel :math:`k_x \times k_y` and output map :math:`f_x \times f_y`, before
pooling, a layer needs

.. math::
    K &= c \cdot 2^{\lceil \log_2 k_x k_y \rceil + \lceil \log_2 f \rceil} \\
    N &= f \cdot 2^{\lceil \log_2 f_x \rceil + \lceil \log_2 f_y \rceil}

entries of kernel and neuron memory, and f of bias memory when it has biases (sinabs 3.1.3,
``DynapcnnLayer.memory_summary``; its documentation counts neurons without rounding up, we take the stricter).
A dense layer is a convolution whose kernel is the map before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snn_deploy.hardware.constraint import span_words, words
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limit, Limits
from snn_deploy.hardware.matching import Matching, match
from snn_deploy.hardware.network import Network, WeightLayer
from snn_deploy.hardware.placement.base import Placement, Row, Use

MEMORIES = ("kernel", "neuron", "bias")
_TRY = {
    "kernel": "fewer channels or a smaller kernel",
    "neuron": "a stride or pooling before it, or fewer channels",
    "bias": "fewer channels, or no bias",
}
Need = Mapping[str, int]
"""Entries of each of :data:`MEMORIES`."""


def memory(layer: WeightLayer) -> Need:
    """Entries that ``layer`` needs; see the equations of the module."""
    channels, kernel = layer.source[0], layer.kernel if layer.convolves else layer.source[1:]
    out = layer.target[1:] if layer.convolves else ()
    return {
        "kernel": channels << (_log2(_product(kernel)) + _log2(layer.channels_out)),
        "neuron": layer.channels_out << sum(_log2(size) for size in out),
        "bias": layer.channels_out if layer.biases else 0,
    }


def place(network: Network, limits: Limits) -> Placement:
    """A core for every layer, by bipartite matching."""
    capacities = {name: _values(getattr(limits, f"{name}_memory_per_core")) for name in MEMORIES}
    count = len(capacities["kernel"])
    layers = [layer for layer in network.layers if not layer.convolves or len(layer.kernel) == 2]
    needs = [memory(layer) for layer in layers]
    smallest_first = sorted(range(count), key=lambda core: [capacities[m][core] for m in MEMORIES])
    allowed = [
        [core for core in smallest_first if all(need[m] <= capacities[m][core] for m in MEMORIES)]
        for need in needs
    ]
    matching = match(allowed)
    findings = [f for layer in layers for f in _dense_kernel(layer, limits)]
    for layer, need, cores in zip(layers, needs, allowed, strict=True):
        if not cores:
            findings.append(_too_large(layer, need, capacities, limits))
    findings += _crowded(layers, matching, allowed, limits, count)
    rows = [
        _row(layer, need, core, capacities)
        for layer, need, core in zip(layers, needs, matching.places, strict=True)
    ]
    return Placement(
        scheme="one layer per core, matched to cores of different memory",
        rows=tuple(rows),
        cores=(len(layers), len(layers)),
        available=(count, count),
        findings=tuple(findings),
    )


def _log2(number: int) -> int:
    """The power of two that holds ``number``."""
    return (number - 1).bit_length()


def _product(sizes: tuple[int, ...]) -> int:
    result = 1
    for size in sizes:
        result *= size
    return result


def _values(limit: Limit[Any]) -> tuple[int, ...]:
    values: tuple[int, ...] = limit.value or ()
    return values


def _dense_kernel(layer: WeightLayer, limits: Limits) -> Iterator[Finding]:
    """A dense layer behind a map becomes a kernel of the map's size."""
    if layer.convolves or len(layer.source) < 2:
        return
    size = layer.source[1:]
    for limit, broken, allowed in (
        (limits.square_kernels, len(set(size)) > 1, "square"),
        (limits.kernel_max, _above(max(size), limits.kernel_max), ""),
    ):
        if limit is None or not broken:
            continue
        yield Finding(
            state="violated",
            rule="kernel_max" if not allowed else "square_kernels",
            where=layer.name,
            found=f"dense after a {words(size)} map: kernel {words(size)}",
            limit=allowed or span_words("at most", limit.value),  # type: ignore[arg-type]
            sentence="A dense layer becomes a convolution whose kernel is the map before it.",
            source=cited(limit.source, limit.grade),
            try_instead="pool or stride to a smaller, square map",
        )


def _above(size: int, limit: Limit[Any] | None) -> bool:
    return limit is not None and limit.value is not None and size > limit.value[1]


def _too_large(
    layer: WeightLayer, need: Need, capacities: Mapping[str, tuple[int, ...]], limits: Limits
) -> Finding:
    """Why no core takes ``layer`` even on its own."""
    over = [m for m in MEMORIES if need[m] > max(capacities[m])]
    which = over or [m for m in MEMORIES if need[m]]
    limit: Limit[Any] = getattr(limits, f"{which[0]}_memory_per_core")
    if over:
        allowed = "; ".join(f"{m} at most {max(capacities[m]):,}" for m in over)
    else:
        rooms = [
            n for k, n in zip(capacities["kernel"], capacities["neuron"], strict=True) if k >= need["kernel"]
        ]
        allowed = f"neuron at most {max(rooms):,} on cores with that much kernel memory"
    return Finding(
        state="violated",
        rule="core_memory",
        where=layer.name,
        found=" and ".join(f"{m} memory {need[m]:,}" for m in which),
        limit=f"{allowed} entries" if over else allowed,
        sentence="A layer fits the kernel, neuron and bias memory of one core.",
        source=cited(limit.source, limit.grade),
        try_instead="; ".join(_TRY[m] for m in which),
    )


def _crowded(
    layers: list[WeightLayer], matching: Matching, allowed: list[list[int]], limits: Limits, count: int
) -> Iterator[Finding]:
    """Layers that compete for too few cores."""
    if matching.conflict is None:
        return
    alone = {i for i, cores in enumerate(allowed) if not cores}
    rest = [i for i in range(len(layers)) if i not in alone]
    conflict = match([allowed[i] for i in rest]).conflict
    if conflict is None:
        return
    items, places = conflict
    cores = limits.cores or limits.kernel_memory_per_core
    which = f"cores {', '.join(map(str, places))}" if len(places) < count else f"{count} cores"
    yield Finding(
        state="violated",
        rule="cores",
        where=", ".join(layers[rest[i]].name for i in items),
        found=f"{len(items)} layers",
        limit=f"{len(places)} ({which})",
        sentence="Every layer has a core of its own with enough memory.",
        source=cited(cores.source, cores.grade) if cores else "",
        try_instead="fewer layers, or layers that need less memory",
    )


def _row(layer: WeightLayer, need: Need, core: int | None, capacities: Mapping[str, tuple[int, ...]]) -> Row:
    room = {m: max(capacities[m]) if core is None else capacities[m][core] for m in MEMORIES}
    return Row(
        layer=layer.name,
        cores="no core" if core is None else f"core {core}",
        uses={f"{m} entries": Use(need[m], room[m]) for m in MEMORIES},
    )
