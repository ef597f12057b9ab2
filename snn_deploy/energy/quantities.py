"""Which counts a chip pays, and how many of each: counts turned into quantities of profile terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snn_deploy.energy.counts import Counts, EdgeCounts, IntArray, NeuronCounts
from snn_deploy.hardware.schema import Counting, Profile


@dataclass(frozen=True, slots=True)
class Quantity:
    """How often a term occurs per inference.

    Attributes:
        term: name of the term.
        number: mean over samples of the sum over steps; None where it cannot be counted.
        uncounted: why ``number`` is None.
        refused: why the chip cannot take this activity at all.
    """

    term: str
    number: float | None
    uncounted: str = ""
    refused: str = ""


def layer_quantities(counts: Counts, profile: Profile) -> Iterator[tuple[str, tuple[Quantity, ...]]]:
    """For every layer what ``profile`` pays per inference."""
    for layer in counts.layers:
        events = [_edge(edge, profile.counting) for edge in counts.edges_of(layer)]
        found = [*events]
        neurons = counts.neurons_of(layer)
        updates: list[Quantity] = []
        if neurons is not None:
            updates = _neurons(neurons, counts.timesteps, profile)
            found += [*updates, *_messages(neurons, profile)]
        yield layer, tuple(_merge([*found, *_memory(events, updates, profile)]))


def _edge(edge: EdgeCounts, counting: Counting) -> Quantity:
    """One weighted edge as synaptic operations or multiply-accumulates."""
    skip = counting.zero_weights == "skip"
    sites = edge.sites_nonzero if skip else edge.sites
    units = edge.units_nonzero if skip else edge.units
    dense = edge.connections_nonzero if skip else edge.connections
    if edge.edge_class == "analog":
        refused = f"'{edge.name}' takes analog values, which this chip does not process as events"
        if counting.analog == "dense":
            return Quantity("mac", float(dense * edge.sites.shape[0]))
        return Quantity("mac", _mean(sites), refused=refused if counting.analog == "refuse" else "")
    if edge.edge_class != "graded":
        return Quantity("sop", _mean(sites))
    rule = counting.pooled if edge.pooled else counting.graded
    if rule == "unit" and units is not None:
        return Quantity("sop", _mean(units))
    if rule == "refuse":
        refused = f"'{edge.name}' takes graded values, which this chip does not process as events"
        return Quantity("sop", _mean(sites), refused=refused)
    return Quantity("mac" if rule == "mac" else "sop", _mean(sites))


def _neurons(neurons: NeuronCounts, timesteps: int, profile: Profile) -> list[Quantity]:
    counting = profile.counting
    if counting.neuron_update == "none":
        return []
    touched = _mean(neurons.touched)
    if counting.neuron_update == "touched":
        return [Quantity("neuron_active", touched)]
    active = _mean(neurons.spikes) if counting.neuron_active == "spiking" else touched
    clocked = float(neurons.size * timesteps)
    return [Quantity("neuron_active", active), Quantity("neuron_inactive", clocked - active)]


def _messages(neurons: NeuronCounts, profile: Profile) -> list[Quantity]:
    """Spikes sent, one message each; hops need to know where every layer lies on the chip."""
    terms = profile.terms
    found = [Quantity("spike_out", _mean(neurons.spikes))] if terms.spike_out else []
    return found + ([Quantity("hop", None, uncounted="needs a placement onto cores")] if terms.hop else [])


def _memory(events: Sequence[Quantity], updates: Sequence[Quantity], profile: Profile) -> Iterator[Quantity]:
    """Bits of memory traffic of one layer, in the widths of the profile.

    With E synaptic events (or multiply-accumulates) and U updates of neurons per inference::

        weight bits read = E · weight_bits
        state bits       = 2 · state_bits · (E + U)     every event reads and writes its target's state
                         = 2 · state_bits · U           only updates do
    """
    terms, memory = profile.terms, profile.counting.memory
    if memory is None:
        return
    count = sum(quantity.number for quantity in events if quantity.number is not None)
    accesses = sum(quantity.number for quantity in updates if quantity.number is not None)
    if memory.state_access == "event":
        accesses += count
    if terms.weight_read_bit:
        yield Quantity("weight_read_bit", count * memory.weight_bits)
    if terms.state_rw_bit:
        yield Quantity("state_rw_bit", 2 * accesses * memory.state_bits)


def _mean(counts: IntArray) -> float:
    """Mean over samples of the sum over steps; the sum is exact in integers."""
    return int(counts.sum()) / int(counts.shape[1])


def _merge(quantities: list[Quantity]) -> Iterator[Quantity]:
    """Add up plain quantities of one term; refused and uncounted ones stay apart."""
    sums: dict[str, float] = {}
    for quantity in quantities:
        if quantity.number is not None and not quantity.refused:
            sums[quantity.term] = sums.get(quantity.term, 0.0) + quantity.number
    for term, number in sums.items():
        yield Quantity(term, number)
    yield from (q for q in quantities if q.number is None or q.refused)
