"""A ``.net`` network as text: its populations in their order, in integers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from snn_deploy.core.text import visible
from snn_deploy.graph.lava.net import Conv, Dense, Flatten, Input, LavaNet, Population, neuron_of
from snn_deploy.graph.text import part_lines, shape_text, value_text


def net_text(net: LavaNet) -> str:
    """The text of ``net``; a layer comes from the one before it."""
    low, high = net.input_range
    given = f"{low}..{high}" + ("" if net.input_scale == 1 else f" times {value_text(net.input_scale)}")
    lines = part_lines(net.input_name, f"Input {shape_text(net.input_shape)}", (), [f"integers {given}"])
    names, previous = iter(net.names), net.input_name
    fields: Iterable[str]
    for layer in net.layers:
        if isinstance(layer, Input) and layer.neuron is None:
            continue
        if isinstance(layer, Flatten):
            name, fields = f"{previous}.flatten", ()
        else:
            name, fields = next(names), _fields(layer)
        lines += part_lines(name, f"{type(layer).__name__} {shape_text(layer.shape)}", [previous], fields)
        previous = name
    for name, spans in zip(net.names, net.spans, strict=False):
        held = (f"{name} holds {s.name}: {s.first}..{s.first + s.count - 1}" for s in spans)
        lines += [visible(line, one_line=True) for line in held]
    readout = "spikes" if net.readout is None else f"{net.readout.kind} / {value_text(net.readout.scale)}"
    steps = "" if net.timesteps is None else f", {net.timesteps} steps"
    return (
        "\n".join([*lines, f"read as {readout}, decode {visible(net.decode, one_line=True)}{steps}"]) + "\n"
    )


def _fields(layer: Population) -> Iterator[str]:
    channels = layer.shape[:1]
    if isinstance(layer, Input):
        yield f"weight {layer.weight}"
        yield f"bias {layer.bias}"
    else:
        yield f"weight {value_text(layer.weight)}"
        if layer.bias is not None:
            yield f"bias {value_text(layer.bias, channels)}"
    if isinstance(layer, Conv):
        yield f"stride {value_text(layer.stride)}"
        yield f"padding {value_text(layer.padding)}"
        if layer.dilation != (1, 1):
            yield f"dilation {value_text(layer.dilation)}"
        if layer.groups > 1:
            yield f"groups {layer.groups}"
    if isinstance(layer, Dense) and layer.recurrent is not None:
        yield f"recurrent {value_text(layer.recurrent)}"
    if isinstance(layer, Dense) and layer.delay is not None:
        yield f"delay {value_text(layer.delay)}"
    neuron = neuron_of(layer)
    yield f"iDecay {value_text(neuron.current_decay, channels)}"
    yield f"vDecay {value_text(neuron.voltage_decay, channels)}"
    yield f"vThMant {value_text(neuron.threshold, channels)}"
