"""Prove the files of a bundle: every check of every format becomes a claim; claims on the same samples share
the runs of the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from snn_deploy.core.registry import BACKENDS
from snn_deploy.export.base import Check, Written
from snn_deploy.export.lava_part import LavaPart
from snn_deploy.export.manifest import Network
from snn_deploy.export.parity import Parity
from snn_deploy.export.proof.judge import Limits
from snn_deploy.export.proof.nodes import Opened, probe
from snn_deploy.export.proof.probes import STEPS
from snn_deploy.export.proof.rounding import FOLDED, Rounding
from snn_deploy.export.verify import Claim, prove
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.reference import Reference

QUIET_SECONDS = 5.0
Report = Callable[[str], None]


def backend(name: str, path: Path) -> Executable:
    """The file at ``path``, opened in the runtime ``name``."""
    executable: Executable = BACKENDS.get(name).factory(path)
    return executable


def label(name: str, check: Check) -> str:
    """What tables call the file of a check."""
    return name if check.role in {"model", "net"} else f"{name} {check.role}"


def prove_files(
    network: Network,
    written: Mapping[str, Written],
    folder: Path,
    limits: Limits,
    *,
    lava: Callable[[Path], LavaPart],
    report: Report,
) -> list[Parity]:
    """All checks of all formats, in order. ``lava`` opens a file in Lava, with the samples it has time for;
    the others take all."""
    claims = list(_Claims(network, folder).of(written))
    results: dict[int, Parity] = {}
    rest = {n: claim for n, (claim, _) in enumerate(claims) if claim.parity.runtime != "lava"}
    for claim in rest.values():
        report(f"running {claim.parity.format} in {claim.parity.runtime} on {len(network.samples)} samples")
    probe_claims(list(rest.values()))
    found = prove(list(rest.values()), network.samples, limits=limits, progress=_Lines(report))
    results |= dict(zip(rest, found, strict=True))
    for number, (claim, path) in enumerate(claims):
        if number not in rest:
            part = lava(path)
            (judged,) = prove([replace(claim, open_candidate=part.opened)], part.samples, limits=limits)
            shown = part.shown if judged.verdict != "not run" else ""
            results[number] = replace(judged, reason="; ".join(filter(None, (judged.reason, shown))))
    return [results[number] for number in range(len(claims))]


def probe_claims(claims: Sequence[Claim]) -> None:
    """Put into every claim with a graph to hold, whose runtime lets us look inside, what synthetic inputs
    show of it. Files of the same graph share them."""
    alike: dict[tuple[int, int], list[tuple[Claim, Opened]]] = {}
    for claim in claims:
        file: Any = claim.candidate() if claim.intended is not None else None
        if isinstance(file, Opened):
            steps = getattr(file, "fixed_steps", None) or STEPS
            alike.setdefault((id(claim.intended), steps), []).append((claim, file))
    for (_, steps), own in alike.items():
        plan = own[0][0].intended
        assert plan is not None
        for (claim, _), probed in zip(own, probe(plan, [file for _, file in own], steps), strict=True):
            claim.parity = replace(claim.parity, probes=probed)


@dataclass(slots=True)
class _Lines:
    """A line of progress every few seconds."""

    report: Report
    last: float = field(default_factory=time.monotonic)

    def __call__(self, done: int, total: int) -> None:
        if done < total and time.monotonic() - self.last >= QUIET_SECONDS:
            self.last = time.monotonic()
            self.report(f"compared {done} of {total} samples")


class _Claims:
    """Claims with one reference, and one analysis of rounding, for all files."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network, self._folder = network, folder
        self._is_graph = isinstance(network.executable, Reference)
        self._rounding = Rounding(network.plan, 0 if self._is_graph else FOLDED)
        self._opened: dict[tuple[str, Path], Executable] = {}

    def of(self, written: Mapping[str, Written]) -> Iterator[tuple[Claim, Path]]:
        """Every claim, with the path of its file."""
        for name, content in written.items():
            held: Plan | None = None
            for check in content.checks:
                path = self._folder / content.files[check.role]
                claim = self._claim(name, check, path)
                if claim is None:
                    continue
                if check.exact and check.reference == "network":
                    held = held or self._held(content)
                    claim.intended = held
                yield claim, path

    def _held(self, written: Written) -> Plan:
        """The graph that a file holds."""
        return self._network.plan if written.lowered is None else make_plan(written.lowered)

    def _claim(self, name: str, check: Check, path: Path) -> Claim | None:
        """None for the student of a network that has none."""
        reference, against = self._reference(check, path)
        if reference is None:
            return None
        blank = Parity(
            format=label(name, check),
            runtime=check.backend,
            reference=check.reference,
            exact=check.exact,
            samples=0,
            against=against,
        )
        rounds = check.reference == "network" and check.exact
        return Claim(
            blank,
            reference,
            lambda: backend(check.backend, path),
            self._rounding if rounds else None,
            self._network.plan if check.reference in {"network", "student"} else None,
        )

    def _reference(self, check: Check, path: Path) -> tuple[Executable | None, str]:
        if check.reference == "network":
            graph = "the graph in our reference simulator"
            return self._network.executable, graph if self._is_graph else self._network.judge
        if check.reference == "student":
            return self._network.student, "the student in the chip's arithmetic"
        key = check.reference, path
        if key not in self._opened:
            self._opened[key] = backend(*key)
        return self._opened[key], f"the same file in our {check.reference} simulator"
