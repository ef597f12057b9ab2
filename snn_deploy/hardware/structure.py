"""Rules on how layers follow each other. A profile lists those that its chip has; the docstring of a rule is
the sentence that users read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import nir

from snn_deploy.graph.plan import loop_groups
from snn_deploy.graph.types import WEIGHT_NODES
from snn_deploy.hardware.constraint import as_limit, unknown
from snn_deploy.hardware.fans import POOLS, POPULATIONS
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limits, Structure
from snn_deploy.hardware.network import Network

Offences = Iterator[tuple[str, str]]
"""Node, and what is wrong there."""


def structure_findings(network: Network, limits: Limits) -> Iterator[Finding]:
    """Every structural rule of the chip that ``network`` breaks."""
    limit = limits.structure
    if limit is None or limit.bounded_by:
        return
    if limit.value is None:
        yield unknown("structure", limit, "Layers follow each other as the chip allows.")
        return
    for name in limit.value:
        rule, try_instead = RULES[name]
        sentence = (rule.__doc__ or "").strip()
        for where, found in rule(network):
            yield Finding(
                state="violated",
                rule=name,
                where=where,
                found=found,
                limit=as_limit(sentence),
                sentence=sentence,
                source=cited(limit.source, limit.grade),
                try_instead=try_instead,
            )


def weights_before_neurons(network: Network) -> Offences:
    """Neurons are fed by weights directly."""
    for name in network.populations:
        for source in network.before[name]:
            if not isinstance(network.plan.node(source), WEIGHT_NODES):
                yield name, f"fed by {_kind(network, source)}"


def neurons_after_weights(network: Network) -> Offences:
    """Weights feed neurons directly: no second layer of weights, no linear read-out."""
    for layer in network.layers:
        for target in network.behind[layer.name]:
            if not isinstance(network.plan.node(target), POPULATIONS):
                yield layer.name, f"feeds {_kind(network, target)}"


def pooling_after_neurons(network: Network) -> Offences:
    """Pooling acts on spikes: it follows neurons, the input, or pooling."""
    for name in network.pools:
        for source in network.before[name]:
            if not isinstance(network.plan.node(source), (*POPULATIONS, *POOLS, nir.Input)):
                yield name, f"fed by {_kind(network, source)}"


def one_weight_layer_per_population(network: Network) -> Offences:
    """Neurons are fed by one layer of weights."""
    for name in network.populations:
        feeding = [s for s in network.before[name] if isinstance(network.plan.node(s), WEIGHT_NODES)]
        if len(feeding) > 1:
            yield name, f"fed by {len(feeding)} layers: {', '.join(feeding)}"


def dense_before_currents(network: Network) -> Offences:
    """Neurons with a synaptic current are fed by dense weights, not by convolutions."""
    for layer in network.layers:
        for target in network.behind[layer.name]:
            if layer.convolves and isinstance(network.plan.node(target), nir.CubaLIF | nir.CubaLI):
                yield target, f"fed by convolution '{layer.name}'"


def no_recurrence(network: Network) -> Offences:
    """There are no loops."""
    for name, sources in network.plan.feedback.items():
        yield name, f"fed back from {', '.join(sources)}"


def outputs_not_recurrent(network: Network) -> Offences:
    """Output neurons are not part of a loop."""
    looped = set(network.plan.feedback)
    for group in loop_groups(network.plan):
        if len(group) > 1 or group[0] in looped:
            for name in sorted(network.outputs.intersection(group)):
                yield name, f"part of the loop {', '.join(group)}"


def two_neuron_layers(network: Network) -> Offences:
    """There are at least two layers of neurons: hidden ones and the output."""
    if len(network.populations) < 2:
        yield "network", f"{len(network.populations)} layer of neurons"


def _kind(network: Network, name: str) -> str:
    return f"{type(network.plan.node(name)).__name__} '{name}'"


RULES: dict[Structure, tuple[Callable[[Network], Offences], str]] = {
    "weights_before_neurons": (weights_before_neurons, "move it behind the neurons, or stride instead"),
    "neurons_after_weights": (neurons_after_weights, "put neurons behind them (readout: spiking)"),
    "pooling_after_neurons": (pooling_after_neurons, "move the pooling behind the neurons"),
    "one_weight_layer_per_population": (
        one_weight_layer_per_population,
        "train without skip connections, or add before the weights",
    ),
    "dense_before_currents": (dense_before_currents, "LIF neurons behind convolutions"),
    "no_recurrence": (no_recurrence, "train without recurrence"),
    "outputs_not_recurrent": (outputs_not_recurrent, "keep recurrence in hidden layers"),
    "two_neuron_layers": (two_neuron_layers, "add a hidden layer"),
}
"""Every structural rule, and what to try when it is broken."""
