"""Golden rows about weights, convolutions, pooling and the order of a flattened image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nir
import numpy as np

from snn_deploy.conformance.golden import Floats, Golden, array, dense, plain_row

IMAGE = (2, 4, 5)
"""Channels, height and width: all different."""


def weights() -> list[Golden]:
    """Dense layers and factors."""
    matrix = ((0.5, -0.25, 1.0), (0.125, 0.75, -0.5))
    return [
        plain_row("Linear", "weights", "a matrix without biases", {"w": nir.Linear(array(matrix))}, (3,)),
        plain_row("Affine", "weights", "a matrix and its biases", {"w": dense(matrix, (0.5, -0.25))}, (3,)),
        plain_row("Scale", "weights", "a factor per element", {"s": nir.Scale(array((0.5, 2, -1)))}, (3,)),
        plain_row(
            "two layers",
            "weights",
            "both are executed",
            {"w1": dense(matrix, (0.25, 0.5)), "w2": dense(((1, -2), (0.5, 0.25), (-1, 1)), (0.5, 0, -0.5))},
            (3,),
        ),
    ]


def _kernel(out: int, inputs: int, *size: int) -> Floats:
    """Quarters that differ along every axis."""
    count = out * inputs * int(np.prod(size))
    return array((np.arange(count) * 5 % 13 - 6) / 4).reshape(out, inputs, *size)


def _conv(
    *,
    kernel: tuple[int, int] = (3, 3),
    stride: Any = (1, 1),
    padding: Any = (0, 0),
    dilation: Any = (1, 1),
    groups: int = 1,
    bias: Sequence[float] = (0.5, -0.25, 0.0, 1.0),
) -> nir.Conv2d:
    weight = _kernel(4, 2 // groups, *kernel)
    return nir.Conv2d(IMAGE[1:], weight, stride, padding, dilation, groups, array(bias))


def convolutions() -> list[Golden]:
    """One trait of a convolution each."""
    rows = {
        "Conv2d": ("kernel and biases", _conv()),
        "Conv2d, no bias": ("biases of 0", _conv(bias=(0, 0, 0, 0))),
        "Conv2d, stride": ("steps of 2 and 1", _conv(stride=(2, 1))),
        "Conv2d, padding": ("zeros around the image", _conv(padding=(1, 2))),
        "Conv2d, dilation": ("a kernel with gaps", _conv(kernel=(2, 2), dilation=(2, 1))),
        "Conv2d, groups": ("channels in groups", _conv(groups=2)),
        "Conv2d, 1 x 3": ("kernel sizes that differ", _conv(kernel=(1, 3))),
    }
    found = [
        plain_row(name, "convolutions", tells, {"c": node}, IMAGE) for name, (tells, node) in rows.items()
    ]
    line = nir.Conv1d(6, _kernel(3, 2, 3), 2, 1, 1, 1, array((0.5, 0, -0.5)))
    return [*found, plain_row("Conv1d", "convolutions", "along one axis", {"c": line}, (2, 6))]


def pooling() -> list[Golden]:
    """Sums and averages over windows."""

    def pool(
        kind: Callable[..., nir.NIRNode], kernel: Any, stride: Any, padding: Any = (0, 0)
    ) -> nir.NIRNode:
        return kind(np.array(kernel), np.array(stride), np.array(padding))

    rows = {
        "SumPool2d": ("sums of windows", pool(nir.SumPool2d, (2, 2), (2, 2))),
        "AvgPool2d": ("averages of windows", pool(nir.AvgPool2d, (2, 2), (2, 2))),
        "SumPool2d, overlapping": ("windows that share elements", pool(nir.SumPool2d, (3, 2), (1, 2))),
        "AvgPool2d, overlapping": ("windows that share elements", pool(nir.AvgPool2d, (3, 2), (1, 2))),
        "SumPool2d, padding": ("zeros around the image", pool(nir.SumPool2d, (2, 2), (2, 2), (1, 1))),
        "AvgPool2d, padding": ("zeros count", pool(nir.AvgPool2d, (2, 2), (2, 2), (1, 1))),
    }
    same = [plain_row(name, "pooling", tells, {"p": node}, IMAGE) for name, (tells, node) in rows.items()]
    behind = {"c": _conv(padding=(1, 1)), "p": pool(nir.AvgPool2d, (2, 2), (2, 2))}
    return [*same, plain_row("a pool behind a layer", "pooling", "it is executed", behind, IMAGE)]


def flattening() -> list[Golden]:
    """The order of a flattened image; the file counts axes without a batch."""
    head = dense(np.arange(80).reshape(2, 40) % 7 / 4 - 0.75)

    def flat(first: int, last: int) -> nir.NIRNode:
        return nir.Flatten({"input": np.array(IMAGE)}, first, last)

    return [
        plain_row("Flatten", "flatten", "axis 0 to the last", {"f": flat(0, -1), "w": head}, IMAGE),
        plain_row("Flatten, negative", "flatten", "axis -3 to -1", {"f": flat(-3, -1), "w": head}, IMAGE),
        plain_row("Flatten, from axis 1", "flatten", "the channels stay", {"f": flat(1, -1)}, IMAGE),
    ]
