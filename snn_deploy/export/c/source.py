"""The text of ``model.h`` and ``model.c``."""

from __future__ import annotations

from typing import Any

from snn_deploy.core.version import __version__
from snn_deploy.export.c.parts import CLayer, Program
from snn_deploy.export.c.words import comment, rendered, size
from snn_deploy.graph.lava.net import Conv
from snn_deploy.simulate.cuba import UNIT


def header(program: Program) -> str:
    """``model.h``."""
    return _render("model.h.jinja", program)


def source(program: Program) -> str:
    """``model.c``."""
    return _render("model.c.jinja", program)


def _render(template: str, program: Program) -> str:
    layers, net = program.layers, program.net
    sums = {name: [layer.count for layer in layers if layer.sum_name == name] for name in ("narrow", "wide")}
    return rendered(
        "snn_deploy.export.c",
        template,
        title=f"Spiking network, {size(net.input_shape)} -> {size(layers[-1].shape)}",
        version=__version__,
        program=program,
        net=net,
        layers=[_Described(layer) for layer in layers],
        classes=_classes(program),
        unit=UNIT,
        outputs=layers[-1].count,
        neurons=f"{sum(layer.count for layer in layers):,}",
        constant_bytes=f"{sum(layer.constant_bytes for layer in layers):,}",
        ram_bytes=f"{sum(layer.state_bytes for layer in layers) + program.scratch_bytes:,}",
        input_words=_input_words(program),
        output_words=_output_words(program),
        narrow=max(sums["narrow"], default=1),
        wide=max(sums["wide"], default=1),
        spike_bytes=max(layer.count for layer in layers),
        index_bits=16 if program.widest <= 1 << 16 else 32,
        slots=max(layer.slots for layer in layers),
        wraps=any(layer.wraps for layer in layers),
        clips=any(layer.clips for layer in layers),
        saturates=net.readout is not None,
        sums24=any(layer.wraps24 for layer in layers),
        reads_spikes=program.binary or any(layer.sees_spikes and layer.weights for layer in layers),
        reads_values=not program.binary and layers[0].weights is not None,
    )


class _Described:
    """A layer with the words and numbers that only its text needs."""

    def __init__(self, layer: CLayer) -> None:
        self._layer = layer
        self.title = comment(layer.title)
        self.words = _layer_words(layer)
        self.weight_words = _weight_words(layer)
        self.geometry = _geometry(layer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)


def _classes(program: Program) -> list[str]:
    """The names of classes as C strings; none where they are not one per output."""
    names = program.net.classes
    return [f'"{comment(name)}"' for name in names] if len(names) == program.layers[-1].count else []


def _layer_words(layer: CLayer) -> str:
    into = f"{size(layer.source_shape)} -> {size(layer.shape)}"
    if layer.kind == "driven":
        return f"neurons driven by the input, {size(layer.shape)}"
    if not isinstance(layer.layer, Conv):
        extra = ", recurrent" if layer.recurrent else ""
        return f"dense, {into}{extra}{', delays' if layer.delays else ''}"
    conv = layer.layer
    kernel = "x".join(str(n) for n in conv.weight.shape[2:])
    return f"convolution {kernel}, stride {conv.stride[0]}x{conv.stride[1]}, {into}"


def _weight_words(layer: CLayer) -> str:
    if layer.weights is None:
        return ""
    rows = (
        "[channel that fired][kernel row][kernel column][channel that receives]"
        if layer.kind == "conv"
        else "[neuron that fired][neuron that receives]"
    )
    order = ", sources in the order row, column, channel" if layer.channels_last else ""
    packed = ", two in a byte, the first in its low half" if layer.weights.packed else ""
    return f"{rows}{order}; in units of {layer.weights.unit}{packed}"


def _geometry(layer: CLayer) -> dict[str, int]:
    if not isinstance(layer.layer, Conv):
        return {}
    conv = layer.layer
    channels, height, width = layer.source_shape
    (sh, sw), (ph, pw), (dh, dw) = conv.stride, conv.padding, conv.dilation
    kh, kw = (int(n) for n in conv.weight.shape[2:])
    return {
        "ic": channels, "ih": height, "iw": width, "oh": layer.shape[1], "ow": layer.shape[2],
        "kh": kh, "kw": kw, "sh": sh, "sw": sw, "ph": ph, "pw": pw, "dh": dh, "dw": dw,
        "groups": conv.groups, "per_group": channels // conv.groups,
        "width": layer.channels // conv.groups,
    }  # fmt: skip


def _input_words(program: Program) -> str:
    net = program.net
    shape = size(net.input_shape)
    if net.analog:
        return f"{shape} integers, channel by channel, row by row."
    if program.binary:
        return f"{shape} bytes, 0 or 1, channel by channel, row by row."
    low, high = net.input_range
    return f"{shape} integers from {low} to {high}, channel by channel, row by row."


def _output_words(program: Program) -> str:
    last, net = program.layers[-1], program.net
    shape = size(last.shape)
    if net.readout is None:
        return f"{shape} spikes of '{comment(last.title)}', 0 or 1."
    what = "what each membrane gained in the step" if net.readout.kind == "current" else "the membranes"
    return f"{shape} values: {what} of '{comment(last.title)}'; MODEL_OUTPUT_SCALE is one unit."
