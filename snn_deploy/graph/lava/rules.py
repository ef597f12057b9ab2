"""What Lava's simulation computes as stored, and what the published limits of Loihi allow.

Two verdicts, never mixed: :func:`simulation_problems` (lava-nc 0.10.0 with lava-dl 0.6.0 would refuse the
network, or silently compute another one) and :func:`chip_problems` (outside the published limits of the
chip; nothing here was checked on one).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    Conv,
    Dense,
    Flatten,
    Input,
    IntArray,
    LavaNet,
    Pair,
    Population,
    conv_shape,
    layer_bound,
    neuron_of,
)

LAVA = "lava-nc 0.10.0, lava-dl 0.6.0"
LOIHI = "published Loihi limits, as documented in lava-nc 0.10.0"
WEIGHT_MIN, WEIGHT_MAX = -256, 254
BIAS_MIN, BIAS_MAX = -4096, 4095
THRESHOLD_MAX = (1 << 17) - 1
SUM_MAX = 1 << 17
"""64 x 2^17 = 2^23: the largest sum that the 24-bit current holds."""
DELAY_MAX = 62
RECURRENT_DELAYS = "netx delays both matrices of a recurrent layer alike"
_INT8_MAX = 127
_INT16_MAX = (1 << 15) - 1


def simulation_problems(net: LavaNet) -> list[Problem]:
    """Every reason why Lava's simulation would not compute ``net`` as stored."""
    problems = structure_problems(net)
    for name, layer in zip(net.names, net.populations, strict=True):
        if isinstance(layer, Conv):
            problems += _conv_fields(name, layer)
        elif isinstance(layer, Dense):
            problems += _dense_weights(name, layer)
    return problems


def structure_problems(net: LavaNet) -> list[Problem]:
    """Why ``net`` means nothing: layers that do not follow each other, parameters out of range."""
    problems = list(_structure(net))
    for name, layer in zip(net.names, net.populations, strict=True):
        problems += _ranges(name, layer)
    return problems


def chip_problems(net: LavaNet) -> list[Problem]:
    """Every published limit of the chip that ``net`` exceeds."""
    problems: list[Problem] = []
    input_range = net.input_range
    for name, layer in zip(net.names, net.populations, strict=True):
        problems += _chip_neuron(name, layer)
        if not isinstance(layer, Input):
            problems += _chip_weights(name, layer, input_range)
            input_range = (0, 1)
    return problems


def lossless_dense(weight: IntArray, recurrent: IntArray | None = None) -> str:
    """Why Lava would change a dense matrix, or an empty string when it computes it as stored.

    netx shifts the matrix up until it fills 8 bits, Lava clips and truncates it, and shifts the sum back.
    """
    both = weight if recurrent is None else np.hstack([weight, recurrent])
    low, high = int(both.min()), int(both.max())
    if low == high == 0:
        return "all weights are 0, which overflows in netx"
    if high == 0:
        return "the largest weight is exactly 0; Lava may turn other weights to 0"
    if low >= 0:
        return f"all weights are positive and the largest is {high}; at most 255 fits" if high > 255 else ""
    if high < 0:
        if low < -255:
            return f"all weights are negative and the smallest is {low}; at least -255 fits"
        if (-low & (-low - 1)) == 0:
            return f"all weights are negative and the smallest, {low}, is a power of two"
        return ""
    if low < WEIGHT_MIN or high > WEIGHT_MAX:
        return f"weights span {low}..{high}; [{WEIGHT_MIN}, {WEIGHT_MAX}] fits"
    parts = () if recurrent is None else (weight, recurrent)
    one_sided = [part for part in parts if not part.min() < 0 < part.max()]
    if one_sided and (both % 2).any():
        return "one of the two matrices lacks a sign that the other has, and there are odd weights"
    for smallest in (-int(part.min()) for part in one_sided):
        if smallest > 0 and (smallest & (smallest - 1)) == 0:
            return f"a matrix without positive weights whose smallest, {-smallest}, is a power of two"
    return ""


def _structure(net: LavaNet) -> Iterator[Problem]:
    """Faults in how the layers follow each other, and in their shapes."""
    shape: tuple[int, ...] | None = None
    flat = False
    for position, layer in enumerate(net.layers):
        where = f"layer/{position}"
        if isinstance(layer, Input):
            if position:
                yield Problem(where, "an input in the middle", "the input comes first", LAVA)
            shape = layer.shape
        elif isinstance(layer, Flatten):
            flat = True
        elif isinstance(layer, Conv):
            yield from _conv_structure(where, layer, shape, flat)
            shape, flat = layer.shape, False
        else:
            yield from _dense_structure(where, layer, shape, flat or position == 1)
            shape, flat = layer.shape, False
    if not net.populations or net.depth == 0:
        yield Problem("layer", "no layer with synapses", "a network has at least one conv or dense", LAVA)


def _conv_structure(where: str, layer: Conv, shape: tuple[int, ...] | None, flat: bool) -> Iterator[Problem]:
    if shape is None:
        yield Problem(where, "a conv without known input shape", "an 'input' entry states it", LAVA)
        return
    if len(shape) != 3 or flat:
        yield Problem(where, f"a conv after a flat layer of shape {shape}", "conv needs (C, H, W)", LAVA)
        return
    channels, height, width = shape
    if layer.weight.shape[1] * layer.groups != channels or layer.weight.shape[0] % layer.groups:
        yield Problem(
            where,
            f"weight {layer.weight.shape} with {layer.groups} groups does not fit {channels} input channels",
            "channels are divisible by groups",
        )
    elif conv_shape(layer, height, width) != layer.shape:
        yield Problem(
            where, f"shape {layer.shape}, but the geometry gives {conv_shape(layer, height, width)}"
        )


def _dense_structure(
    where: str, layer: Dense, shape: tuple[int, ...] | None, flat: bool
) -> Iterator[Problem]:
    if shape is None:
        return
    size = int(np.prod(shape))
    if size != layer.weight.shape[1]:
        yield Problem(where, f"weight {layer.weight.shape} after a layer of {size} neurons")
    elif len(shape) == 3 and not flat:
        yield Problem(where, f"a dense layer directly after shape {shape}", "a 'flatten' comes between", LAVA)


def _ranges(name: str, layer: Population) -> Iterator[Problem]:
    """Faults in neuron parameters and biases."""
    neuron = neuron_of(layer)
    for field, values in (("iDecay", neuron.current_decay), ("vDecay", neuron.voltage_decay)):
        if values.min() < 0 or values.max() > DECAY_ONE:
            yield Problem(name, f"{field} {_span(values)}", f"decays lie in 0..{DECAY_ONE}", LAVA)
    if neuron.threshold.min() < 0 or neuron.threshold.max() >= 1 << 24:
        yield Problem(name, f"vThMant {_span(neuron.threshold)}", "thresholds lie in 0..2^24 - 1", LAVA)
    width = layer.shape[0]
    for field, values in (
        ("iDecay", neuron.current_decay),
        ("vDecay", neuron.voltage_decay),
        ("vThMant", neuron.threshold),
    ):
        if values.shape not in {(), (width,)}:
            yield Problem(name, f"{field} of shape {values.shape}", f"one value, or {width} values")
    if isinstance(layer, Conv | Dense) and layer.bias is not None:
        if layer.bias.shape != (width,):
            yield Problem(name, f"bias of shape {layer.bias.shape}", f"{width} values")
        if np.abs(layer.bias).max(initial=0) > _INT16_MAX:
            yield Problem(
                name, f"bias {_span(layer.bias)}", "biases are 16-bit integers", LAVA, "use a smaller scale"
            )


def _conv_fields(name: str, layer: Conv) -> Iterator[Problem]:
    """Lava keeps a convolution's geometry in signed bytes."""
    fields = {
        "kernelSize": layer.weight.shape[2:],
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
        "groups": (layer.groups,),
    }
    for field, values in fields.items():
        if max(values) > _INT8_MAX:
            yield Problem(name, f"{field} {tuple(values)}", f"at most {_INT8_MAX}, a signed byte", LAVA)


def _dense_weights(name: str, layer: Dense) -> Iterator[Problem]:
    square = (layer.shape[0],) * 2
    if layer.recurrent is not None and layer.recurrent.shape != square:
        yield Problem(name, f"recurrent weight of shape {layer.recurrent.shape}", f"shape {square}")
    elif reason := lossless_dense(layer.weight, layer.recurrent):
        yield Problem(
            name,
            reason,
            "Lava computes the matrix as stored",
            LAVA,
            "another scale, or at least one weight > 0",
        )
    if layer.delay is not None and layer.recurrent is not None:
        hint = "a layer of relays before it that waits"
        yield Problem(name, "delays beside recurrent weights", RECURRENT_DELAYS, LAVA, hint)
    if layer.delay is not None and (layer.delay.min() < 0 or layer.delay.max() > DELAY_MAX):
        yield Problem(name, f"delay {_span(layer.delay)}", f"delays lie in 0..{DELAY_MAX}", LAVA)


def _chip_neuron(name: str, layer: Population) -> Iterator[Problem]:
    neuron = neuron_of(layer)
    if neuron.threshold.max() > THRESHOLD_MAX:
        yield Problem(name, f"vThMant {_span(neuron.threshold)}", f"17 bits, at most {THRESHOLD_MAX}", LOIHI)
    arrays = [neuron.current_decay, neuron.voltage_decay, neuron.threshold]
    if any(values.ndim for values in arrays):
        yield Problem(
            name,
            "decays or thresholds that differ inside the layer",
            "one set of neuron parameters per layer is all that is documented",
            LOIHI,
            "runs in Lava's simulation",
        )
    if isinstance(layer, Conv | Dense) and layer.bias is not None:
        low, high = int(layer.bias.min()), int(layer.bias.max())
        if low < BIAS_MIN or high > BIAS_MAX:
            yield Problem(name, f"bias {low}..{high}", f"13 bits, {BIAS_MIN}..{BIAS_MAX}", LOIHI)


def _chip_weights(name: str, layer: Conv | Dense, input_range: Pair) -> Iterator[Problem]:
    matrices = [layer.weight]
    if isinstance(layer, Dense) and layer.recurrent is not None:
        matrices.append(layer.recurrent)
    for weight in matrices:
        low, high = int(weight.min()), int(weight.max())
        mixed = low < 0 < high
        if low < WEIGHT_MIN or high > (WEIGHT_MAX if mixed else 255):
            yield Problem(name, f"weights {low}..{high}", f"8 bits, {WEIGHT_MIN}..{WEIGHT_MAX}", LOIHI)
        elif mixed and (weight % 2).any():
            yield Problem(name, "odd weights of mixed sign", "8-bit weights of mixed sign are even", LOIHI)
    bound = layer_bound(layer, input_range)
    if bound > SUM_MAX:
        yield Problem(
            name,
            f"the synaptic sum can reach {bound}",
            f"the 24-bit current holds sums up to {SUM_MAX}",
            LOIHI,
            "a smaller scale; beyond it the current wraps around",
        )


def _span(values: IntArray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low}..{high}"
