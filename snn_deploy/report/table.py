"""The layers of a report as CSV: one row per layer and profile, SI units, provenance in every row."""

from __future__ import annotations

from collections.abc import Iterator

from snn_deploy.core.text import csv_text
from snn_deploy.hardware.interval import Interval
from snn_deploy.report.model import LayerRow, ProfilePrice, ReportData

COLUMNS = (
    "network", "layer", "neurons", "firing_rate", "spikes", "sops_sites", "sops_units", "dense",
    "updates_clocked", "updates_touched", "edges", "edge_classes", "profile", "profile_version",
    "dynamic_low_j", "dynamic_mid_j", "dynamic_high_j", "lower_bound", "timesteps", "samples", "snn_deploy",
)  # fmt: skip


def layers_csv(data: ReportData) -> str:
    """CSV text; a network without prices has one row per layer."""
    return csv_text(COLUMNS, _rows(data))


def _rows(data: ReportData) -> Iterator[list[object]]:
    if data.activity is None:
        return
    tail = [data.activity.timesteps, data.activity.samples, data.header.tool_version]
    for layer in data.activity.layers:
        head = [data.header.title, *_activity(layer)]
        for price in data.energy:
            yield [*head, price.profile, price.version, *_energy(price, layer.layer), *tail]
        if not data.energy:
            yield [*head, "", "", "", "", "", "", *tail]


def _activity(layer: LayerRow) -> list[object]:
    known = [edge.units for edge in layer.edges if edge.units is not None]
    return [
        layer.layer,
        layer.neurons,
        "" if layer.firing_rate is None else layer.firing_rate,
        layer.spikes,
        layer.sops,
        sum(known) if len(known) == len(layer.edges) else "",
        layer.dense,
        layer.updates_clocked,
        layer.updates_touched,
        " ".join(edge.name for edge in layer.edges),
        " ".join(edge.edge_class.replace(" ", "-") for edge in layer.edges),
    ]


def _energy(price: ProfilePrice, layer: str) -> list[object]:
    found = next((row for row in price.layers if row.layer == layer), None)
    energy: Interval | None = found.energy if found else None
    partial = found is None or any(term.energy is None for term in found.terms)
    if energy is None:
        return ["", "", "", partial]
    return [energy.low, energy.mid, energy.high, partial]
