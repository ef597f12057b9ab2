"""Blocks of a report that stand alone: chip fit, comparison with another report, measurements, NeuroBench."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from snn_deploy.hardware.interval import Interval

Finite = Annotated[float, Field(allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Block(BaseModel):
    """Immutable part of a report; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SynapticOperations(Block):
    """Per inference, over weights that are not zero, in NeuroBench's words.

    Accumulates: edges whose values are -1, 0 or 1 in the whole run; multiply-accumulates: all others.
    """

    Effective_MACs: Finite
    Effective_ACs: Finite
    Dense: Finite


class NeuroBench(Block):
    """The metrics of NeuroBench 2 that follow from counts, under its keys (Yik et al., 2025)."""

    SynapticOperations: SynapticOperations
    ActivationSparsity: Fraction
    ConnectionSparsity: Fraction
    ClassificationAccuracy: Fraction | None = None


class FitRow(Block):
    """One layer on a chip: the cores it takes, in words, and each resource as used / available."""

    layer: str
    cores: str
    uses: dict[str, tuple[int, int | None]] = Field(default_factory=dict)


class FitFinding(Block):
    """Something that stands against a chip, is not known, or is changed by it."""

    state: Literal["violated", "unknown", "changed"]
    where: str
    found: str
    limit: str
    source: str
    try_instead: str


class ChipFit(Block):
    """Whether the network fits a chip. ``cores`` are the fewest and most that it takes."""

    profile: str
    chip: str
    verdict: Literal["fits", "does not fit", "cannot tell"]
    scheme: str
    cores: tuple[int, int | None] | None
    available: tuple[int, int] | None
    utilisation: Finite | None
    rows: tuple[FitRow, ...] = ()
    findings: tuple[FitFinding, ...] = ()


class Change(Block):
    """One figure in the other report (``before``) and in this one (``after``)."""

    name: str
    kind: Literal["fraction", "count", "energy"]
    before: Finite | None
    after: Finite | None

    @property
    def relative(self) -> float | None:
        """``after / before - 1``; None where one is missing or the first is 0."""
        if self.before is None or self.after is None or self.before == 0:
            return None
        return self.after / self.before - 1


class Comparison(Block):
    """This report against another one.

    Attributes:
        other: title of the other report.
        conditions: what differs between the two runs, in words; figures then differ for that reason too.
        figures: accuracy and counts, and SOPs layer by layer.
        energies: dynamic energy per profile, central values: both come from the same constants.
        refused: profiles whose energies cannot be compared, and why.
    """

    other: str
    conditions: tuple[str, ...]
    figures: tuple[Change, ...]
    energies: tuple[Change, ...]
    refused: tuple[tuple[str, str], ...]


class StepLatency(Block):
    """Time of one step of one sample on one thread of this machine, in one backend, or why it is not known.

    ``p50`` and ``p99`` are the median and the 99th percentile of ``steps``, in seconds.
    """

    backend: Literal["reference", "onnxruntime", "c"]
    what: str
    machine: str
    p50: Finite | None = None
    p99: Finite | None = None
    steps: int = 0
    reason: str = ""


class Measurement(Block):
    """Energy of this very machine while it ran the network, or why there is none.

    ``energy`` is per inference; ``idle`` what the meter showed over the same time without work.
    """

    meter: str
    what: str
    energy: Interval | None = None
    idle: Interval | None = None
    seconds: Finite | None = None
    inferences: int = 0
    reason: str = ""
