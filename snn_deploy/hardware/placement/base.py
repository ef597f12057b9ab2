"""What a placement onto the cores of a chip says; each ``placement_*`` module has one chip's formulas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snn_deploy.hardware.findings import Finding
from snn_deploy.hardware.limits import Span


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a resource is used; ``available`` is None where it is not known."""

    amount: int
    available: int | None


@dataclass(frozen=True, slots=True)
class Row:
    """One layer: the cores it takes, in words, and what it uses of the fullest of them."""

    layer: str
    cores: str
    uses: Mapping[str, Use]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where layers go.

    Attributes:
        scheme: the formulas used, in words.
        rows: per layer.
        cores: fewest and most cores that the network takes (most is None where only a bound from below is
            known); None for chips without cores.
        available: cores of the chip (two numbers where sources disagree), None where unknown.
        findings: what does not fit, and what nobody can tell.
    """

    scheme: str
    rows: tuple[Row, ...]
    cores: tuple[int, int | None] | None
    available: Span | None
    findings: tuple[Finding, ...] = field(default=())

    @property
    def utilisation(self) -> float | None:
        """Share of the cores in use when they are counted exactly or from above."""
        if self.cores is None or self.cores[1] is None or not self.available:
            return None
        return self.cores[1] / self.available[0]
