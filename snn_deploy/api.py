"""What the commands of the deployment wing do, as functions: export, check, simulate, report.

The whole public API is :mod:`snn_deploy`, which loads each function when it is first used: training
(:mod:`snn_deploy.tasks.distill`) and comparing (:mod:`snn_deploy.tasks.compare`) stand apart, for deploying a
file needs no training library, and comparing two reports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from snn_deploy.core.errors import ConfigError, ParityError, Problem
from snn_deploy.export.bundle import BundleOptions, write_bundle
from snn_deploy.export.manifest import read_manifest
from snn_deploy.export.place import new_bundle, require_no_bundle, require_place
from snn_deploy.graph.reach import ALLOW as LEAVE_OUT
from snn_deploy.graph.readers.reading import NOTHING_STATED
from snn_deploy.graph.timing import Reading
from snn_deploy.processes.world import joined
from snn_deploy.report.build import DEFAULT_FORMATS
from snn_deploy.tasks.check import Answer, check_net, check_plan, lava_file, resolve
from snn_deploy.tasks.early_exit import ExitAt, chosen_exit
from snn_deploy.tasks.micro_steps import in_micro_steps
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.own import NOTHING_OWN, Own
from snn_deploy.tasks.own_data import given_data
from snn_deploy.tasks.report import report_source
from snn_deploy.tasks.samples import load_samples, network_of
from snn_deploy.tasks.simulate import Simulation, default_backend, simulate_source
from snn_deploy.tasks.source import Source
from snn_deploy.tasks.stream import Session, open_session

if TYPE_CHECKING:
    from torch import nn

    from snn_deploy.data.types import DataSet

Report = Callable[[str], None]
AnyNetwork: TypeAlias = "Source | nn.Module | Path | str"
"""A path, ``FILE.py:NAME``, a torch module, or what was opened already."""
AnyData: TypeAlias = Any
"""A data set's name, ``FILE.npz``, ``FILE.py:NAME``, or what such code may give: ``(x, y)``, a torch
``Dataset`` ... (:mod:`snn_deploy.data.sets.own_arrays`). None is what the network was trained on."""


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


def export_bundle(
    source: AnyNetwork,
    out: Path | str,
    *,
    formats: Sequence[str] = ("nir", "onnx", "lava"),
    bits: int | None = None,
    scales: Literal["layer", "channel"] = "layer",
    models: Sequence[str] = ("step", "scan"),
    opset: int = 18,
    reader: str | None = None,
    nir_version: str = "1.0.8",
    allow: Sequence[str] = (),
    micro_steps: bool = False,
    samples: int | None = 64,
    data: AnyData = None,
    overrides: Sequence[str] = (),
    profiles: Sequence[str] | None = None,
    lava_budget: float = 120.0,
    exit_at: float | Literal["auto"] | None = None,
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
    report: Report = lambda line: None,
) -> Bundle:
    """Write a bundle of ``formats`` into ``out``, prove every file by running it, count, price and report.

    ``bits``, ``scales``, ``models``, ``opset``, ``reader``, ``nir_version``, ``allow``, ``lava_budget``: see
    :class:`snn_deploy.export.bundle.BundleOptions`. ``own``: what a module, or ``FILE.py:NAME``, does
    not say itself; every file is then held against that module. ``micro_steps``: write neurons that fire
    whole numbers as binary ones; see :mod:`snn_deploy.tasks.micro_steps`. ``exit_at``: the confidence with
    which a sample may end early (:mod:`snn_deploy.core.early_exit`), or ``"auto"`` to choose it on validation
    samples. ``data``, ``samples``, ``overrides``: see :func:`snn_deploy.tasks.samples.load_samples`.

    Raises:
        ConfigError: an unknown reader, version, rule or confidence; ``out`` holds anything but an unchanged
            bundle, or another process writes there.
        UnsupportedError: a format cannot express the network.
        ParityError: a proof failed; the bundle is there, marked ``failed``.
    """
    target = Path(out)
    require_place(target)
    options = BundleOptions(
        tuple(formats),
        bits=None if micro_steps else bits,
        scales=scales,
        models=tuple(models),
        opset=opset,
        reader=reader,
        nir_version=nir_version,
        allow=tuple(allow),
        lava_budget=lava_budget,
    )
    stated = replace(reading, leave_out=True) if LEAVE_OUT in allow else reading
    shown = given_data(data, own.timesteps)
    opened = _opened(source, stated, own, shown)
    if opened.kind == "net" and "lava" in formats:
        raise ConfigError(
            f"'{opened.path}' is a file for Lava already.", hint="Write the others: --to nir,onnx"
        )
    if micro_steps:
        if exit_at is not None:
            raise ConfigError("Scores of micro-steps come in windows: leave --exit-at or --micro-steps out.")
        report("putting it into micro-steps")
        opened = in_micro_steps(opened, load_samples(opened, shown, samples, overrides), bits or 8)
    network = network_of(opened, shown, samples, overrides)
    steps = int(network.samples.x.shape[0])
    _say(opened, report, steps)
    if exit_at is not None:
        network = replace(network, exit=chosen_exit(opened, exit_at, shown, steps, overrides))
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


def _opened(source: AnyNetwork, reading: Reading, own: Own, data: DataSet | str | None = None) -> Source:
    if isinstance(source, Source):
        return source
    return open_source(Path(source) if isinstance(source, str) else source, reading, own, data)


def _say(source: Source, report: Report, steps: int | None = None) -> None:
    """Report what was assumed of ``source``, and what makes a run of ``steps`` steps doubtful."""
    for line in (*source.assumptions, *(source.warnings(steps) if steps is not None else ())):
        report(line)


def open_bundle(path: Path | str) -> Bundle:
    """Open a bundle after checking that its files are those that were verified."""
    return Bundle(Path(path), read_manifest(Path(path)))


def write_report(
    source: AnyNetwork,
    out: Path | str,
    *,
    profiles: Sequence[str] | None = None,
    data: AnyData = None,
    samples: int | None = 64,
    overrides: Sequence[str] = (),
    formats: Sequence[str] = DEFAULT_FORMATS,
    against: Path | str | None = None,
    measure: bool = False,
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
    report: Report = lambda line: None,
) -> dict[str, Path]:
    """Count, price and explain a run, a bundle, a ``.nir`` or a ``.net`` file; write the report into ``out``.

    Args:
        source: what to look at.
        out: folder of the report.
        profiles: names or files of profiles; default: a few.
        data: see :func:`snn_deploy.tasks.samples.load_samples`.
        samples: how many; None for all.
        overrides: options of a data set.
        formats: of :data:`snn_deploy.report.build.FORMATS`; ``json`` is always written.
        against: a report to compare with: its ``report.json``, its folder, or that of a run or bundle.
        measure: also measure the energy of this machine while it runs the network.
        reading: what a file leaves open.
        own: what a module leaves open.
        report: is told what was assumed.

    Returns:
        The files written, by format.

    Raises:
        ConfigError: ``out`` is in a bundle.
    """
    require_no_bundle(Path(out))
    shown = given_data(data, own.timesteps)
    opened = _opened(source, reading, own, shown)
    network = network_of(opened, shown, samples, overrides)
    _say(opened, report, int(network.samples.x.shape[0]))
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


def check_network(
    source: AnyNetwork,
    targets: Sequence[str],
    *,
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
    report: Report = lambda line: None,
) -> tuple[Answer, ...]:
    """Say for every target (chip profiles, formats) whether a run, a bundle, a ``.nir`` or a ``.net`` file
    can go there; ``report`` is told what was assumed.

    Raises:
        ConfigError: unknown targets; all of them at once.
    """
    wanted = resolve(targets)
    if isinstance(source, Path | str) and Path(source).suffix == ".net":
        return check_net(Path(source), wanted)
    opened = _opened(source, reading, own)
    _say(opened, report)
    return check_plan(opened.plan, wanted, lava_file(opened.path, opened.manifest))


def open_stream(
    source: AnyNetwork,
    backend: str = "reference",
    *,
    window: int | None = None,
    sensor: tuple[int, int] | None = None,
    overrides: Sequence[str] = (),
    exit_at: ExitAt = None,
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
) -> Session:
    """A session that is fed with events, or with frames, and gives decisions as soon as they are due.

    ``window`` is the length of a frame in microseconds, or in events where frames are of equal count, and
    ``sensor`` the camera's height and width; by default both are those that the network was trained with.
    ``overrides``: ``data.KEY=VALUE`` of :class:`snn_deploy.tasks.stream_data.StreamOptions`. ``exit_at``: the
    confidence with which a sample ends early, ``"off"``, or None for what the bundle says.

    Raises:
        ConfigError: ``backend`` cannot take one frame at a time, or ``window`` or ``sensor`` must be stated.
    """
    opened = _opened(source, reading, own)
    return open_session(opened, backend, window=window, sensor=sensor, overrides=overrides, exit_at=exit_at)


def simulate_network(
    source: AnyNetwork,
    backend: str | None = None,
    *,
    data: AnyData = None,
    samples: int | None = 64,
    overrides: Sequence[str] = (),
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
) -> Simulation:
    """Run a network in ``backend`` on real samples and compare it, layer by layer, with what it should do.

    By default ``.net`` files run in our fixed-point simulator, everything else in the reference. Processes
    started by ``torchrun`` share the samples.
    """
    shown = given_data(data, own.timesteps)
    opened = _opened(source, reading, own, shown)
    chosen = backend or default_backend(opened)
    with joined() as world:
        return simulate_source(opened, chosen, data=shown, samples=samples, overrides=overrides, world=world)
