"""Answer, for every target asked about, whether a network can be written for it and whether it fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from snn_deploy.errors import EXIT_OK, ConfigError, FitError, Problem, UnsupportedError, did_you_mean
from snn_deploy.graph.lava_io import read_net
from snn_deploy.graph.lava_net import LavaNet
from snn_deploy.graph.lava_rules import chip_problems, simulation_problems
from snn_deploy.graph.types import Plan
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.fit import Fit, fit
from snn_deploy.hardware.profile import load_profile, profile_names
from snn_deploy.hardware.schema import Profile
from snn_deploy.registry import FORMATS

Verdict = Literal["yes", "no", "fits", "does not fit", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One question about one target; ``fit`` is None for formats."""

    target: str
    question: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    fit: Fit | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A resolved name: a chip profile, a format, or a chip that is reached through a format."""

    name: str
    profile: Profile | None
    format: str


def exit_code(answers: Sequence[Answer]) -> int:
    """3 when a format cannot express the network, else 5 when it does not fit a chip, else 0."""
    verdicts = {answer.verdict for answer in answers}
    if "no" in verdicts:
        return UnsupportedError.exit_code
    return FitError.exit_code if "does not fit" in verdicts else EXIT_OK


def check_plan(plan: Plan, targets: Sequence[Target], net: Path | None = None) -> tuple[Answer, ...]:
    """Every question about every target.

    Args:
        plan: the network.
        targets: from :func:`resolve`.
        net: a ``.net`` file already written for Lava; its integers are then judged too.
    """
    return tuple(answer for target in targets for answer in _answers(plan, target, net))


def resolve(names: Sequence[str]) -> tuple[Target, ...]:
    """Profiles and formats by name; a chip's short name (``loihi1``) stands for the first profile of it.

    Raises:
        ConfigError: names of nothing, all of them at once; a profile that describes no chip.
    """
    chips = _chip_names() if any(name not in _known() and not _is_file(name) for name in names) else {}
    found, problems = [], []
    for name in dict.fromkeys(names):
        if name in FORMATS.names():
            found.append(Target(name, None, name))
        elif name in profile_names() or name in chips or _is_file(name):
            profile = load_profile(chips.get(name, name))
            if profile.kind == "chip":
                found.append(Target(name, profile, profile.limits.format))
            else:
                problems.append(Problem(name, "a profile of arithmetic, without a chip"))
        else:
            problems.append(Problem(name, f"unknown target.{did_you_mean(name, [*_known(), *chips])}"))
    if problems or not found:
        raise ConfigError(
            "These targets cannot be checked." if problems else "No target is given.",
            problems=problems,
            hint=f"Formats: {', '.join(FORMATS.names())}. Chips: {', '.join(_chip_names())}. "
            "Or the name or file of a profile.",
        )
    return tuple(found)


def _known() -> list[str]:
    return [*FORMATS.names(), *profile_names()]


def _is_file(name: str) -> bool:
    return Path(name).suffix in {".yaml", ".yml"}


def _chip_names() -> dict[str, str]:
    """Short names of chips, and the profile that each stands for."""
    chips: dict[str, str] = {}
    for name in profile_names():
        profile = load_profile(name)
        if profile.kind == "chip":
            chips.setdefault(re.sub(r"[^a-z0-9]", "", profile.chip.lower()), name)
    return chips


def _answers(plan: Plan, target: Target, net: Path | None) -> Iterator[Answer]:
    if target.format:
        problems = _format_problems(plan, target.format)
        if net is not None and target.format == "lava":
            problems += simulation_problems(read_net(net))
        yield Answer(
            target=target.name,
            question=_question(target.format),
            verdict="no" if problems else "yes",
            findings=tuple(_as_finding(problem, target.format) for problem in problems),
        )
    if target.profile is not None:
        result = fit(plan, target.profile)
        more = _beyond(read_net(net), target.profile) if net is not None and target.format == "lava" else ()
        if more:
            result = replace(result, verdict="does not fit", problems=(*result.problems, *more))
        yield Answer(
            target=target.name,
            question="within the published limits",
            verdict=result.verdict,
            findings=(*result.problems, *result.unknowns, *result.changes),
            fit=result,
        )


def _beyond(net: LavaNet, profile: Profile) -> tuple[Finding, ...]:
    """Limits of the chip that the integers of a written file exceed."""
    found = [_as_finding(problem, "published limits") for problem in chip_problems(net)]
    limit = profile.limits.inputs
    if limit is not None and limit.value == "binary" and net.input_range != (0, 1):
        low, high = net.input_range
        found.append(
            Finding(
                state="violated",
                rule="inputs",
                where=net.input_name,
                found=f"input {low}..{high}",
                limit="binary",
                sentence="Input is binary spikes.",
                source=cited(limit.source, limit.grade),
                try_instead="clip the input to one event per step and pixel",
            )
        )
    return tuple(found)


def _question(name: str) -> str:
    return "runs in Lava simulation" if name == "lava" else f"can be written as {name}"


def _format_problems(plan: Plan, name: str) -> list[Problem]:
    entry = FORMATS.get(name)
    problems: list[Problem] = entry.factory(entry.options()).check(plan.graph)
    return list(problems)


def _as_finding(problem: Problem, rule: str) -> Finding:
    return Finding(
        state="violated",
        rule=rule,
        where=problem.where,
        found=problem.what,
        limit=problem.rule,
        source=problem.source,
        try_instead=problem.try_instead,
    )


def lava_file(bundle: Path, manifest: Mapping[str, Any] | None) -> Path | None:
    """The ``.net`` file of a bundle, if it has one."""
    files = (manifest or {}).get("formats", {}).get("lava", {}).get("files", {})
    return bundle / Path(files["net"]).name if "net" in files else None
