"""The manifest of a bundle: what was written, how it was proven, and with what result."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.files import sha256_file
from snn_deploy.core.version import __version__
from snn_deploy.export.base import Calibration, Written
from snn_deploy.export.parity import OUTPUT_TOLERANCE, TIE_WIDTH, Parity
from snn_deploy.export.verify import Samples
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.base import Executable

MANIFEST_VERSION = 1
_COLUMNS = (
    "format", "runtime", "reference", "verdict", "layer", "compared", "differing", "ties", "after_ties",
    "unexplained", "free_differing", "first_step", "first_sample", "first_element",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Network:
    """What is exported: its plan (the hub), what judges it, where it came from, and real samples.

    ``student`` is the network in the arithmetic of a chip, when it was trained in it.
    """

    name: str
    plan: Plan
    executable: Executable
    samples: Samples
    calibration: Calibration
    student: Executable | None = None
    provenance: dict[str, Any] = field(default_factory=dict)


def read_manifest(bundle: Path) -> dict[str, Any]:
    """The manifest of a bundle, after checking that its files are the ones it was written with.

    Raises:
        DataError: no bundle, a later version, or files that are missing or changed.
    """
    file = bundle / "manifest.json"
    try:
        manifest: dict[str, Any] = json.loads(file.read_text())
        if manifest["version"] != MANIFEST_VERSION:
            raise DataError(f"'{file}' is version {manifest['version']}; this reads {MANIFEST_VERSION}.")
        hashes = dict(manifest["sha256"])
    except FileNotFoundError:
        raise DataError(f"'{bundle}' is not a bundle (it has no manifest.json).") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"'{file}' is damaged: {error}") from None
    problems = []
    for name, expected in hashes.items():
        path = bundle / Path(name).name
        if not path.is_file():
            problems.append(Problem(name, "is missing"))
        elif sha256_file(path) != expected:
            problems.append(Problem(name, "has changed since it was verified"))
    if problems:
        raise DataError(f"The bundle '{bundle}' is damaged.", problems=problems, hint="Export it again.")
    return manifest


def verdict_of(parities: Sequence[Parity]) -> str:
    """``failed`` if any check failed, else ``verified``."""
    return "failed" if any(p.verdict == "failed" for p in parities) else "verified"


def build_manifest(
    network: Network, written: Mapping[str, Written], parities: Sequence[Parity], max_accuracy_drop: float
) -> dict[str, Any]:
    """Everything a reader of the bundle must know, JSON-ready, without the file hashes."""
    semantics = read_semantics(network.plan.graph)
    return {
        "version": MANIFEST_VERSION,
        "name": network.name,
        "snn_deploy": __version__,
        "verdict": verdict_of(parities),
        "provenance": network.provenance,
        "input_shape": list(network.plan.shapes[network.plan.input]),
        "output_shape": list(network.plan.shapes[network.plan.output]),
        "timesteps": int(network.samples.x.shape[0]),
        "classes": list(semantics.classes),
        "semantics": {
            "dt": semantics.dt,
            "integrator": semantics.integrator,
            "fires_at": semantics.fires_at,
            "reset": semantics.reset,
            "spikes": semantics.spikes,
            "v_min": semantics.v_min,
            "decode": semantics.decode,
            "assumed": list(semantics.assumed),
        },
        "tolerance": {
            "tie_width": TIE_WIDTH,
            "output": OUTPUT_TOLERANCE,
            "max_accuracy_drop": max_accuracy_drop,
        },
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
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_COLUMNS)
    for p in parities:
        head = [p.format, p.runtime, p.reference, p.verdict]
        for layer in p.layers:
            first = layer.first or ("", "", "")
            table.writerow(
                [*head, layer.layer, layer.compared, layer.differing, layer.ties, layer.after_ties,
                 layer.unexplained, layer.free_differing, *first]
            )  # fmt: skip
        table.writerow(
            [*head, "(output)", p.output_compared, p.output_differing, 0, 0, p.output_differing,
             p.output_differing, "", "", ""]
        )  # fmt: skip
    return stream.getvalue()
