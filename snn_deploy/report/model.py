"""What a report holds: typed, frozen, and the same as ``report.json``.

Every block but the header is optional, so that a report can be made of a run, a bundle or a bare NIR file.
Energies are in joules, powers in watts, times in seconds, accuracies and rates are fractions; all counts are
means per inference unless they are named totals.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from snn_deploy.convert.documents import Certificate
from snn_deploy.hardware.interval import Interval
from snn_deploy.report.blocks import (
    Block,
    ChipFit,
    Comparison,
    Finite,
    Fraction,
    Measurement,
    NeuroBench,
    StepLatency,
)
from snn_deploy.report.shown import Decisions, EarlyExit, NetworkNode, Recording

SCHEMA_VERSION = 1


class Header(Block):
    """What was looked at, under which conditions.

    Attributes:
        title: name of the network.
        kind: what the report was made from.
        verdict: of a bundle: ``verified``, ``not verified`` or ``failed``.
        network_digest: SHA-256 of the weights or the file.
        target: profile of the chip that it was made for, where one was named.
        step_seconds: duration of one step on the target, where known.
        data, split, samples, samples_available: which inputs were counted, and how many there are.
        settings: further facts by name, e.g. method, seed, recipe, semantics.
        packages: versions of what computed this.
    """

    title: str
    kind: Literal["run", "bundle", "nir", "net", "module", "conversion"]
    verdict: Literal["verified", "not verified", "failed"] | None = None
    network_digest: str = ""
    input_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()
    timesteps: int | None = None
    target: str = ""
    step_seconds: Finite | None = None
    data: str = ""
    data_digest: str = ""
    split: str = ""
    samples: int | None = None
    samples_available: int | None = None
    settings: dict[str, str] = Field(default_factory=dict)
    packages: dict[str, str] = Field(default_factory=dict)
    tool_version: str = ""
    created: str = ""


class Accuracy(Block):
    """Accuracy of one network in one runtime on ``samples`` inputs."""

    name: str
    role: Literal["teacher", "student", "exported"]
    fraction: Fraction
    samples: int = Field(ge=1)
    note: str = ""


class EdgeRow(Block):
    """Events of one weighted edge per inference; see :class:`snn_deploy.energy.counts.EdgeCounts`.

    ``density`` is the mean fraction of non-zero source elements; ``dense`` the connections times steps.
    """

    name: str
    edge_class: str
    pooled: bool
    density: Fraction
    fan_out: Finite
    sites: Finite
    units: Finite | None
    dense: int
    zero_weights: Fraction


class LayerRow(Block):
    """Activity of one layer per inference. ``firing_rate`` is spikes per neuron and step."""

    layer: str
    neurons: int = 0
    firing_rate: Finite | None = None
    spikes: Finite = 0.0
    updates_clocked: Finite = 0.0
    updates_touched: Finite = 0.0
    edges: tuple[EdgeRow, ...] = ()

    @property
    def sops(self) -> float:
        """Synaptic operations by site."""
        return sum(edge.sites for edge in self.edges)

    @property
    def dense(self) -> int:
        """Connections times steps."""
        return sum(edge.dense for edge in self.edges)


class Activity(Block):
    """Exact counts. ``sops_by_step[layer][step]`` is the mean per inference.

    ``sample_quantiles`` are the 5th, 50th and 95th percentile of SOPs per inference over the samples.
    """

    timesteps: int
    samples: int
    layers: tuple[LayerRow, ...]
    sops_by_step: tuple[tuple[Finite, ...], ...]
    connections: int
    sample_quantiles: tuple[Finite, Finite, Finite]
    uncounted: tuple[str, ...] = ()

    @property
    def sops(self) -> float:
        """Synaptic operations per inference."""
        return sum(layer.sops for layer in self.layers)

    @property
    def spikes(self) -> float:
        """Spikes per inference."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def neurons(self) -> int:
        """Spiking neurons and integrators."""
        return sum(layer.neurons for layer in self.layers)

    @property
    def sops_per_synapse(self) -> float:
        """Synaptic operations per connection and inference."""
        return self.sops / self.connections if self.connections else 0.0


class Constant(Block):
    """One number of a profile with its provenance; ``interval`` says where the bounds come from."""

    term: str
    meaning: str
    value: Interval | None
    unit: str
    basis: str = ""
    grade: str = ""
    interval: str = ""
    operating_point: str = ""
    citation: str = ""
    doi: str = ""
    where: str = ""
    note: str = ""


class AnchorRow(Block):
    """A published measurement that the profile reproduces with ``error`` (fraction)."""

    name: str
    estimate: Interval
    published: Finite
    unit: Literal["J", "W"]
    error: Finite
    citation: str


class TermRow(Block):
    """One priced term of one layer; ``energy`` is None where it is unknown."""

    term: str
    group: Literal["synapses", "neurons", "routing", "memory"]
    quantity: Finite | None
    energy: Interval | None


class LayerEnergy(Block):
    """Dynamic energy of one layer; ``energy`` is None where no term of it is known."""

    layer: str
    energy: Interval | None
    terms: tuple[TermRow, ...]


class StaticEnergy(Block):
    """Static energy of one inference, apart from the dynamic one."""

    energy: Interval
    power: Interval
    seconds: Finite
    chips: int
    basis: str


class TwinRow(Block):
    """A non-spiking network of equal connections and precision."""

    macs: int
    energy: Interval
    ratio: Interval | None


class WorkloadRow(Block):
    """A workload measured on the chip."""

    name: str
    facts: tuple[str, ...]
    grade: str
    citation: str


class ProfilePrice(Block):
    """Energy per inference under one profile; ``timestep_seconds`` is the chip's usual step."""

    profile: str
    version: int
    title: str
    kind: Literal["chip", "arithmetic"]
    scope: str
    precision: str
    conditions: str
    validity: str
    excludes: tuple[str, ...]
    dynamic: Interval | None
    unknown: tuple[str, ...]
    layers: tuple[LayerEnergy, ...]
    static: StaticEnergy | None
    static_unknown: str
    timestep_seconds: Finite | None = None
    twin: TwinRow | None
    constants: tuple[Constant, ...]
    anchors: tuple[AnchorRow, ...] = ()
    workloads: tuple[WorkloadRow, ...] = ()


class LayerParityRow(Block):
    """Spikes of one layer, given the reference's input. ``first`` is (step, sample, element)."""

    layer: str
    compared: int
    differing: int
    ties: int
    after_ties: int
    free_differing: int
    first: tuple[int, int, int] | None = None

    @property
    def unexplained(self) -> int:
        """Differing spikes that float rounding at the threshold does not explain."""
        return self.differing - self.ties - self.after_ties


class Exercised(Block):
    """How much of the network fired on the samples; ``not_shown`` says why of layers that show nothing."""

    neurons: int
    neurons_fired: int
    channels: int
    channels_fired: int
    layers: int
    layers_shown: int
    not_shown: dict[str, str] = {}


class Probes(Block):
    """What synthetic inputs showed, node by node."""

    nodes: int
    compared: int
    differing: int
    weights: int
    weights_alone: int
    weights_held: int = 0


class ParityRow(Block):
    """One exported file in one runtime against its reference."""

    format: str
    runtime: str
    reference: str
    exact: bool
    verdict: Literal["equal", "ties only", "approximate", "failed", "not shown", "not run"]
    reason: str = ""
    samples: int = 0
    compared: int = 0
    differing: int = 0
    ties: int = 0
    output_compared: int = 0
    output_differing: int = 0
    same_decision: int = 0
    accuracy_reference: Fraction | None = None
    accuracy: Fraction | None = None
    against: str = ""
    exercised: Exercised | None = None
    probes: Probes | None = None
    layers: tuple[LayerParityRow, ...] = ()


class Training(Block):
    """One value per epoch; ``best_epoch`` counts from 1."""

    loss: tuple[Finite, ...]
    train_accuracy: tuple[Fraction, ...] = ()
    validation_accuracy: tuple[Fraction, ...] = ()
    best_epoch: int | None = None


class Approximation(Block):
    """Something that is not exact in an exported format."""

    format: str
    sentence: str


class ReportData(Block):
    """Everything a report shows."""

    schema_version: Literal[1] = 1
    header: Header
    accuracies: tuple[Accuracy, ...] = ()
    parity: tuple[ParityRow, ...] = ()
    network: tuple[NetworkNode, ...] = ()
    activity: Activity | None = None
    decisions: Decisions | None = None
    early_exit: EarlyExit | None = None
    recording: Recording | None = None
    neurobench: NeuroBench | None = None
    energy: tuple[ProfilePrice, ...] = ()
    measured: tuple[Measurement, ...] = ()
    latency: tuple[StepLatency, ...] = ()
    fits: tuple[ChipFit, ...] = ()
    comparison: Comparison | None = None
    training: Training | None = None
    conversion: Certificate | None = None
    approximations: tuple[Approximation, ...] = ()
    warnings: tuple[str, ...] = ()
