"""A bundle: model files with the proof of what they compute, and the kit to run them elsewhere.

::

    manifest.json      hashes, versions, passes, approximations, tolerance, verdict
    parity.csv         one row per check and layer
    model.nir, model.step.onnx, model.scan.onnx, ..., model.net    (the formats asked for)
    example.npz        real input and the output expected of each runtime
    run_*.py, own_frames.py, float32_rounding.py, requirements-*.txt, install_lava.py
                       run the files without snn-deploy
    README.md          model card
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import ConfigError, Problem, UnsupportedError, did_you_mean
from snn_deploy.core.files import sha256_file, write_json, write_text
from snn_deploy.core.memory import return_freed_memory
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.accuracy import require_recorded
from snn_deploy.export.base import ALLOWABLE, Check, Written
from snn_deploy.export.card import model_card
from snn_deploy.export.lava_part import LavaPart, lava_part
from snn_deploy.export.manifest import Network, build_manifest, parity_csv
from snn_deploy.export.nir import write_hub
from snn_deploy.export.proof.files import backend, prove_files
from snn_deploy.export.proof.judge import Limits
from snn_deploy.export.seal import MANIFEST, hashes, require_unchanged
from snn_deploy.export.verify import Samples

EXAMPLE_SAMPLES = 4
HUB = "hub.nir"
"""The graph itself, where no NIR file of the bundle is it."""
KITS = {
    "nir": ("run_nir.py", "float32_rounding.py", "own_frames.py", "requirements-nir.txt"),
    "onnx": ("run_onnx.py", "own_frames.py", "requirements-onnx.txt"),
    "lava": ("run_lava.py", "own_frames.py"),
    "c": ("c/run_c.sh", "c/main.c", "c/early_exit.h", "c/Makefile", "c/DEVICES.md"),
    "c-float": ("c_float/run_c_float.sh", "c_float/main_float.c", "c/early_exit.h"),
}

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """What to write and how strictly to judge it. Accuracy is a fraction; 0.02 allows two points.

    Attributes:
        bits: weight bits of ``lava``.
        scales: one per ``layer`` of ``lava``, or per ``channel``.
        models: those that ``onnx`` writes.
        opset: operator set of ``onnx``.
        reader: the reader that the NIR file is for; None for the portable form.
        nir_version: the oldest NIR library that must read the file.
        allow: names of the rules of ``ALLOWABLE`` that may be broken.
        lava_samples: Lava runs at most so many.
        lava_budget: seconds that Lava may take.
    """

    formats: tuple[str, ...] = ("nir", "onnx", "lava")
    bits: int | None = None
    scales: str = "layer"
    models: tuple[str, ...] = ("step", "scan")
    opset: int = 18
    reader: str | None = None
    nir_version: str = "1.0.8"
    allow: tuple[str, ...] = ()
    lava_samples: int = 64
    lava_budget: float = 120.0
    max_accuracy_drop: float = 0.02


def write_bundle(
    network: Network,
    folder: Path,
    options: BundleOptions,
    report: Report = lambda line: None,
    explain: Callable[[dict[str, Any]], None] = lambda manifest: None,
) -> dict[str, Any]:
    """Write, run and judge every format into ``folder``; return the manifest.

    A file that fails its proof stays in the bundle, which is marked ``failed``. ``explain`` may add files (a
    report of the manifest) before the bundle is sealed with the hashes of all.

    Raises:
        DataError: a file was replaced while it was being proven, or the student is far from the accuracy that
            its run has recorded.
        ConfigError: options that no format takes.
        UnsupportedError: some format cannot express the network; nothing is written.
    """
    _check_options(options)
    writers = {name: _writer(name, options) for name in options.formats}
    if problems := [
        Problem(p.where, f"[{name}] {p.what}", p.rule, p.source, p.try_instead)
        for name, writer in writers.items()
        for p in writer.check(network.plan.graph)
    ]:
        raise UnsupportedError(
            f"{len(problems)} part{'s' if len(problems) > 1 else ''} of '{network.name}' cannot be written.",
            problems=problems,
            hint="The formats nir, onnx and c-float hold more." if {"lava", "c"} & {*writers} else None,
        )
    written: dict[str, Written] = {}
    proven: dict[str, str] = {}
    example: dict[str, torch.Tensor] = {"x": network.samples.first(EXAMPLE_SAMPLES).x}
    for name, writer in writers.items():
        report(f"writing {name}")
        written[name] = writer.write(network.plan.graph, folder, network.calibration)
        proven |= {file: sha256_file(folder / file) for file in written[name].files.values()}
        example |= _example_outputs(name, written[name], folder, example["x"])
        return_freed_memory()
    itself = "nir" in options.formats and options.reader is None
    hub = not itself and write_hub(network.plan, folder / HUB)
    if hub:
        proven[HUB] = sha256_file(folder / HUB)
    limits = Limits(max_accuracy_drop=options.max_accuracy_drop)
    parities = [] if network.proof is None else [network.proof]
    parities += prove_files(
        network,
        written,
        folder,
        limits,
        lava=lambda path: _lava(path, network.samples, options, report),
        report=report,
    )
    require_recorded(network.recorded, parities, chip=network.student is not None)
    _copy_kits(folder, options.formats)
    np.savez_compressed(
        folder / "example.npz",
        allow_pickle=False,
        **{key: value.numpy() for key, value in example.items()},
    )
    write_text(folder / "parity.csv", parity_csv(parities))
    manifest = build_manifest(network, written, parities, limits)
    if hub:
        manifest["hub"] = HUB
    write_text(folder / "README.md", model_card(manifest))
    explain(manifest)
    manifest["sha256"] = hashes(folder)
    require_unchanged(proven, manifest["sha256"])
    write_json(folder / MANIFEST, manifest)
    return manifest


def _check_options(options: BundleOptions) -> None:
    problems = [
        Problem(f"allow {rule}", f"unknown rule.{did_you_mean(rule, ALLOWABLE)}")
        for rule in options.allow
        if rule not in ALLOWABLE
    ]
    if options.reader and "nir" not in options.formats:
        problems.append(Problem(f"for {options.reader}", "no NIR file is written", try_instead="--to nir"))
    if problems:
        known = ", ".join(f"{rule} ({what})" for rule, what in ALLOWABLE.items())
        raise ConfigError("These options cannot be used.", problems=problems, hint=f"Known rules: {known}")


def _writer(name: str, options: BundleOptions) -> Any:
    entry = FORMATS.get(name)
    known = entry.options.model_fields.keys() & {field.name for field in fields(options)}
    try:
        given = entry.options(**{field: getattr(options, field) for field in known})
    except ValidationError as error:
        problems = [Problem(".".join(map(str, e["loc"])), e["msg"]) for e in error.errors()]
        raise ConfigError(f"Options of the format '{name}' are wrong.", problems=problems) from None
    return entry.factory(given)


def _lava(path: Path, samples: Samples, options: BundleOptions, report: Report) -> LavaPart:
    """Samples for Lava, which alone is given less than all, and what runs them."""
    asked = samples.first(options.lava_samples)
    report(f"running {path.name} in lava on up to {len(asked)} samples, {options.lava_budget:g} s at most")
    return lava_part(path, asked, options.lava_budget, report)


def _example_outputs(name: str, written: Written, folder: Path, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """``NAME_out`` of the first file, and ``NAME_ROLE_out`` of every further one that is not exact.

    Each file is run by the backend of its first check, which comes with the package.
    """
    own: dict[str, Check] = {}
    for check in written.checks:
        own.setdefault(check.role, check)
    first, *others = own.values()
    wanted = {f"{name}_out": first} | {f"{name}_{c.role}_out": c for c in others if not c.exact}
    return {
        key: backend(check.backend, folder / written.files[check.role]).run(x).output
        for key, check in wanted.items()
    }


def _copy_kits(folder: Path, formats: Sequence[str]) -> None:
    for name in formats:
        for file in KITS.get(name, ()):
            shutil.copyfile(asset_dir("export") / file, folder / Path(file).name)
