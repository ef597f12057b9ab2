"""What can be counted where no placement is known: a bound from below on the cores.

With N neurons, B bits of weights (each stored once) and C connections, a network takes at least

    max(ceil(N / neurons per core), ceil(B / bits per core), ceil(C / (axons x neurons of a crossbar)))

cores. A crossbar of A axons and M neurons stores A M synapses whether they are used or not, and a neuron
reaches one core; copies for others are not counted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from snn_deploy.hardware.constraint import span_words, unknown
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limit, Limits
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.placement.base import Placement, Row, Use

SENTENCE = "The layers fit the cores of one chip."


def place(network: Network, limits: Limits) -> Placement:
    """Totals and the bound of the module's equation."""
    neurons = sum(network.neurons(name) for name in network.populations)
    bits = max(limits.weight_bits.value or (0,)) if limits.weight_bits else 0
    stored = sum(layer.weight.size for layer in network.layers) * bits
    totals = {
        "neurons": Use(neurons, _capacity(limits.neurons_per_chip, limits.neurons_per_core, limits.cores)),
        "connections": Use(network.fans.total, _high(limits.synapses_per_chip)),
    }
    if bits:
        capacity = _capacity(None, limits.memory_bits_per_core, limits.cores)
        totals["weight bits"] = Use(stored, capacity)
    bounds = [
        -(-amount // capacity)
        for amount, capacity in (
            (neurons, _high(limits.neurons_per_core)),
            (stored, _high(limits.memory_bits_per_core)),
            (network.fans.total, _crossbar(limits)),
        )
        if capacity
    ]
    lowest = max(bounds, default=None)
    return Placement(
        scheme="counted, not placed: the cores are a bound from below",
        rows=(Row("network", "-" if lowest is None else f"at least {lowest:,}", totals),),
        cores=None if lowest is None else (lowest, None),
        available=limits.cores.value if limits.cores else None,
        findings=tuple(_findings(lowest, limits)),
    )


def with_findings(placement: Placement, *more: Finding) -> Placement:
    """``placement`` with ``more`` findings."""
    return replace(placement, findings=(*placement.findings, *more))


def _findings(lowest: int | None, limits: Limits) -> Iterator[Finding]:
    cores = limits.cores
    if lowest is not None and cores is not None and cores.value is not None and lowest > cores.value[0]:
        yield Finding(
            state="violated" if lowest > cores.value[1] else "unknown",
            rule="cores",
            where="network",
            found=f"at least {lowest:,} cores",
            limit=span_words("at most", cores.value),
            sentence=SENTENCE,
            source=cited(cores.source, cores.grade),
            try_instead="a smaller network, or several chips",
        )
    if limits.placement is None or limits.placement.value is None:
        yield unknown("placement", limits.placement, SENTENCE)
    elif limits.placement.value == "crossbar":
        yield Finding(
            state="unknown",
            rule="placement",
            where="network",
            found="only a bound from below: copies of neurons that reach several cores are not counted",
            sentence=SENTENCE,
        )


def _crossbar(limits: Limits) -> int | None:
    if limits.placement is None or limits.placement.value != "crossbar":
        return None
    axons, neurons = _high(limits.input_axons_per_core), _high(limits.neurons_per_core)
    return axons * neurons if axons and neurons else None


def _high(limit: Limit[Any] | None) -> int | None:
    return int(limit.value[1]) if limit is not None and limit.value is not None else None


def _capacity(chip: Limit[Any] | None, per_core: Limit[Any] | None, cores: Limit[Any] | None) -> int | None:
    if (total := _high(chip)) is not None:
        return total
    each, count = _high(per_core), _high(cores)
    return None if each is None or count is None else each * count
