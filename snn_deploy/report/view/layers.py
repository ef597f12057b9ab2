"""Everything that the page knows about one box of the network: what clicking it opens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snn_deploy.report import format as fmt
from snn_deploy.report.model import ReportData
from snn_deploy.report.shown import NetworkNode
from snn_deploy.report.view.network import keys, members_of, words
from snn_deploy.report.view.parity import parity_view


@dataclass(frozen=True, slots=True)
class LayerPanel:
    """One layer: ``facts`` by name, ``checks`` of the proofs, ``findings`` of the chips, a sentence each."""

    key: str
    name: str
    facts: tuple[tuple[str, str], ...]
    checks: tuple[tuple[str, str, str], ...]
    findings: tuple[tuple[str, str], ...]


def layer_panels(data: ReportData) -> tuple[LayerPanel, ...]:
    """One per box, in the order of the boxes."""
    members = members_of(data.network)
    ids = keys(list(members))
    return tuple(
        LayerPanel(
            key=ids[name],
            name=name,
            facts=tuple(_facts(data, name, nodes)),
            checks=tuple(_checks(data, name)),
            findings=tuple(_findings(data, {node.name for node in nodes})),
        )
        for name, nodes in members.items()
    )


def _facts(data: ReportData, name: str, nodes: Sequence[NetworkNode]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        fed = ", ".join([*node.sources, *(f"{source} of the step before" for source in node.feedback)])
        shape = f"{words(node)}, output {fmt.shape(node.shape)}"
        yield node.name, shape + (f", fed by {fed}" if fed else "")
    row = next((r for r in data.activity.layers if r.layer == name), None) if data.activity else None
    if row is not None:
        if row.neurons:
            yield "Neurons", fmt.number(row.neurons)
        if row.firing_rate is not None:
            yield "Firing rate", f"{fmt.si(row.firing_rate)} spikes per neuron and step"
        if row.edges:
            yield "Synaptic operations", f"{fmt.si(row.sops)} per inference, of {fmt.si(row.dense)} dense"
    for price in data.energy:
        found = next((e for e in price.layers if e.layer == name and e.energy is not None), None)
        if found is not None and found.energy is not None:
            yield f"Energy, {price.profile}", fmt.span(found.energy, "J")


def _checks(data: ReportData, name: str) -> Iterator[tuple[str, str, str]]:
    """Tone, check and what it found in this layer."""
    for row, check in zip(data.parity, parity_view(data.parity), strict=True):
        for layer, cell in zip(row.layers, check.cells, strict=True):
            if layer.layer == name:
                yield cell.tone, check.title, cell.title.removeprefix(f"{name}: ")


def _findings(data: ReportData, names: set[str]) -> Iterator[tuple[str, str]]:
    """Chip, and what it says of a node of this box."""
    for chip in data.fits:
        for finding in chip.findings:
            if finding.where in names:
                yield chip.chip, f"{finding.found}; limit: {finding.limit}. Try: {finding.try_instead}"
