"""All constraints: those of :mod:`.layer_constraints`, and on operators, neurons, connectivity, totals."""

from __future__ import annotations

from collections.abc import Iterable

import nir
import numpy as np

from snn_deploy.graph.dynamics import discretise
from snn_deploy.hardware import layer_constraints as layer_constraints
from snn_deploy.hardware.changes import leaks
from snn_deploy.hardware.constraint import CONSTRAINTS as CONSTRAINTS
from snn_deploy.hardware.constraint import Between, constraint
from snn_deploy.hardware.fans import POPULATIONS
from snn_deploy.hardware.network import Network, WeightLayer


def _operators(network: Network) -> Iterable[str]:
    wiring = (*POPULATIONS, nir.Input, nir.Output)
    return [name for name in network.plan.order if not isinstance(network.plan.node(name), wiring)]


def _spiking(network: Network) -> Iterable[str]:
    resetting = (nir.IF, nir.LIF, nir.CubaLIF)
    return [name for name in network.populations if isinstance(network.plan.node(name), resetting)]


def _senders(network: Network) -> Iterable[str]:
    return (network.plan.input, *network.populations)


def _itself(network: Network) -> Iterable[Network]:
    return (network,)


@constraint(
    "operators",
    "one of",
    _operators,
    "{}",
    "write it as one of these, or merge it into the weights beside it",
)
def operator(network: Network, node: str) -> str:
    """The chip has this operator."""
    return type(network.plan.node(node)).__name__


def _other_neurons(value: tuple[str, ...]) -> str:
    options = {"IF": "if", "LIF": "lif"}
    ours = [options[name] for name in value if name in options]
    how = f" (student.neuron.kind: {' or '.join(ours)})" if ours else ""
    return f"train with {' or '.join(value)} neurons{how}"


def _other_reset(value: tuple[str, ...]) -> str:
    options = {"zero": "v_reset: 0.0", "subtract": "v_reset: null"}
    return f"train with {' or '.join(options[name] for name in value)}"


@constraint("neurons", "one of", lambda n: n.populations, "{} neurons", _other_neurons)
def neuron_model(network: Network, node: str) -> str:
    """The chip has this neuron model."""
    return type(network.plan.node(node)).__name__


@constraint("resets", "one of", _spiking, "reset: {}", _other_reset)
def reset(network: Network, node: str) -> str:
    """The chip resets neurons this way."""
    fire = discretise(network.plan.node(node), network.semantics).fire
    assert fire is not None
    return fire.words


@constraint(
    "decay_sets", "at most", lambda n: n.populations, "{} sets of decays", "one time constant per layer"
)
def decay_sets(network: Network, node: str) -> int | None:
    """The neurons of a layer share at most this many sets of decays."""
    decays = np.broadcast_arrays(np.zeros(network.plan.shapes[node]), *leaks(network, node).values())
    sets = len(np.unique(np.stack([values.reshape(-1) for values in decays], 1), axis=0))
    return sets if sets > 1 else None


@constraint("destinations_max", "at most", _senders, "feeds {} layers", "fewer branches")
def destinations(network: Network, node: str) -> int:
    """The neurons of a layer feed at most this many layers."""
    return sum(
        not isinstance(network.plan.node(t), (*POPULATIONS, nir.Output)) for t in network.targets(node)
    )


@constraint(
    "fan_in", "at most", lambda n: n.populations, "{} synapses into a neuron", "smaller or sparser layers"
)
def fan_in(network: Network, node: str) -> int | None:
    """A neuron receives at most this many synapses."""
    return network.fans.fan_in.get(node)


@constraint("fan_out", "at most", _senders, "{} synapses from a neuron", "smaller or sparser layers")
def fan_out(network: Network, node: str) -> int:
    """A neuron, or an input, reaches at most this many neurons."""
    return network.fans.fan_out[node]


@constraint(
    "weight_levels", "at most", lambda n: n.layers, "{} different weights", "train with fewer weight values"
)
def weight_levels(network: Network, layer: WeightLayer) -> int:
    """The synapses of one neuron have at most this many different weights."""
    rows = layer.weight.reshape(len(layer.weight), -1)
    return max(len(np.unique(row[row != 0])) for row in rows)


@constraint("neurons_per_chip", "at most", _itself, "{} neurons", "a smaller network, or several chips")
def neurons(network: Network, _: Network) -> int:
    """The chip has at most this many neurons."""
    return sum(network.neurons(name) for name in network.populations)


@constraint("synapses_per_chip", "at most", _itself, "{} synapses", "a smaller or sparser network")
def synapses(network: Network, _: Network) -> Between:
    """The chip stores at most this many synapses (from every weight once, to every connection)."""
    stored = sum(int(np.count_nonzero(layer.weight)) for layer in network.layers)
    return Between(min(stored, network.fans.total), network.fans.total)
