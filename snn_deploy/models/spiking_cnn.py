"""The student ``spiking-cnn``: convolution, batch norm and spiking neurons, built to deploy.

::

    x [T, B, C, H, W] -> block1 .. blockN -> flatten -> hidden1 .. hiddenM -> readout -> [T, B, K]

    block    conv (no bias), norm, neuron, and pool (average) where asked for
    hidden   linear (no bias), neuron
    readout  linear (no bias), and neuron when the readout spikes

Module paths such as ``block1.neuron`` or ``readout.linear`` name the layers in every report. Down-sampling
is by stride or average pooling after the neuron; there is no max pooling and no ReLU.

A spiking readout gives logits 0 or 1 per step; one bit is too small a range for a softmax. So training
losses see ``logit_scale * logits`` (attribute of the network, our choice). The scale is no module
and no parameter: decisions, weights, the exported graph and its spikes do not depend on it. A linear
readout gives real logits per step (no neuron, no state) and its scale is 1.
"""

from __future__ import annotations

from collections import OrderedDict

from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import STUDENTS
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import BlockOptions, NeuronOptions, SpikingCnnOptions


class SpikingCnn(nn.Sequential):
    """See the module's text. ``logit_scale`` multiplies the logits in training losses only."""

    def __init__(self, layers: OrderedDict[str, nn.Module], logit_scale: float) -> None:
        super().__init__(layers)
        self.logit_scale = logit_scale


@STUDENTS.register("spiking-cnn")
def spiking_cnn(
    options: SpikingCnnOptions, *, in_shape: tuple[int, int, int], classes: int, timesteps: int
) -> SpikingCnn:
    """Convolution, batch norm and spiking neurons; strided or average-pooled.

    The network does not depend on ``timesteps``.

    Raises:
        ConfigError: some block leaves nothing of the image.
    """
    channels, height, width = in_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, block in enumerate(options.blocks, start=1):
        layers[f"block{number}"] = _block(block, channels, options.neuron)
        channels = block.channels
        height, width = (_size_after(block, size) for size in (height, width))
        if min(height, width) < 1:
            where = f"student.blocks.{number - 1}"
            what = (
                f"kernel {block.kernel}, stride {block.stride} and pool {block.pool} leave {height}x{width}"
            )
            raise ConfigError(
                f"The student's block {number} leaves nothing of a {in_shape[1]}x{in_shape[2]} image.",
                problems=[Problem(where, what, "at least 1x1", try_instead="fewer or smaller strides")],
            )
    layers["flatten"] = layer.Flatten(step_mode="m")
    features = channels * height * width
    for number, units in enumerate(options.hidden, start=1):
        layers[f"hidden{number}"] = _dense(features, units, options.neuron)
        features = units
    spiking = options.readout == "spiking"
    layers["readout"] = _dense(features, classes, options.neuron if spiking else None)
    return SpikingCnn(layers, options.logit_scale if spiking else 1.0)


def _block(block: BlockOptions, in_channels: int, neuron: NeuronOptions) -> nn.Sequential:
    conv = layer.Conv2d(
        in_channels,
        block.channels,
        block.kernel,
        stride=block.stride,
        padding=block.kernel // 2,
        bias=False,
        step_mode="m",
    )
    parts: OrderedDict[str, nn.Module] = OrderedDict(
        conv=conv, norm=layer.BatchNorm2d(block.channels, step_mode="m"), neuron=make_neuron(neuron)
    )
    if block.pool > 1:
        parts["pool"] = layer.AvgPool2d(block.pool, step_mode="m")
    return nn.Sequential(parts)


def _dense(in_features: int, out_features: int, neuron: NeuronOptions | None) -> nn.Sequential:
    linear = layer.Linear(in_features, out_features, bias=False, step_mode="m")
    parts: OrderedDict[str, nn.Module] = OrderedDict(linear=linear)
    if neuron is not None:
        parts["neuron"] = make_neuron(neuron)
    return nn.Sequential(parts)


def _size_after(block: BlockOptions, size: int) -> int:
    return ((size + 2 * (block.kernel // 2) - block.kernel) // block.stride + 1) // block.pool
