"""Convolutions and pools on a CPU that use the silence of spikes; float32.

Each frame for itself takes the way that costs it less, so that which one a sample takes depends on nothing
beside it. See :mod:`snn_deploy.simulate.compiled.convolution` for the order of sums.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from snn_deploy.simulate.compiled import convolution as loops
from snn_deploy.simulate.compiled.convolution import Axes, Pair
from snn_deploy.simulate.threads import in_parts

Stateless = Callable[[torch.Tensor], torch.Tensor]

BUSY = 0.25
"""Share of a frame's values that are not 0 above which a dense convolution is faster; measured."""


class SilentConvolution:
    """A convolution ``[N, C, H, W] -> [N, O, H', W']``.

    Args:
        weight, bias: ``[O, C, KH, KW]`` and ``[O]``.
        stride, padding, dilation: per axis; padding before and after.
        dense: the same convolution for frames that are not silent.
    """

    def __init__(
        self,
        weight: torch.Tensor,
        bias: torch.Tensor,
        stride: Axes,
        padding: tuple[Pair, ...],
        dilation: Axes,
        dense: Stateless,
    ) -> None:
        self._geometry = ((weight.shape[2], weight.shape[3]), stride, padding, dilation, len(weight))
        # The order of the weights does not depend on the frames' size.
        self._weight = loops.kept_weight(weight.numpy(), loops.windows((1, 1), *self._geometry))
        self._bias = bias.numpy() if bias.any() else np.empty(0, np.float32)
        self._dense = dense

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        frames = x.permute(0, 2, 3, 1).contiguous()
        given = frames.numpy()
        counts = np.empty(len(given), np.int64)
        loops.count_values(given, counts)
        busy = counts > BUSY * given[0].size
        if busy.all():
            return self._dense(frames.permute(0, 3, 1, 2))
        where = loops.windows((x.shape[2], x.shape[3]), *self._geometry)
        y = frames.new_empty(len(given), where.height, where.width, len(self._weight[0, 0, 0]))
        out = y.numpy()

        def run(begin: int, end: int) -> None:
            loops.convolve(given, begin, end, busy, self._weight, self._bias, where.first, where.runs, out)

        in_parts(len(given), int(counts[~busy].sum()) * self._weight[0].size, run)
        if busy.any():
            chosen = torch.from_numpy(busy)
            y[chosen] = self._dense(frames[chosen].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return y.permute(0, 3, 1, 2)


def pool(kernel: Axes, stride: Axes, padding: Axes, divisor: int) -> Stateless:
    """Sums over windows, divided: ``[N, C, H, W] -> [N, C, H', W']``."""
    scale = np.float32(divisor)

    def pooled(x: torch.Tensor) -> torch.Tensor:
        frames = x.permute(0, 2, 3, 1).contiguous()
        size = [(x.shape[2 + k] + 2 * padding[k] - kernel[k]) // stride[k] + 1 for k in range(2)]
        y = frames.new_empty(len(x), *size, x.shape[1])
        given, out = frames.numpy(), y.numpy()

        def run(begin: int, end: int) -> None:
            loops.pool(given, begin, end, kernel, stride, padding, scale, out)

        in_parts(len(given), given.size, run)
        return y.permute(0, 3, 1, 2)

    return pooled
