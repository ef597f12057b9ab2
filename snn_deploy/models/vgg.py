"""Plain convolutional networks without branches: ``vgg9``, ``vggsnn``, ``dvs-csnn`` and their twins.

::

    x -> block1 .. blockN -> flatten -> hidden1 .. hiddenM -> readout          N = all convolutions
    block   conv 3x3 (no bias), norm, firing, and after the last one of a stage down-sampling by 2

============ ============================================================== ============ =================
name         stages                                                         hidden       source
============ ============================================================== ============ =================
vgg9         64 / 128 128 / 256 256 / 512 512                               1024         our choice
vggsnn       64 128 / 256 256 / 512 512 / 512 512                           -            Deng et al. 2022
dvs-csnn     128 / 128 / 128 / 128 / 128                                    512          Fang et al. 2021
============ ============================================================== ============ =================

``vgg9`` has another layout in every paper; ours has nine layers with weights. ``vggsnn`` is that of temporal
efficient training (ICLR 2022), for event data of 48x48. ``dvs-csnn`` is the DVS-Gesture network of the
parametric LIF neuron (ICCV 2021) for 128x128, with dropout 0.5 before its dense layers; instead of ten voting
outputs per class it has one, and pooling is by averages where the paper takes the maximum.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import STUDENTS, TEACHERS
from snn_deploy.models.options import SpikingVggOptions, VggOptions
from snn_deploy.models.parts import (
    AnalogueParts,
    Parts,
    Shape,
    SpikingParts,
    conv_layers,
    size_after,
)


class Plan(NamedTuple):
    """What a name stands for."""

    stages: tuple[tuple[int, ...], ...]
    hidden: tuple[int, ...] = ()
    dropout: float = 0.0


PLANS: Mapping[str, Plan] = {
    "vgg9": Plan(((64,), (128, 128), (256, 256), (512, 512)), (1024,)),
    "vggsnn": Plan(((64, 128), (256, 256), (512, 512), (512, 512))),
    "dvs-csnn": Plan(((128,),) * 5, (512,), 0.5),
}


def student(
    plan: Plan, options: SpikingVggOptions, *, in_shape: Shape, classes: int, timesteps: int
) -> nn.Sequential:
    """The spiking network of ``plan``; it does not depend on ``timesteps``.

    Raises:
        ConfigError: some stage leaves nothing of the image.
    """
    return _build(SpikingParts(options), plan, options, in_shape, classes)


def twin(plan: Plan, options: VggOptions, *, in_shape: Shape, classes: int) -> nn.Sequential:
    """The analogue network of ``plan``.

    Raises:
        ConfigError: some stage leaves nothing of the image.
    """
    return _build(AnalogueParts(), plan, options, in_shape, classes)


def _build(parts: Parts, plan: Plan, options: VggOptions, in_shape: Shape, classes: int) -> nn.Sequential:
    channels, *sides = in_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, widths in enumerate(options.stages or plan.stages):
        for place, width in enumerate(widths, start=1):
            kernel, stride = (3, 1) if layers else (options.stem.kernel, options.stem.stride)
            down = (options.pooling, 2 if place == len(widths) else 1)
            block = conv_layers(parts, channels, width, kernel, stride, *down)
            layers[f"block{len(layers) + 1}"] = nn.Sequential(block)
            channels, sides = width, [size_after(side, kernel, stride, *down) for side in sides]
            if min(sides) < 1:
                what = f"leaves {sides[0]}x{sides[1]} of {in_shape[1]}x{in_shape[2]}"
                problem = Problem(f"stages.{stage}", what, "at least 1x1", try_instead="fewer stages")
                raise ConfigError("The network is too deep for its images.", problems=[problem])
    layers["flatten"] = parts.flatten()
    features, dropout = channels * sides[0] * sides[1], options.dropout
    dropout = plan.dropout if dropout is None else dropout
    for number, width in enumerate(plan.hidden if options.hidden is None else options.hidden, start=1):
        if dropout:
            layers[f"dropout{number}"] = parts.dropout(dropout)
        layers[f"hidden{number}"] = parts.hidden(features, width)
        features = width
    if dropout:
        layers["dropout"] = parts.dropout(dropout)
    return parts.network(layers, features, classes)


for _name, _plan in PLANS.items():
    STUDENTS.register(_name)(partial(student, _plan))
    TEACHERS.register(_name)(partial(twin, _plan))
