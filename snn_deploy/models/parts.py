"""What convolutional students and their analogue twins are made of, so that one definition builds both.

========== ========================================== ==========================================
part       student ``[T, B, ...]``                    twin ``[B, ...]``
========== ========================================== ==========================================
firing     spiking neurons, called ``neuron``         rectifier, called ``relu``
readout    ``readout.linear`` without bias, and       ``linear`` with bias
           ``readout.neuron`` when it spikes
========== ========================================== ==========================================

Down-sampling by ``k`` (``pooling``) stands behind a firing layer or in the convolution before it::

    average    mean of k x k windows
    stride     the convolution before it takes every k-th position
    max        largest of k x k windows: as most papers have it; behind neurons it is deployed as neurons that
               fire when any in their window does
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import Pooling, SpikingOptions

Layers = OrderedDict[str, nn.Module]
Shape = tuple[int, int, int]


class Student(nn.Sequential):
    """A spiking network ``[T, B, C, H, W] -> [T, B, K]``; ``logit_scale`` is for training losses only."""

    def __init__(self, layers: Layers, logit_scale: float) -> None:
        super().__init__(layers)
        self.logit_scale = logit_scale


class Parts(Protocol):
    """Makes the layers of a network; ``fires`` is the name of its non-linearity."""

    fires: str

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
        """Convolution without bias, padded by ``kernel // 2``."""

    def norm(self, channels: int) -> nn.Module: ...

    def firing(self) -> nn.Module: ...

    def pool(self, kind: Pooling, size: int) -> nn.Module:
        """Pooling over windows of ``size`` by ``size``, which do not overlap."""

    def global_average(self) -> nn.Module: ...

    def flatten(self) -> nn.Module: ...

    def dropout(self, share: float) -> nn.Module: ...

    def hidden(self, inputs: int, outputs: int) -> nn.Sequential: ...

    def network(self, layers: Layers, features: int, classes: int) -> nn.Sequential:
        """``layers`` and the last one behind them."""


class SpikingParts:
    """Multi-step spikingjelly layers."""

    fires = "neuron"

    def __init__(self, options: SpikingOptions) -> None:
        self._options = options

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
        made: nn.Module = layer.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, bias=False, step_mode="m"
        )
        return made

    def norm(self, channels: int) -> nn.Module:
        made: nn.Module = layer.BatchNorm2d(channels, step_mode="m")
        return made

    def firing(self) -> nn.Module:
        return make_neuron(self._options.neuron)

    def pool(self, kind: Pooling, size: int) -> nn.Module:
        made: nn.Module = (layer.MaxPool2d if kind == "max" else layer.AvgPool2d)(size, step_mode="m")
        return made

    def global_average(self) -> nn.Module:
        made: nn.Module = layer.AdaptiveAvgPool2d(1, step_mode="m")
        return made

    def flatten(self) -> nn.Module:
        made: nn.Module = layer.Flatten(step_mode="m")
        return made

    def dropout(self, share: float) -> nn.Module:
        made: nn.Module = layer.Dropout(share, step_mode="m")
        return made

    def hidden(self, inputs: int, outputs: int) -> nn.Sequential:
        linear = layer.Linear(inputs, outputs, bias=False, step_mode="m")
        return nn.Sequential(OrderedDict(linear=linear, neuron=self.firing()))

    def network(self, layers: Layers, features: int, classes: int) -> Student:
        spikes = self._options.readout == "spiking"
        readout: Layers = OrderedDict(linear=layer.Linear(features, classes, bias=False, step_mode="m"))
        if spikes:
            readout["neuron"] = self.firing()
        return Student(
            OrderedDict(layers, readout=nn.Sequential(readout)), self._options.logit_scale if spikes else 1.0
        )


class AnalogueParts:
    """Torch layers with rectifiers."""

    fires = "relu"

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int) -> nn.Module:
        return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def firing(self) -> nn.Module:
        return nn.ReLU()

    def pool(self, kind: Pooling, size: int) -> nn.Module:
        return (nn.MaxPool2d if kind == "max" else nn.AvgPool2d)(size)

    def global_average(self) -> nn.Module:
        return nn.AdaptiveAvgPool2d(1)

    def flatten(self) -> nn.Module:
        return nn.Flatten()

    def dropout(self, share: float) -> nn.Module:
        return nn.Dropout(share)

    def hidden(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(OrderedDict(linear=nn.Linear(inputs, outputs), relu=nn.ReLU()))

    def network(self, layers: Layers, features: int, classes: int) -> nn.Sequential:
        return nn.Sequential(OrderedDict(layers, linear=nn.Linear(features, classes)))


def conv_layers(
    parts: Parts, inputs: int, outputs: int, kernel: int, stride: int, pooling: Pooling, pool: int
) -> Layers:
    """``conv``, ``norm``, firing, and ``pool`` where down-sampling is not by stride."""
    if pooling == "stride":
        stride, pool = stride * pool, 1
    layers: Layers = OrderedDict(conv=parts.conv(inputs, outputs, kernel, stride), norm=parts.norm(outputs))
    layers[parts.fires] = parts.firing()
    if pool > 1:
        layers["pool"] = parts.pool(pooling, pool)
    return layers


def size_after(size: int, kernel: int, stride: int, pooling: Pooling, pool: int) -> int:
    """Side of the output of :func:`conv_layers`."""
    if pooling == "stride":
        stride, pool = stride * pool, 1
    return ((size + 2 * (kernel // 2) - kernel) // stride + 1) // pool
