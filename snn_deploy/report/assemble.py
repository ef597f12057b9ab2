"""Blocks of a report from counts, prices, parity tables and training curves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from snn_deploy.energy.anchors import AnchorResult, reproduce
from snn_deploy.energy.counts import Counts, EdgeCounts
from snn_deploy.energy.price import LayerPrice, Price
from snn_deploy.hardware.fit import Fit
from snn_deploy.hardware.schema import Anchor, Profile, Source, Term
from snn_deploy.hardware.units import TERMS, UNITS
from snn_deploy.report.blocks import Block, ChipFit, FitFinding, FitRow
from snn_deploy.report.model import (
    Activity,
    AnchorRow,
    Approximation,
    Constant,
    EdgeRow,
    Exercised,
    LayerEnergy,
    LayerParityRow,
    LayerRow,
    ParityRow,
    Probes,
    ProfilePrice,
    StaticEnergy,
    TermRow,
    Training,
    TwinRow,
    WorkloadRow,
)

Group = Literal["synapses", "neurons", "routing", "memory"]

GROUPS: dict[str, Group] = {
    "sop": "synapses",
    "mac": "synapses",
    "neuron_active": "neurons",
    "neuron_inactive": "neurons",
    "spike_out": "routing",
    "hop": "routing",
    "weight_read_bit": "memory",
    "state_rw_bit": "memory",
}
"""Part of the chip that each dynamic term belongs to."""


def activity(counts: Counts) -> Activity:
    """Counts per inference, layer by layer."""
    steps = counts.timesteps
    rows = []
    by_step = []
    for layer in counts.layers:
        edges = counts.edges_of(layer)
        neurons = counts.neurons_of(layer)
        events = np.zeros(steps)
        for edge in edges:
            events = events + edge.sites.mean(1)
        by_step.append(tuple(float(v) for v in events))
        row = LayerRow(layer=layer, edges=tuple(_edge(edge, steps) for edge in edges))
        if neurons is not None:
            spikes = float(neurons.spikes.sum(0).mean())
            clocked = neurons.size * steps
            rate = spikes / clocked if neurons.spiking and clocked else None
            touched = float(neurons.touched.sum(0).mean())
            row = row.model_copy(
                update={
                    "neurons": neurons.size,
                    "firing_rate": rate,
                    "spikes": spikes,
                    "updates_clocked": float(clocked),
                    "updates_touched": touched,
                }
            )
        rows.append(row)
    quantiles = np.quantile(counts.sops().sum(0), [0.05, 0.5, 0.95])
    return Activity(
        timesteps=steps,
        samples=counts.samples,
        layers=tuple(rows),
        sops_by_step=tuple(by_step),
        connections=counts.connections,
        sample_quantiles=(float(quantiles[0]), float(quantiles[1]), float(quantiles[2])),
        uncounted=counts.uncounted,
    )


def _edge(edge: EdgeCounts, steps: int) -> EdgeRow:
    return EdgeRow(
        name=edge.name,
        edge_class=edge.edge_class,
        pooled=edge.pooled,
        density=float(edge.active.mean() / edge.source_size) if steps else 0.0,
        fan_out=edge.connections / edge.source_size,
        sites=float(edge.sites.sum(0).mean()),
        units=None if edge.units is None else float(edge.units.sum(0).mean()),
        dense=edge.connections * steps,
        zero_weights=1.0 - edge.connections_nonzero / edge.connections if edge.connections else 0.0,
    )


def profile_price(price: Price, profile: Profile) -> ProfilePrice:
    """A price with the provenance of every constant behind it."""
    static = price.static
    twin = price.twin
    terms = profile.terms.present()
    return ProfilePrice(
        profile=profile.id,
        version=profile.version,
        title=profile.title,
        kind=profile.kind,
        scope=profile.scope,
        precision=profile.precision,
        conditions=_conditions(profile),
        validity=" ".join(profile.validity.split()),
        excludes=profile.excludes,
        dynamic=price.dynamic,
        unknown=price.unknown,
        layers=tuple(_layer(layer) for layer in price.layers),
        static=None
        if static is None
        else StaticEnergy(
            energy=static.energy,
            power=static.power,
            seconds=static.seconds,
            chips=static.chips,
            basis=static.basis,
        ),
        static_unknown=price.static_unknown,
        timestep_seconds=profile.timestep_seconds,
        twin=None if twin is None else TwinRow(macs=twin.macs, energy=twin.energy, ratio=twin.ratio),
        constants=tuple(_constant(name, term) for name, term in terms.items()),
        anchors=tuple(_anchor(a, r) for a, r in zip(profile.anchors, reproduce(profile), strict=True)),
        workloads=tuple(
            WorkloadRow(
                name=workload.name,
                facts=tuple(f"{fact.what}: {fact.value:g} {fact.unit}" for fact in workload.facts),
                grade=workload.grade,
                citation=_cite(workload.source),
            )
            for workload in profile.workloads
        ),
    )


def chip_fit(fit: Fit) -> ChipFit:
    """Where the layers go on a chip, and what stands against it."""
    placement = fit.placement
    findings = (*fit.problems, *fit.unknowns, *fit.changes)
    return ChipFit(
        profile=fit.profile,
        chip=fit.chip,
        verdict=fit.verdict,
        scheme=placement.scheme,
        cores=placement.cores,
        available=placement.available,
        utilisation=placement.utilisation,
        rows=tuple(
            FitRow(
                layer=row.layer,
                cores=row.cores,
                uses={name: (use.amount, use.available) for name, use in row.uses.items()},
            )
            for row in placement.rows
        ),
        findings=tuple(
            FitFinding(
                state=finding.state,
                where=finding.where,
                found=finding.found,
                limit=finding.limit,
                source=" ".join(finding.source.split()),
                try_instead=finding.try_instead,
            )
            for finding in findings
        ),
    )


def _layer(layer: LayerPrice) -> LayerEnergy:
    rows = tuple(
        TermRow(term=t.term, group=GROUPS[t.term], quantity=t.quantity, energy=t.energy) for t in layer.terms
    )
    known = any(row.energy is not None for row in rows) or not rows
    return LayerEnergy(layer=layer.layer, energy=layer.energy if known else None, terms=rows)


def _conditions(profile: Profile) -> str:
    point = profile.operating_point
    parts = [profile.process]
    if point.supply_v is not None:
        parts.append(f"{point.supply_v:g} V")
    if point.temperature_c is not None:
        parts.append(f"{point.temperature_c:g} °C")
    if point.clock_mhz is not None:
        parts.append(f"{point.clock_mhz:g} MHz")
    return ", ".join(parts)


def _constant(name: str, term: Term) -> Constant:
    band = term.band_by_rule
    stated = "" if term.value is None else "stated in the profile"
    source = term.source
    return Constant(
        term=name,
        meaning=TERMS[name][1],
        value=term.interval(),
        unit=term.unit,
        basis=term.basis or "",
        grade=term.grade or "",
        interval=f"×÷ {band:g} by rule" if band else stated,
        operating_point=term.operating_point,
        citation=" ".join(source.citation.split()) if source else "",
        doi=(source.doi or "") if source else "",
        where=source.where if source else "",
        note=" ".join(term.note.split()),
    )


def _anchor(anchor: Anchor, result: AnchorResult) -> AnchorRow:
    return AnchorRow(
        name=anchor.name,
        estimate=result.estimate,
        published=result.published,
        unit="W" if UNITS[anchor.published.unit][0] == "power" else "J",
        error=result.error,
        citation=_cite(anchor.source),
    )


def _cite(source: Source) -> str:
    return " ".join(", ".join(part for part in (source.citation, source.where) if part).split())


def parity(rows: Iterable[Mapping[str, Any]]) -> tuple[ParityRow, ...]:
    """Parity checks from a bundle's manifest; its derived figures are left to the report."""
    return tuple(
        ParityRow.model_validate(
            _known(ParityRow, row)
            | {"layers": [_known(LayerParityRow, layer) for layer in row["layers"]]}
            | {
                key: _known(block, row[key])
                for key, block in (("exercised", Exercised), ("probes", Probes))
                if row.get(key)
            }
        )
        for row in rows
    )


def _known(block: type[Block], values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in block.model_fields}


def approximations(formats: Mapping[str, Mapping[str, Any]]) -> tuple[Approximation, ...]:
    """Approximations of every format of a manifest."""
    return tuple(
        Approximation(format=name, sentence=sentence)
        for name, content in formats.items()
        for sentence in content.get("approximations", ())
    )


def training(records: Sequence[Mapping[str, Any]]) -> Training | None:
    """Curves from the ``epoch`` records of ``metrics.jsonl``; None where there are none."""
    epochs = [record for record in records if record.get("kind") == "epoch"]
    if not epochs:
        return None
    best = [int(record["epoch"]) for record in epochs if record.get("best")]
    return Training(
        loss=tuple(float(record["loss"]) for record in epochs),
        train_accuracy=tuple(float(record["train_accuracy"]) for record in epochs),
        validation_accuracy=tuple(float(record["validation_accuracy"]) for record in epochs),
        best_epoch=best[-1] if best else None,
    )
