"""Limits of imaginary chips, and the findings they lead to."""

from __future__ import annotations

from typing import Any

from snn_deploy.hardware.constraint import judge
from snn_deploy.hardware.constraints import CONSTRAINTS
from snn_deploy.hardware.findings import Finding
from snn_deploy.hardware.limits import Limits
from snn_deploy.hardware.network import Network

SOURCE = {"citation": "A. Author, A datasheet, 2020", "where": "Table 1"}
UNBOUNDED = {name: {"value": None, "bounded_by": "nothing"} for name in ("fan_in", "fan_out")}
ANY = {
    "operators": [
        "Affine",
        "Linear",
        "Conv1d",
        "Conv2d",
        "AvgPool2d",
        "SumPool2d",
        "Flatten",
        "Scale",
        "Delay",
    ],
    "neurons": ["IF", "LIF", "CubaLIF", "Threshold", "I", "LI", "CubaLI"],
    "resets": ["zero", "subtract"],
}


def limit(value: Any, **more: Any) -> dict[str, Any]:
    return {"value": value, "source": SOURCE, "grade": "A", **more}


def limits(*, first: dict[str, Any] | None = None, **values: Any) -> Limits:
    """Limits that take any network, except for ``values`` (and ``first`` for the first layer)."""
    content: dict[str, Any] = {name: limit(value) for name, value in ANY.items()} | dict(UNBOUNDED)
    for name, value in values.items():
        content[name] = value if isinstance(value, dict) else limit(value)
    content["first_layer"] = {name: limit(value) for name, value in (first or {}).items()}
    return Limits.model_validate(content)


def judged(network: Network, given: Limits) -> list[Finding]:
    return list(judge(network, given, CONSTRAINTS))
