"""Typed model of the ``limits`` of a profile: what a network must keep to fit the chip.

Every limit has a source and a grade. ``value: null`` means that the limit exists and is not public: a check
that needs it answers *cannot tell*. A limit that is absent is not looked at, except those of :data:`NEEDED`:
without them no network can be said to fit.
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from snn_deploy.hardware.evidence import Grade, Model, Source

T = TypeVar("T")


class Limit(Model, Generic[T]):
    """One limit. ``bounded_by`` names, instead of a value, the other limit through which the chip has it."""

    value: T | None
    unit: str = ""
    source: Source | None = None
    grade: Grade | None = None
    bounded_by: str = ""
    note: str = ""


def _pair(value: Any) -> Any:
    return (value, value) if isinstance(value, int) else value


def _ordered(value: tuple[int, int]) -> tuple[int, int]:
    if value[0] > value[1]:
        raise ValueError(f"sources that disagree are written [low, high], not {list(value)}")
    return value


Count: TypeAlias = Annotated[int, Field(strict=True, ge=0)]
Span: TypeAlias = Annotated[tuple[Count, Count], BeforeValidator(_pair), AfterValidator(_ordered)]
"""One number, or two where sources disagree: above the larger one is too much, between them unknown."""
Amount: TypeAlias = Limit[Span]
Choices: TypeAlias = Limit[Annotated[tuple[Count, ...], Field(min_length=1)]]
PerCore: TypeAlias = Choices
"""One number per core, for chips whose cores differ."""

Operator = Literal[
    "Affine", "Linear", "Conv1d", "Conv2d", "AvgPool2d", "SumPool2d", "Flatten", "Scale", "Delay"
]
NeuronModel = Literal["IF", "LIF", "CubaLIF", "Threshold", "I", "LI", "CubaLI"]
Reset = Literal["zero", "subtract"]
Padding = Literal["same", "valid"]
Structure = Literal[
    "weights_before_neurons",
    "neurons_after_weights",
    "pooling_after_neurons",
    "one_weight_layer_per_population",
    "dense_before_currents",
    "no_recurrence",
    "outputs_not_recurrent",
    "two_neuron_layers",
]
Scheme = Literal["dynapcnn", "loihi1", "xylo", "crossbar"]
"""How layers are placed onto cores; one module of :mod:`snn_deploy.hardware.placement.base` each."""

NEEDED = ("operators", "neurons", "resets", "fan_in", "fan_out", "placement")
PLACEMENT_NEEDS: dict[Scheme, tuple[str, ...]] = {
    "dynapcnn": ("cores", "kernel_memory_per_core", "neuron_memory_per_core", "bias_memory_per_core"),
    "loihi1": (
        "cores",
        "weight_bits",
        "neurons_per_core",
        "input_axons_per_core",
        "output_axons_per_core",
        "synapse_memory_bits_per_core",
    ),
    "xylo": (
        "input_channels_max",
        "hidden_neurons",
        "output_neurons",
        "hidden_fan_out",
        "mean_fan_out",
    ),
    "crossbar": ("cores", "neurons_per_core", "input_axons_per_core"),
}
"""Limits without which a scheme cannot place anything."""


class LayerLimits(Model):
    """Limits of one layer of weights; ``first_layer`` of a chip replaces those that it states."""

    kernel_max: Amount | None = None
    kernel_sizes: Choices | None = None
    square_kernels: Limit[bool] | None = None
    strides: Choices | None = None
    paddings: Limit[tuple[Padding, ...]] | None = None
    padding_max: Amount | None = None
    dilations: Choices | None = None
    groups: Choices | None = None
    channels_in: Choices | None = None
    channels_max: Amount | None = None
    filters_by_kernel: Limit[tuple[tuple[Count, Count, Count], ...]] | None = None
    input_size_max: Amount | None = None
    input_size_min: Amount | None = None
    output_size_max: Amount | None = None
    dense_inputs_max: Amount | None = None
    weight_bits: Choices | None = None


class Limits(LayerLimits):
    """Hard limits of a chip. ``hardware_profiles/README.md`` explains the fields to people.

    Attributes:
        format: the format of ours through which a network reaches the chip.
        remarks: what no check of a network alone can see; always shown.
    """

    format: str = ""
    remarks: tuple[str, ...] = ()
    operators: Limit[tuple[Operator, ...]] | None = None
    neurons: Limit[tuple[NeuronModel, ...]] | None = None
    resets: Limit[tuple[Reset, ...]] | None = None
    decays: Limit[Literal["any", "power of two"]] | None = None
    inputs: Limit[Literal["binary", "graded"]] | None = None
    biases: Limit[Literal["every step", "none", "slow clock"]] | None = None
    structure: Limit[tuple[Structure, ...]] | None = None
    first_layer: LayerLimits = LayerLimits()
    pool_sizes: Choices | None = None
    pool_stride: Limit[Literal["kernel"]] | None = None
    pool_reach: Limit[Literal["global"]] | None = None
    pool_global_max: Amount | None = None
    destinations_max: Amount | None = None
    fan_in: Amount | None = None
    fan_out: Amount | None = None
    weight_levels: Amount | None = None
    classes_max: Amount | None = None
    placement: Limit[Scheme] | None = None
    cores: Amount | None = None
    neurons_per_core: Amount | None = None
    neurons_per_chip: Amount | None = None
    synapses_per_chip: Amount | None = None
    synapse_memory_bits_per_core: Amount | None = None
    memory_bits_per_core: Amount | None = None
    input_axons_per_core: Amount | None = None
    output_axons_per_core: Amount | None = None
    kernel_memory_per_core: PerCore | None = None
    neuron_memory_per_core: PerCore | None = None
    bias_memory_per_core: PerCore | None = None
    input_channels_max: Amount | None = None
    hidden_neurons: Amount | None = None
    output_neurons: Amount | None = None
    hidden_fan_out: Amount | None = None
    mean_fan_out: Amount | None = None
    projected_neurons: Amount | None = None
    state_bits: Amount | None = None
    decay_bits: Amount | None = None
    decay_sets: Amount | None = None
    threshold_bits: Amount | None = None
