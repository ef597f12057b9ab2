"""Gather what a report shows: counts from a run of the hub graph, prices, parity, accuracies, provenance."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch

from snn_deploy.convert.documents import Certificate
from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.core.early_exit import factor
from snn_deploy.core.text import proof_name
from snn_deploy.core.version import __version__
from snn_deploy.data.sets.splits import spread
from snn_deploy.energy.count import Counter
from snn_deploy.energy.counts import Counts, concatenate
from snn_deploy.energy.measure import measure_energy
from snn_deploy.energy.price import price
from snn_deploy.energy.store import save_counts
from snn_deploy.export.accuracy import before_use
from snn_deploy.export.verify import CHUNK, Samples
from snn_deploy.graph.semantics import Semantics
from snn_deploy.hardware.fit import Fit, fit
from snn_deploy.hardware.profile import load_profile
from snn_deploy.recipes.run_documents import read_metrics
from snn_deploy.recipes.run_folder import environment
from snn_deploy.report import assemble
from snn_deploy.report.blocks import Measurement
from snn_deploy.report.build import DEFAULT_FORMATS, build_report
from snn_deploy.report.compare import compare
from snn_deploy.report.model import Accuracy, Header, ParityRow, ReportData
from snn_deploy.report.network import network_nodes
from snn_deploy.report.neurobench import neurobench
from snn_deploy.report.read import find_report, read_report
from snn_deploy.report.shown import Recording
from snn_deploy.report.view.difference import first_difference
from snn_deploy.simulate.footprint import block_bytes
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.decisions import Decided, Deciding, decisions, early_exit, join
from snn_deploy.tasks.early_exit import scale_of
from snn_deploy.tasks.latency import step_latencies
from snn_deploy.tasks.recording import SAMPLES, record
from snn_deploy.tasks.source import Source

DEFAULT_PROFILES = ("horowitz-45nm-fp32", "loihi1-davies", "truenorth-0.8v", "loihi2")


def count_source(source: Source, samples: Samples) -> Counts:
    """Run the hub graph on ``samples`` and count every synaptic event, as many samples at once as fit.

    Raises:
        OutOfMemoryError: memory does not suffice for one sample.
    """
    return count_and_decide(source, samples)[0]


def count_and_decide(source: Source, samples: Samples) -> tuple[Counts, Decided]:
    """The counts of :func:`count_source`, and what was decided after every step."""
    reference, counter = Reference(source.plan), Counter(source.plan)
    at_once = samples_at_once(block_bytes(source.plan), at_most=CHUNK)

    scaled = factor(scale_of(source), samples.decode, len(samples.x))

    def run(part: slice) -> tuple[Counts, Decided]:
        deciding = Deciding(samples.decode, scaled)
        counts = counter.run(reference, samples.x[:, part], deciding.see)
        return counts, deciding.decided()

    found = [result for _, result in in_chunks(len(samples), at_once, run)]
    return concatenate([counts for counts, _ in found]), join([decided for _, decided in found])


def report_source(
    source: Source,
    samples: Samples,
    folder: Path,
    *,
    data: Mapping[str, Any],
    manifest: Mapping[str, Any] | None,
    profiles: Sequence[str] | None,
    formats: Sequence[str] = DEFAULT_FORMATS,
    against: Path | None = None,
    measure: bool = False,
) -> dict[str, Path]:
    """Count, price and write the report of ``source`` into ``folder``, with ``counts.npz`` for re-pricing."""
    other = None if against is None else read_report(find_report(against))
    target = _target(source)
    named = profiles or dict.fromkeys(filter(None, [*DEFAULT_PROFILES, target]))
    loaded = [load_profile(name) for name in named]
    fits = {profile.id: fit(source.plan, profile) for profile in loaded if profile.kind == "chip"}
    counts, stopped = count_and_decide(source, samples)
    decided = stopped.classes
    proofs = assemble.parity(manifest["parity"]) if manifest else ()
    folder.mkdir(parents=True, exist_ok=True)
    save_counts(counts, folder / "counts.npz")
    prices = [(price(counts, profile, cores=_cores(fits.get(profile.id))), profile) for profile in loaded]
    content = ReportData(
        header=_header(source, data, manifest),
        accuracies=tuple(_accuracies(source, manifest)),
        parity=proofs,
        network=network_nodes(source.plan),
        activity=assemble.activity(counts),
        decisions=decisions(
            decided, samples.labels, prod(source.plan.shapes[source.plan.output]), source.semantics.classes
        ),
        early_exit=early_exit(stopped, samples.labels, counts.sops(), scale_of(source), _exit_at(manifest)),
        recording=_recording(source, samples, decided, proofs if _same_data(manifest, data) else ()),
        neurobench=neurobench(counts, source.plan, _measured_accuracy(manifest)),
        energy=tuple(assemble.profile_price(p, profile) for p, profile in prices),
        measured=measured(Reference(source.plan), samples) if measure else (),
        latency=step_latencies(source, samples.x) if measure else (),
        fits=tuple(assemble.chip_fit(found) for found in fits.values()),
        conversion=_conversion(source),
        training=assemble.training(_metrics(source)),
        approximations=assemble.approximations(manifest["formats"]) if manifest else (),
        warnings=tuple(_warnings(source, data)),
    )
    if other is not None:
        content = content.model_copy(update={"comparison": compare(other, content)})
    return build_report(content, folder, tuple(dict.fromkeys(["json", *formats])))


def _exit_at(manifest: Mapping[str, Any] | None) -> float | None:
    """The confidence with which samples of a bundle end early."""
    stated = (manifest or {}).get("exit")
    return None if stated is None else float(stated["at"])


def _target(source: Source) -> str:
    """Profile of the chip whose rules the student was trained under; nothing without one."""
    return source.recipe.target.name if source.recipe is not None and source.recipe.target is not None else ""


def _same_data(manifest: Mapping[str, Any] | None, data: Mapping[str, Any]) -> bool:
    """Whether the proofs of a bundle number their samples as these ``data`` do."""
    proven = manifest["provenance"].get("data", {}) if manifest else {}
    return all(proven.get(key) == data[key] for key in ("digest", "split", "samples"))


def _recording(
    source: Source, samples: Samples, decided: torch.Tensor, proofs: Sequence[ParityRow]
) -> Recording:
    """Samples at which proofs differ, one that is decided wrongly, and others, with their spikes."""
    firsts = [(row.layer, row.first) for proof in proofs for row in proof.layers if row.first is not None]
    wrong = [] if samples.labels is None else (decided[-1] != samples.labels).nonzero().flatten().tolist()
    failed = first_difference(proofs)
    if failed is not None and failed[1].first is not None:
        firsts.insert(0, (failed[1].layer, failed[1].first))
    differing = [sample for _, (_, sample, _) in firsts if sample < len(samples)]
    numbers = list(dict.fromkeys([*differing[:1], *wrong[:1], *spread(len(samples), SAMPLES).tolist()]))
    wanted: dict[str, list[int]] = {}
    for layer, (_, _, neuron) in firsts:
        wanted.setdefault(layer, []).append(neuron)
    return record(
        Reference(source.plan), samples.x, numbers[:SAMPLES], samples.labels, samples.decode, wanted
    )


def _cores(found: Fit | None) -> int | None:
    """Cores in use where the placement says how many at most."""
    cores = found.placement.cores if found is not None else None
    return cores[1] if cores is not None else None


def measured(reference: Reference, samples: Samples) -> tuple[Measurement, ...]:
    """Energy of this machine while the reference simulator runs the samples, by every meter there is."""
    at_once = samples_at_once(block_bytes(reference.plan), at_most=min(CHUNK, len(samples)))
    what = f"reference simulator, batches of {at_once}"

    def run() -> int:
        return sum(
            trace.output.shape[1]
            for _, trace in in_chunks(len(samples), at_once, lambda part: reference.run(samples.x[:, part]))
        )

    return tuple(
        Measurement(
            meter=window.meter,
            what=what,
            energy=window.energy,
            idle=window.idle,
            seconds=window.seconds,
            inferences=window.inferences,
            reason=window.reason,
        )
        for window in measure_energy(run)
    )


def _several(semantics: Semantics) -> str:
    return "several" if semantics.levels is None else f"0 to {semantics.levels}"


def _header(source: Source, data: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> Header:
    facts = environment()
    semantics = source.semantics
    settings = {
        "integrator": semantics.integrator,
        "fires at": f"v {semantics.fires_at} threshold",
        "reset": semantics.reset,
        **({"start": "at 0, not at v_reset"} if semantics.start == "zero" else {}),
        **({} if semantics.spikes == "one" else {"spikes per step": _several(semantics)}),
        **({} if semantics.v_min is None else {"lower bound": f"{semantics.v_min:g}"}),
        "dt": f"{semantics.dt:g} s",
    }
    if source.recipe is not None:
        methods = " + ".join(method.title for method in source.recipe.method)
        settings = {
            "method": methods,
            "student": source.recipe.student.name,
            "seed": str(source.recipe.seed),
            "recipe digest": source.recipe.digest()[:16],
            **settings,
        }
    if manifest is not None:
        settings["input"] = " ".join(manifest["input"]["words"])
    return Header(
        title=source.name,
        kind="bundle" if manifest else source.kind,
        verdict=manifest["verdict"] if manifest else None,
        network_digest=str(source.provenance.get("student_sha256") or source.provenance.get("sha256") or ""),
        input_shape=source.plan.shapes[source.plan.input],
        output_shape=source.plan.shapes[source.plan.output],
        timesteps=semantics.timesteps,
        target=_target(source),
        data=str(data["name"]),
        data_digest=str(data["digest"]),
        split=str(data["split"]),
        samples=int(data["samples"]),
        samples_available=int(data["of"]),
        settings=settings,
        packages={name: found for name, found in facts["packages"].items() if found},
        tool_version=__version__,
        created=facts["time"],
    )


def _accuracies(source: Source, manifest: Mapping[str, Any] | None) -> Iterator[Accuracy]:
    result = source.provenance.get("result")
    if result:
        total = int(result["data"]["samples"]["test"])
        for role in ("teacher", "student"):
            if figures := result[role]:
                fraction = float(figures["test_accuracy"])
                yield Accuracy(name=role, role=role, fraction=fraction, samples=total)
        if figures := result.get("real_student"):
            fraction = float(figures["test_accuracy"])
            name = "student in real numbers, before the chip's rules"
            yield Accuracy(name=name, role="student", fraction=fraction, samples=total)
    if certificate := source.provenance.get("certificate"):
        total, chosen = int(certificate["samples"]), certificate["timesteps"]
        rows = {row["timesteps"]: float(row["spiking"]) for row in certificate["sweep"]}
        yield Accuracy(name="ANN", role="teacher", fraction=float(certificate["accuracy"]), samples=total)
        yield Accuracy(name="spiking network", role="student", fraction=rows[chosen], samples=total)
    for parity in manifest["parity"] if manifest else ():
        if parity["accuracy"] is not None:
            yield Accuracy(
                name=proof_name(parity["format"], parity["runtime"]),
                role="exported",
                fraction=parity["accuracy"],
                samples=parity["samples"],
            )


def _conversion(source: Source) -> Certificate | None:
    """The certificate of a converted network."""
    content = source.provenance.get("certificate")
    return None if content is None else Certificate.model_validate_json(json.dumps(content))


def _measured_accuracy(manifest: Mapping[str, Any] | None) -> float | None:
    """Accuracy on the very samples that were counted: of the network that the files were held against."""
    found = [parity["accuracy_reference"] for parity in manifest["parity"]] if manifest else []
    return next((float(value) for value in found if value is not None), None)


def _metrics(source: Source) -> list[dict[str, Any]]:
    file = source.path / "metrics.jsonl"
    if source.kind != "run" or not file.is_file():
        return []
    return list(read_metrics(file))


def _warnings(source: Source, data: Mapping[str, Any]) -> Iterator[str]:
    yield from data["notes"]
    yield from source.assumptions
    yield from before_use(source.provenance.get("result"), int(data["samples"]))
