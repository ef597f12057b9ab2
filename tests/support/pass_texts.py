"""Texts of the forms between a graph and a ``.net`` file, for the golden texts of passes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch

import nir
import numpy as np

from snn_deploy.export.onnx_int8 import Int8Graph
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.lava.text import net_text
from snn_deploy.graph.passes.quantize.quantize import Quantized
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.windows import Window
from snn_deploy.graph.text import graph_text, part_lines, shape_text, value_text


@singledispatch
def text(subject: object) -> str:
    """The text of a network in any form."""
    raise TypeError(type(subject).__name__)


text.register(nir.NIRGraph, graph_text)
text.register(LavaNet, net_text)


@text.register
def _(quantized: Quantized) -> str:
    scales = (
        f"scale of {name}: {_number(scale)}"
        for name, scale in zip(quantized.net.names, quantized.scales, strict=True)
    )
    return net_text(quantized.net) + "\n".join(scales) + "\n"


@text.register
def _(form: Int8Graph) -> str:
    lines = [graph_text(form.graph)]
    for name, layer in form.layers.items():
        x = f"{_number(layer.x_scale)}{' exactly' if layer.exact else ''}"
        lines.append(f"{name} in integers: {value_text(layer.weight)} times {_number(layer.weight_scales)}\n")
        bias = "no bias" if layer.bias is None else f"bias {value_text(layer.bias)}"
        lines.append(f"    input in steps of {x}, {bias}\n")
    return "".join(lines)


@text.register
def _(chain: Chain) -> str:
    lines, previous = [f"{chain.input_name}: Input {shape_text(chain.input_shape)}"], chain.input_name
    for layer in chain.layers:
        kind = f"{type(layer.map).__name__} {shape_text(layer.shape)}"
        lines += part_lines(layer.name, kind, [previous], _fields(layer))
        lines += [f"    holds {m.name}: {m.first}..{m.first + m.count - 1}" for m in layer.members]
        lines.append(f"    made of {', '.join(layer.nodes)}")
        previous = layer.name
    return "\n".join([*lines, f"read as {chain.readout or 'spikes'}"]) + "\n"


def _fields(layer: ChipLayer) -> Iterator[str]:
    linear = layer.map
    yield f"weight {_number(linear.weight)}"
    yield f"bias {_number(linear.bias)}"
    if isinstance(linear, Window):
        yield f"stride {value_text(linear.stride)}"
        yield f"padding {value_text(linear.padding)}"
        if linear.groups > 1:
            yield f"groups {linear.groups}"
    if layer.recurrent is not None:
        yield f"recurrent {_number(layer.recurrent)}"
    if layer.delay is not None:
        yield f"delay {value_text(layer.delay)}"
    yield f"current leak {_number(layer.current_leak)}"
    yield f"voltage leak {_number(layer.voltage_leak)}"
    yield "never fires" if layer.threshold is None else f"fires at {layer.fires_at} {layer.threshold:g}"


def _number(values: object) -> str:
    return value_text(np.asarray(values, np.float32))
