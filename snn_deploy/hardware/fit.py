"""Does a network fit a chip? ``fits``, ``does not fit``, or ``cannot tell`` where a limit is not public.

No limit that is unknown ever counts as kept, and a network is only said to fit when every limit that it needs
is known, and known to hold.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.types import Plan
from snn_deploy.hardware.changes import change_findings
from snn_deploy.hardware.constraint import judge
from snn_deploy.hardware.constraints import CONSTRAINTS
from snn_deploy.hardware.findings import Finding
from snn_deploy.hardware.limits import Limits, Scheme
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.placement import counts as placement_counts
from snn_deploy.hardware.placement import dynapcnn as placement_dynapcnn
from snn_deploy.hardware.placement import loihi1 as placement_loihi1
from snn_deploy.hardware.placement import xylo as placement_xylo
from snn_deploy.hardware.placement.base import Placement
from snn_deploy.hardware.schema import Profile
from snn_deploy.hardware.structure import structure_findings

Verdict = Literal["fits", "does not fit", "cannot tell"]

SCHEMES: dict[Scheme | None, Callable[[Network, Limits], Placement]] = {
    "dynapcnn": placement_dynapcnn.place,
    "loihi1": placement_loihi1.place,
    "xylo": placement_xylo.place,
    "crossbar": placement_counts.place,
    None: placement_counts.place,
}
"""How each scheme of a profile places a network."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One network on one chip.

    Attributes:
        profile: id of the profile.
        chip: name of the chip.
        verdict: see the module's text.
        problems: limits that the network exceeds.
        unknowns: what would have to be known to say more.
        changes: what the chip rounds, drops or does at another time.
        remarks: what no check of a network alone can see.
        placement: where its layers go.
    """

    profile: str
    chip: str
    verdict: Verdict
    problems: tuple[Finding, ...]
    unknowns: tuple[Finding, ...]
    changes: tuple[Finding, ...]
    remarks: tuple[str, ...]
    placement: Placement


def fit(plan: Plan, profile: Profile) -> Fit:
    """Hold ``plan`` against the limits of ``profile`` and place it.

    Raises:
        ConfigError: the profile describes arithmetic, not a chip.
    """
    if profile.kind != "chip":
        raise ConfigError(f"'{profile.id}' describes arithmetic; there is no chip to fit.")
    network, limits = Network(plan), profile.limits
    scheme = limits.placement.value if limits.placement is not None else None
    placement = SCHEMES[scheme](network, limits)
    findings = (
        *judge(network, limits, CONSTRAINTS),
        *structure_findings(network, limits),
        *change_findings(network, limits),
        *placement.findings,
    )
    problems = tuple(f for f in findings if f.state == "violated")
    unknowns = tuple(f for f in findings if f.state == "unknown")
    return Fit(
        profile=profile.id,
        chip=profile.chip,
        verdict="does not fit" if problems else "cannot tell" if unknowns else "fits",
        problems=problems,
        unknowns=unknowns,
        changes=tuple(f for f in findings if f.state == "changed"),
        remarks=limits.remarks,
        placement=placement,
    )
