"""The public API: what the commands do, as functions. The only place where training and deployment meet."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import nn

from snn_deploy.core.errors import ConfigError, ParityError, Problem
from snn_deploy.distill.events import Note
from snn_deploy.distill.run import distill
from snn_deploy.distill.target import check_target
from snn_deploy.export.bundle import BundleOptions, write_bundle
from snn_deploy.export.manifest import read_manifest
from snn_deploy.export.place import new_bundle, require_no_bundle, require_place
from snn_deploy.graph.readers.reading import NOTHING_STATED
from snn_deploy.graph.timing import Reading
from snn_deploy.models.load import build_student, build_teacher
from snn_deploy.processes.world import joined
from snn_deploy.recipes.recipe import Recipe, load_recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.report.blocks import Comparison
from snn_deploy.report.build import DEFAULT_FORMATS, find_report, read_report
from snn_deploy.report.compare import compare, require_energy
from snn_deploy.tasks.check import Answer, check_net, check_plan, lava_file, resolve
from snn_deploy.tasks.open import Source, load_data, open_source
from snn_deploy.tasks.report import report_source
from snn_deploy.tasks.simulate import Simulation, default_backend, simulate_source

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Bundle:
    """An exported bundle: where it lies and what its manifest says."""

    path: Path
    manifest: dict[str, Any]

    @property
    def verified(self) -> bool:
        """Whether every check passed."""
        return bool(self.manifest["verdict"] == "verified")

    @property
    def report(self) -> Path:
        """The report page of the bundle."""
        return self.path / "report" / "report.html"


def distill_student(
    recipe: Recipe | str,
    run_dir: Path | str,
    *,
    resume: bool = False,
    device: str = "auto",
    overrides: Sequence[str] = (),
    report: Callable[[Any], None] = lambda event: None,
) -> Run:
    """Train the teacher (unless given) and the student of ``recipe`` in ``run_dir``.

    With ``resume`` an interrupted run continues to the identical loss sequence; a finished one is returned.
    Processes started by ``torchrun`` train together; the first one alone uses ``run_dir``.

    Raises:
        ConfigError: faults in the recipe, or the folder holds another run, or another process works in it.
        DataError: what an interrupted run left is damaged.
        DivergedError: the loss is not finite.
        InterruptedRunError: stopped by a signal, a lost process or a full disk; the run can be resumed.
    """
    run = Run(Path(run_dir))
    wanted = load_recipe(recipe, overrides) if isinstance(recipe, str) else recipe
    with joined(device) as world, contextlib.ExitStack() as held:
        if world.told(lambda: _prepare(run, wanted, resume, held, report)):
            data = world.in_turn(lambda: load_data(wanted))
            distill(wanted, data, run, device=device, resume=resume, report=report, world=world)
    return run


def _prepare(
    run: Run, wanted: Recipe, resume: bool, held: contextlib.ExitStack, report: Callable[[Any], None]
) -> bool:
    """Make the run folder, or look into it, as the one process that works there as long as ``held`` is open;
    whether there is something left to do."""
    held.enter_context(run.locked(lambda line: report(Note(line))))
    if resume and run.recipe_file.exists():
        if run.recipe().digest() != wanted.digest():
            raise ConfigError(
                f"'{run.path}' was started with another recipe; resuming would mix two runs.",
                hint="Use another --run-dir, or the recipe in the run folder.",
            )
        return run.status() != "done" or not run.result_file.exists()
    Run.create(run.path, wanted)
    return True


def describe(recipe: Recipe) -> dict[str, Any]:
    """What :func:`distill_student` would do: data and networks are built, nothing is trained."""
    data = load_data(recipe)
    student = build_student(recipe, data.shape, len(data.classes))
    parts: dict[str, Any] = {
        "data": f"{data.name} {data.shape}, {len(data.classes)} classes",
        "samples": f"{len(data.train)} training, {len(data.validation)} validation, {len(data.test)} test",
        "student": f"{recipe.student.name}, {_parameters(student):,} parameters, T = {recipe.timesteps}",
        "method": " + ".join(f"{part.weight:g} {part.name}" for part in recipe.method),
        "epochs": f"{recipe.train.epochs} of {-(-len(data.train) // recipe.train.batch_size)} steps",
        "digest": recipe.digest(),
    }
    if recipe.target is not None:
        check_target(recipe, data)
        stage, start = recipe.target.stage(recipe.train), recipe.target.checkpoint
        parts["target"] = f"{recipe.target.name}, {recipe.target.bits}-bit weights, {stage.epochs} epochs" + (
            f" from {start}" if start else " after the training in real numbers"
        )
    if recipe.teacher is not None:
        teacher = build_teacher(recipe, data.shape, len(data.classes))
        origin = recipe.teacher.checkpoint or "trained in place"
        parts["teacher"] = f"{recipe.teacher.name}, {_parameters(teacher):,} parameters, {origin}"
    return parts


def _parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def export_bundle(
    source: Source | Path | str,
    out: Path | str,
    *,
    formats: Sequence[str] = ("nir", "onnx", "lava"),
    bits: int | None = None,
    scales: Literal["layer", "channel"] = "layer",
    models: Sequence[str] = ("step", "scan"),
    reader: str | None = None,
    nir_version: str = "1.0.8",
    allow: Sequence[str] = (),
    samples: int | None = 64,
    data: str | None = None,
    profiles: Sequence[str] | None = None,
    reading: Reading = NOTHING_STATED,
    report: Report = lambda line: None,
) -> Bundle:
    """Write a bundle of ``formats`` into ``out``, prove every file by running it, count, price and report.

    ``bits``, ``scales``, ``models``, ``reader``, ``nir_version``, ``allow``: see
    :class:`snn_deploy.export.bundle.BundleOptions`.

    Raises:
        ConfigError: an unknown reader, version or rule; ``out`` holds anything but an unchanged bundle, or
            another process writes there.
        UnsupportedError: a format cannot express the network.
        ParityError: a proof failed; the bundle is there, marked ``failed``.
    """
    target = require_place(Path(out))
    options = BundleOptions(
        tuple(formats),
        bits=bits,
        scales=scales,
        models=tuple(models),
        reader=reader,
        nir_version=nir_version,
        allow=tuple(allow),
    )
    opened = _opened(source, reading)
    if opened.kind == "net" and "lava" in formats:
        raise ConfigError(
            f"'{opened.path}' is a file for Lava already.", hint="Write the others: --to nir,onnx"
        )
    for line in opened.assumptions:
        report(line)
    network = opened.network(data, samples)
    with new_bundle(target, report) as folder:

        def explain(manifest: dict[str, Any]) -> None:
            report("counting and pricing")
            report_source(
                opened,
                network.samples,
                folder / "report",
                data=network.provenance["data"],
                manifest=manifest,
                profiles=profiles,
            )

        manifest = write_bundle(network, folder, options, report, explain)
    if manifest["verdict"] == "failed":
        raise ParityError(
            f"The bundle '{target}' is marked failed: it does not compute what '{opened.name}' computes.",
            problems=[
                Problem(f"{p['format']} in {p['runtime']}", p["reason"], try_instead="see parity.csv")
                for p in manifest["parity"]
                if p["verdict"] == "failed"
            ],
        )
    return Bundle(target, manifest)


def _opened(source: Source | Path | str, reading: Reading) -> Source:
    return open_source(Path(source), reading) if isinstance(source, Path | str) else source


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle after checking that its files are those that were verified."""
    return Bundle(Path(path), read_manifest(Path(path)))


def write_report(
    source: Source | Path | str,
    out: Path | str,
    *,
    profiles: Sequence[str] | None = None,
    data: str | None = None,
    samples: int | None = 64,
    formats: Sequence[str] = DEFAULT_FORMATS,
    against: Path | str | None = None,
    measure: bool = False,
    reading: Reading = NOTHING_STATED,
) -> dict[str, Path]:
    """Count, price and explain a run, a bundle, a ``.nir`` or a ``.net`` file; write the report into ``out``.

    Args:
        source: what to look at.
        out: folder of the report.
        profiles: names or files of profiles; default: a few.
        data: see :func:`snn_deploy.tasks.open.load_samples`.
        samples: how many; None for all.
        formats: of :data:`snn_deploy.report.build.FORMATS`; ``json`` is always written.
        against: a report to compare with: its ``report.json``, its folder, or that of a run or bundle.
        measure: also measure the energy of this machine while it runs the network.
        reading: what a file leaves open.

    Returns:
        The files written, by format.

    Raises:
        ConfigError: ``out`` is in a bundle.
    """
    require_no_bundle(Path(out))
    opened = _opened(source, reading)
    network = opened.network(data, samples)
    return report_source(
        opened,
        network.samples,
        Path(out),
        data=network.provenance["data"],
        manifest=opened.manifest,
        profiles=profiles,
        formats=formats,
        against=None if against is None else Path(against),
        measure=measure,
    )


def compare_reports(before: Path | str, after: Path | str, *, most: float | None = None) -> Comparison:
    """Compare two reports: files ``report.json``, or folders of reports, runs or bundles.

    Args:
        before: the report to hold against.
        after: the report that is judged.
        most: the gate, a fraction: no dynamic energy may have risen by more.

    Raises:
        DataError: there is no report.
        RegressionError, ConfigError: see :func:`snn_deploy.report.compare.require_energy`.
    """
    found = compare(read_report(find_report(Path(before))), read_report(find_report(Path(after))))
    if most is not None:
        require_energy(found, most)
    return found


def check_network(
    source: Source | Path | str, targets: Sequence[str], *, reading: Reading = NOTHING_STATED
) -> tuple[Answer, ...]:
    """Say for every target (chip profiles, formats) whether a run, a bundle, a ``.nir`` or a ``.net`` file
    can go there.

    Raises:
        ConfigError: unknown targets; all of them at once.
    """
    wanted = resolve(targets)
    if not isinstance(source, Source) and Path(source).suffix == ".net":
        return check_net(Path(source), wanted)
    opened = _opened(source, reading)
    return check_plan(opened.plan, wanted, lava_file(opened.path, opened.manifest))


def simulate_network(
    source: Source | Path | str,
    backend: str | None = None,
    *,
    data: str | None = None,
    samples: int | None = 64,
    reading: Reading = NOTHING_STATED,
) -> Simulation:
    """Run a network in ``backend`` on real samples and compare it, layer by layer, with what it should do.

    By default ``.net`` files run in our fixed-point simulator, everything else in the reference. Processes
    started by ``torchrun`` share the samples.
    """
    opened = _opened(source, reading)
    chosen = backend or default_backend(opened.path)
    with joined() as world:
        return simulate_source(opened, chosen, data=data, samples=samples, world=world)
