"""Answer, for every target asked about, whether a network can be written for it and whether it fits."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from snn_deploy.core.errors import EXIT_OK, ConfigError, FitError, Problem, UnsupportedError, did_you_mean
from snn_deploy.core.registry import FORMATS
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.lava.rules import chip_problems, simulation_problems
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Plan
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.fit import Fit, fit
from snn_deploy.hardware.profile import load_profile, profile_names
from snn_deploy.hardware.schema import Profile

WITHIN = "within the published limits"
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
    """A resolved name: a chip profile, a format (for one ``reader``), or a chip reached through a format."""

    name: str
    profile: Profile | None
    format: str
    reader: str | None = None


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
    written = None if net is None else read_net(net)
    return tuple(
        answer
        for target in targets
        for answer in (
            *_written_answer(target, [*_format_problems(plan, target), *_stored_problems(target, written)]),
            *_chip_answer(plan, target, written),
        )
    )


def check_net(path: Path, targets: Sequence[Target]) -> tuple[Answer, ...]:
    """Every question about every target for a ``.net`` file: its integers are judged as they are stored for
    Lava, its graph for everything else.

    Raises:
        DataError: the file is damaged.
        UnsupportedError: it holds entries without meaning, all of them at once.
    """
    net = read_net(path)
    plan, refused = None, []
    try:
        plan = make_plan(FromLava()(net))
    except UnsupportedError as error:
        refused = list(error.problems)

    def written(target: Target) -> list[Problem]:
        if target.format == "lava":
            return list(_stored_problems(target, net))
        return _format_problems(plan, target) if plan is not None else refused

    return tuple(
        answer
        for target in targets
        for answer in (
            *_written_answer(target, written(target)),
            *(_chip_answer(plan, target, net) if plan is not None else _without_graph(target, net, refused)),
        )
    )


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
        elif name in _readers():
            found.append(Target(name, None, "nir", name.partition(":")[2]))
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
            hint=f"Formats: {', '.join([*FORMATS.names(), *_readers()])}. Chips: {', '.join(_chip_names())}. "
            "Or the name or file of a profile.",
        )
    return tuple(found)


def _known() -> list[str]:
    return [*FORMATS.names(), *_readers(), *profile_names()]


def _readers() -> list[str]:
    """The format ``nir`` for one reader: ``nir:sinabs``."""
    return [f"nir:{name}" for name in CONSUMERS]


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


def _written_answer(target: Target, problems: Sequence[Problem]) -> Iterator[Answer]:
    """Whether the format of a target can say the network."""
    if target.format:
        yield Answer(
            target=target.name,
            question=_question(target),
            verdict="no" if problems else "yes",
            findings=tuple(_as_finding(problem, target.format) for problem in problems),
        )


def _stored_problems(target: Target, net: LavaNet | None) -> Sequence[Problem]:
    return simulation_problems(net) if net is not None and target.format == "lava" else ()


def _chip_answer(plan: Plan, target: Target, net: LavaNet | None) -> Iterator[Answer]:
    """Whether the network keeps the published limits of a chip; ``net`` is its file for Lava."""
    if target.profile is None:
        return
    result = fit(plan, target.profile)
    more = _beyond(net, target.profile) if net is not None and target.format == "lava" else ()
    if more:
        result = replace(result, verdict="does not fit", problems=(*result.problems, *more))
    yield Answer(
        target=target.name,
        question=WITHIN,
        verdict=result.verdict,
        findings=(*result.problems, *result.unknowns, *result.changes),
        fit=result,
    )


def _without_graph(target: Target, net: LavaNet, refused: Sequence[Problem]) -> Iterator[Answer]:
    """What can be said of a ``.net`` file that no graph says: only its integers are judged."""
    if target.profile is None:
        return
    found = _beyond(net, target.profile) if target.format == "lava" else ()
    unknown = (replace(_as_finding(problem, "graph"), state="unknown") for problem in refused)
    verdict: Verdict = "does not fit" if found else "cannot tell"
    yield Answer(target.name, WITHIN, verdict, (*found, *unknown))


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


def _question(target: Target) -> str:
    if target.reader is not None:
        return f"can be read by {CONSUMERS[target.reader].title}"
    return "runs in Lava simulation" if target.format == "lava" else f"can be written as {target.format}"


def _format_problems(plan: Plan, target: Target) -> list[Problem]:
    if not target.format:
        return []
    entry = FORMATS.get(target.format)
    given = {} if target.reader is None else {"reader": target.reader}
    problems: list[Problem] = entry.factory(entry.options(**given)).check(plan.graph)
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
