"""The manifest of a bundle: what was written, how it was proven, and with what result."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from snn_deploy.core.contract import Contract
from snn_deploy.core.damage import plain_json, read_bytes, reading
from snn_deploy.core.early_exit import ChosenExit
from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.text import csv_text
from snn_deploy.core.version import __version__
from snn_deploy.export.accuracy import Recorded
from snn_deploy.export.base import Calibration, Written
from snn_deploy.export.input_contract import contract_of
from snn_deploy.export.manifest_schema import MANIFEST_VERSION, PARITIES, Manifest
from snn_deploy.export.parity import Parity
from snn_deploy.export.proof.judge import Limits, judge, verdict_of
from snn_deploy.export.proof.rounded import UNIT
from snn_deploy.export.seal import AGAIN, MANIFEST, require_whole
from snn_deploy.export.verify import Samples
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.base import Executable

_COLUMNS = (
    "format", "runtime", "reference", "verdict", "layer", "compared", "differing", "ties", "after_ties",
    "unexplained", "free_differing", "first_step", "first_sample", "first_element",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Network:
    """What is exported: its plan (the hub), what judges it, where it came from, and real samples.

    ``student`` is the network in the arithmetic of a chip, when it was trained in it; ``proof`` the check of
    a reading against its source; ``judge`` what judges, in words; ``contract`` what it is fed with, by
    default what the samples show; ``exit`` when a sample may end before its last step.
    """

    name: str
    plan: Plan
    executable: Executable
    samples: Samples
    calibration: Calibration
    student: Executable | None = None
    recorded: Recorded | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    proof: Parity | None = None
    judge: str = "the trained student"
    contract: Contract | None = None
    exit: ChosenExit | None = None


def read_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle, after checking that its files are the ones it was written with.

    Raises:
        DataError: no bundle, a later version, a verdict that its checks do not give, or files that are
            missing, changed, not hashed, or links.
    """
    content = _read(bundle)
    _require_consistent(content, bundle / MANIFEST)
    named = [file for written in content["formats"].values() for file in written["files"].values()]
    named += [str(content["hub"])] if "hub" in content else []
    require_whole(bundle, content["sha256"], named)
    return content


def read_listed(bundle: Path) -> dict[str, str]:
    """Hashes of the files of a bundle by its manifest; the files themselves are not looked at.

    Raises:
        DataError: no bundle, or its manifest is damaged.
    """
    listed: dict[str, str] = _read(bundle)["sha256"]
    return listed


def _read(bundle: Path) -> dict[str, Any]:
    file = bundle / MANIFEST
    if not file.exists():
        raise DataError(f"'{bundle}' is not a bundle (it has no {MANIFEST}).")
    with reading(file, "manifest of the bundle", hint=AGAIN):
        data = read_bytes(file)
        content: dict[str, Any] = plain_json(data)
        if isinstance(content, dict) and content.get("version", MANIFEST_VERSION) != MANIFEST_VERSION:
            raise DataError(f"'{file}' is version {content['version']}; this reads {MANIFEST_VERSION}.")
        Manifest.model_validate_json(data)
    return content


def _require_consistent(content: Mapping[str, Any], file: Path) -> None:
    """The verdicts and sums in a manifest follow from what its checks counted."""
    parities = PARITIES.validate_json(json.dumps(content["parity"]))
    problems = [
        Problem(f"parity.{number}.{key}", f"is {value!r}", f"the check's own counts give {derived[key]!r}")
        for number, (row, parity) in enumerate(zip(content["parity"], parities, strict=True))
        for derived in [json.loads(json.dumps(parity.to_dict()))]
        for key, value in row.items()
        if value != derived.get(key)
    ]
    limits = Limits(**{f.name: content["tolerance"][f.name] for f in fields(Limits)})
    for number, parity in enumerate(parities):
        given = parity.verdict if parity.verdict == "not run" else judge(parity, limits).verdict
        if given != parity.verdict:
            problems.append(
                Problem(f"parity.{number}.verdict", f"is '{parity.verdict}'", f"its counts give '{given}'")
            )
    for key, value in zip(("verdict", "reason"), verdict_of(parities), strict=True):
        if value != content[key]:
            problems.append(Problem(key, f"is '{content[key]}'", f"its checks give '{value}'"))
    if problems:
        raise DataError(f"The manifest of the bundle '{file}' is damaged.", problems=problems, hint=AGAIN)


def build_manifest(
    network: Network, written: Mapping[str, Written], parities: Sequence[Parity], limits: Limits
) -> dict[str, Any]:
    """Everything a reader of the bundle must know, JSON-ready, without the file hashes."""
    semantics = read_semantics(network.plan.graph)
    verdict, reason = verdict_of(parities)
    contract = network.contract or contract_of(network.samples.x, None, trained=False)
    return {
        "version": MANIFEST_VERSION,
        "name": network.name,
        "snn_deploy": __version__,
        "verdict": verdict,
        "reason": reason,
        "provenance": network.provenance,
        "input": contract.to_dict(),
        "input_shape": list(network.plan.shapes[network.plan.input]),
        "output_shape": list(network.plan.shapes[network.plan.output]),
        "timesteps": int(network.samples.x.shape[0]),
        "classes": list(semantics.classes),
        "semantics": {
            "dt": semantics.dt,
            "integrator": semantics.integrator,
            "fires_at": semantics.fires_at,
            "reset": semantics.reset,
            "start": semantics.start,
            "spikes": semantics.spikes,
            "levels": semantics.levels,
            "v_min": semantics.v_min,
            "decode": semantics.decode,
            "assumed": list(semantics.assumed),
        },
        **({} if network.exit is None else {"exit": asdict(network.exit)}),
        "tolerance": {"rounding_unit": UNIT, **asdict(limits)},
        "formats": {
            name: {
                "files": w.files,
                "passes": list(w.passes),
                "approximations": list(w.approximations),
                "tables": w.tables,
            }
            for name, w in written.items()
        },
        "parity": [p.to_dict() for p in parities],
    }


def parity_csv(parities: Sequence[Parity]) -> str:
    """One row per check and layer; a check without visible layers has one row for the output."""
    return csv_text(_COLUMNS, _parity_rows(parities))


def _parity_rows(parities: Sequence[Parity]) -> Iterator[list[object]]:
    for p in parities:
        head = [p.format, p.runtime, p.reference, p.verdict]
        for layer in p.layers:
            first = layer.first or ("", "", "")
            yield [
                *head, layer.layer, layer.compared, layer.differing, layer.ties, layer.after_ties,
                layer.unexplained, layer.free_differing, *first,
            ]  # fmt: skip
        yield [
            *head, "(output)", p.output_compared, p.output_differing, 0, 0, p.output_differing,
            p.output_differing, "", "", "",
        ]  # fmt: skip
