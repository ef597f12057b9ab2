"""Residual networks in three kinds, spiking and analogue: ``resnet*``, ``sew-resnet*``, ``ms-resnet*``.

::

    x -> stem -> layer1 .. layerS -> average over positions -> flatten -> hidden -> readout
    stem        conv, norm, firing (not in ms), pool where asked for
    layer       residual blocks ``0``, ``1``, ...; the first of layer 2 .. S strides by 2

    kind        block                                                              end of the last layer
    post        y = f( n2 c2 f n1 c1 x + s(x) )          s: n c x                  -
    sew         y = f n2 c2 f n1 c1 x + s(x)             s: f n c x                -
    ms          y = n2 c2 f n1 c1 f x + s(x)             s: n c f x                f

``c`` convolution without bias, ``n`` batch norm, ``f`` firing. ``s`` is the identity where shapes agree.
The bottleneck body has three convolutions, 1x1, 3x3 (strided), 1x1 to four times the channels. The shortcut
``average`` averages 2x2 windows before a 1x1 convolution of stride 1, ``conv`` is a strided 1x1
convolution.

post: He et al., CVPR 2016, with neurons as firing. sew: Fang et al., NeurIPS 2021, element-wise ADD. ms: Hu
et al., "Advancing spiking neural networks towards deep residual learning"; our choice there is ``f`` in the
shortcut, so that spikes enter every convolution behind the stem. ResNet-19: Zheng et al., AAAI 2021.

============================ ========================= ========== ======= ==========================
name                         widths                    blocks     hidden  kind
============================ ========================= ========== ======= ==========================
resnet18, 34                 64 128 256 512            2222, 3463 -       post
resnet19                     128 256 512               3 3 2      256     post
resnet20                     16 32 64                  3 3 3      -       post
sew-resnet18, 34, 50         64 128 256 512            2222, 3463 -       sew; 50: bottleneck
ms-resnet18, 34              64 128 256 512            2222, 3463 -       ms
============================ ========================= ========== ======= ==========================

The twin of a ``sew`` network is the ``post`` network of that depth. The teachers ``resnet20`` and
``resnet56`` are other networks, those of public checkpoints (:mod:`~snn_deploy.models.public_resnet`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.core.registry import STUDENTS, TEACHERS
from snn_deploy.models.options import ResidualOptions, SpikingResidualOptions
from snn_deploy.models.parts import (
    AnalogueParts,
    Layers,
    Parts,
    Shape,
    SpikingParts,
    conv_layers,
    size_after,
)

Kind = Literal["post", "sew", "ms"]


class Plan(NamedTuple):
    """What a name stands for."""

    kind: Kind
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    bottleneck: bool = False


_WIDE = (64, 128, 256, 512)
PLANS: Mapping[str, Plan] = {
    "resnet18": Plan("post", _WIDE, (2, 2, 2, 2)),
    "resnet19": Plan("post", (128, 256, 512), (3, 3, 2), (256,)),
    "resnet20": Plan("post", (16, 32, 64), (3, 3, 3)),
    "resnet34": Plan("post", _WIDE, (3, 4, 6, 3)),
    "sew-resnet18": Plan("sew", _WIDE, (2, 2, 2, 2)),
    "sew-resnet34": Plan("sew", _WIDE, (3, 4, 6, 3)),
    "sew-resnet50": Plan("sew", _WIDE, (3, 4, 6, 3), bottleneck=True),
    "ms-resnet18": Plan("ms", _WIDE, (2, 2, 2, 2)),
    "ms-resnet34": Plan("ms", _WIDE, (3, 4, 6, 3)),
}
TWINS = ("resnet18", "resnet19", "resnet34", "ms-resnet18", "ms-resnet34")
"""Names under which the analogue network is a teacher."""


class Residual(nn.Module):
    """``y = body(x) + shortcut(x)``, and ``after`` (a name and a module) applied to that if given."""

    def __init__(self, body: Layers, shortcut: Layers, after: tuple[str, nn.Module] | None) -> None:
        super().__init__()
        self.body = nn.Sequential(body)
        self.shortcut = nn.Sequential(shortcut)
        self._after = after and after[0]
        if after:
            self.add_module(*after)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.body(x) + self.shortcut(x)
        if self._after is not None:
            y = self.get_submodule(self._after)(y)
        return y


def student(
    plan: Plan, options: SpikingResidualOptions, *, in_shape: Shape, classes: int, timesteps: int
) -> nn.Sequential:
    """The spiking network of ``plan``; it does not depend on ``timesteps``.

    Raises:
        ConfigError: options contradict each other or do not fit the images; every fault is listed.
    """
    return _build(SpikingParts(options), plan, options, in_shape, classes)


def twin(plan: Plan, options: ResidualOptions, *, in_shape: Shape, classes: int) -> nn.Sequential:
    """The analogue network of ``plan``.

    Raises:
        ConfigError: options contradict each other or do not fit the images; every fault is listed.
    """
    return _build(AnalogueParts(), plan, options, in_shape, classes)


def _build(
    parts: Parts, plan: Plan, options: ResidualOptions, in_shape: Shape, classes: int
) -> nn.Sequential:
    widths, blocks, stem = options.widths or plan.widths, options.blocks or plan.blocks, options.stem
    if problems := [*_problems(options, widths, blocks, in_shape)]:
        raise ConfigError("The residual network cannot be built.", problems=problems)
    channels = in_shape[0]
    first = conv_layers(parts, channels, widths[0], stem.kernel, stem.stride, options.pooling, stem.pool)
    if plan.kind == "ms":
        del first[parts.fires]
    layers: Layers = OrderedDict(stem=nn.Sequential(first))
    channels = widths[0]
    for number, (width, count) in enumerate(zip(widths, blocks, strict=True), start=1):
        outputs = 4 * width if plan.bottleneck else width
        strides = [1 if number == 1 else 2] + [1] * (count - 1)
        layer = nn.Sequential()
        for stride in strides:
            layer.append(_block(parts, plan, options.shortcut, (channels, width, outputs), stride))
            channels = outputs
        layers[f"layer{number}"] = layer
    if plan.kind == "ms":
        layers[parts.fires] = parts.firing()
    layers["pool"] = parts.global_average()
    layers["flatten"] = parts.flatten()
    for number, width in enumerate(plan.hidden if options.hidden is None else options.hidden, start=1):
        layers[f"hidden{number}"] = parts.hidden(channels, width)
        channels = width
    if options.dropout:
        layers["dropout"] = parts.dropout(options.dropout)
    return parts.network(layers, channels, classes)


def _problems(
    options: ResidualOptions, widths: tuple[int, ...], blocks: tuple[int, ...], in_shape: Shape
) -> Iterator[Problem]:
    if len(widths) != len(blocks):
        yield Problem("widths, blocks", f"{len(widths)} and {len(blocks)} layers", "one of each per layer")
    stem = options.stem
    for side in set(in_shape[1:]):
        size = size_after(side, stem.kernel, stem.stride, options.pooling, stem.pool)
        if size < 1:
            yield Problem("stem", f"leaves nothing of {side} pixels", "at least 1")
        for number in range(2, len(widths) + 1):
            if options.shortcut == "average" and size % 2:
                what = f"'average' meets {size} positions before layer {number}"
                yield Problem("shortcut", what, "an even number", try_instead="shortcut: conv")
                break
            size = (size + 1) // 2


def _block(parts: Parts, plan: Plan, shortcut: str, channels: tuple[int, int, int], stride: int) -> Residual:
    inputs, width, outputs = channels
    steps = [(inputs, width, 3, stride), (width, outputs, 3, 1)]
    if plan.bottleneck:
        steps = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
    fires, before, body = parts.fires, plan.kind == "ms", OrderedDict[str, nn.Module]()
    for number, step in enumerate(steps, start=1):
        if before:
            body[f"{fires}{number}"] = parts.firing()
        body[f"conv{number}"] = parts.conv(*step)
        body[f"norm{number}"] = parts.norm(step[1])
        if not before and (number < len(steps) or plan.kind == "sew"):
            body[f"{fires}{number}"] = parts.firing()
    side: Layers = OrderedDict()
    if stride != 1 or inputs != outputs:
        if before:
            side[fires] = parts.firing()
        if shortcut == "average" and stride != 1:
            side["pool"], stride = parts.pool("average", stride), 1
        side["conv"], side["norm"] = parts.conv(inputs, outputs, 1, stride), parts.norm(outputs)
        if plan.kind == "sew":
            side[fires] = parts.firing()
    return Residual(body, side, (fires, parts.firing()) if plan.kind == "post" else None)


for _name, _plan in PLANS.items():
    STUDENTS.register(_name)(partial(student, _plan))
    if _name in TWINS:
        TEACHERS.register(_name)(partial(twin, _plan))
