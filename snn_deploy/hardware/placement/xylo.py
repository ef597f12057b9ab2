"""Placement on Xylo: one core with input channels, hidden neurons that all share one memory, and outputs.

Populations that the network's output reads are output neurons; all others are hidden neurons, whatever layer
they belong to. Synapses between hidden neurons are lists of targets, bounded per neuron and, over the whole
memory, by a mean per hidden neuron of the chip (rockpool documentation, overview of the Xylo family).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from snn_deploy.hardware.constraint import span_words
from snn_deploy.hardware.fans import fans
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limit, Limits
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.placement.base import Placement, Row, Use


def place(network: Network, limits: Limits) -> Placement:
    """Counts of inputs, hidden and output neurons, and of the synapses between hidden neurons."""
    plan = network.plan
    hidden = [name for name in network.populations if name not in network.outputs]
    inner = fans(plan, targets=hidden)
    between = sum(inner.sent[name] for name in hidden)
    widest = max((inner.fan_out[name] for name in hidden), default=0)
    room = limits.hidden_neurons.value if limits.hidden_neurons and limits.hidden_neurons.value else (0, 0)
    counts: list[tuple[str, int, Limit[Any] | None, int, str]] = [
        (
            "input channels",
            int(np.prod(plan.shapes[plan.input])),
            limits.input_channels_max,
            1,
            "fewer inputs",
        ),
        ("hidden neurons", _neurons(network, hidden), limits.hidden_neurons, 1, "narrower hidden layers"),
        ("output neurons", _neurons(network, network.outputs), limits.output_neurons, 1, "fewer classes"),
        ("largest hidden fan-out", widest, limits.hidden_fan_out, 1, "narrower or sparser hidden layers"),
        ("hidden synapses", between, limits.mean_fan_out, room[0], "sparser hidden layers"),
        ("neurons that see the input", _fed(network), limits.projected_neurons, 1, "a narrower first layer"),
        (
            "neurons that feed the output",
            _feeding(network),
            limits.projected_neurons,
            1,
            "a narrower last layer",
        ),
    ]
    present = [entry for entry in counts if entry[2] is not None]
    return Placement(
        scheme="one core; hidden neurons share its memory",
        rows=(
            Row("network", "core 0", {name: Use(n, _high(limit, by)) for name, n, limit, by, _ in present}),
        ),
        cores=(1, 1),
        available=(1, 1),
        findings=tuple(f for entry in present for f in _finding(*entry)),
    )


def _neurons(network: Network, names: Any) -> int:
    return sum(network.neurons(name) for name in names)


def _weights_sources(network: Network, name: str) -> set[str]:
    """Populations and input behind the weights that feed ``name``."""
    weights = {layer.name for layer in network.layers}
    return {source for w in network.sources(name) & weights for source in network.sources(w)}


def _fed(network: Network) -> int:
    names = [n for n in network.populations if network.plan.input in _weights_sources(network, n)]
    return _neurons(network, [name for name in names if name not in network.outputs])


def _feeding(network: Network) -> int:
    feeding = {s for name in network.outputs for s in _weights_sources(network, name)}
    return _neurons(network, [n for n in network.populations if n in feeding - network.outputs])


def _high(limit: Limit[Any] | None, by: int) -> int | None:
    return int(limit.value[1]) * by if limit is not None and limit.value is not None else None


def _finding(
    name: str, amount: int, limit: Limit[Any] | None, by: int, try_instead: str
) -> Iterator[Finding]:
    if limit is None or limit.value is None:
        return
    low, high = (bound * by for bound in limit.value)
    if amount > low:
        yield Finding(
            state="violated" if amount > high else "unknown",
            rule=name,
            where="network",
            found=f"{amount:,} {name}",
            limit=span_words("at most", (low, high)),
            sentence="Inputs, hidden neurons, outputs and the synapses between them fit the core.",
            source=cited(limit.source, limit.grade),
            try_instead=try_instead,
        )
