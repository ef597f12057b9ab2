"""The torch functions that multiply weights or activations, and how their arguments are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from snn_deploy.synapses.maps import FanOut, Shape, Window, convolution_map, linear_map, transposed_map

Number = int | tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """Activity ``x`` that meets ``weight``; ``window`` is None for a linear map."""

    x: torch.Tensor
    weight: torch.Tensor
    window: Window | None = None
    transposed: bool = False

    def fan_out(self, source: Shape, target: Shape) -> FanOut:
        """Fan-out of every element of one row of ``x``."""
        if self.window is None:
            return linear_map(self.weight)
        make = transposed_map if self.transposed else convolution_map
        return make(self.weight, self.window, source, target)


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Two tensors that are multiplied: ``left [..., n, k]`` and ``right [..., k, m]``."""

    left: torch.Tensor
    right: torch.Tensor

    def weighted(self, is_weight: Callable[[torch.Tensor], bool]) -> Weighted | None:
        """The same as weights and activity where one of the two is a matrix of weights."""
        if self.right.ndim == 2 and is_weight(self.right):
            return Weighted(self.left, self.right.T)
        if self.left.ndim == 2 and is_weight(self.left):
            return Weighted(self.right.transpose(-1, -2), self.left)
        return None


Product = Weighted | Pairs


def _linear(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> Iterator[Product]:
    yield Weighted(x, weight if weight.ndim == 2 else weight.unsqueeze(0))


def _convolution(
    input: torch.Tensor,  # noqa: A002 - torch's name
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Number = 1,
    padding: Number | str = 0,
    dilation: Number = 1,
    groups: int = 1,
) -> Iterator[Product]:
    kernel = tuple(weight.shape[2:])
    steps, spread = _axes(stride, len(kernel)), _axes(dilation, len(kernel))
    yield Weighted(input, weight, Window(steps, _pads(padding, kernel, spread), spread, groups))


def _transposed(
    input: torch.Tensor,  # noqa: A002 - torch's name
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    stride: Number = 1,
    padding: Number = 0,
    output_padding: Number = 0,
    groups: int = 1,
    dilation: Number = 1,
) -> Iterator[Product]:
    kernel = tuple(weight.shape[2:])
    steps, spread = _axes(stride, len(kernel)), _axes(dilation, len(kernel))
    yield Weighted(input, weight, Window(steps, _pads(padding, kernel, spread), spread, groups), True)


def _matmul(
    input: torch.Tensor,  # noqa: A002 - torch's name
    other: torch.Tensor,
    **_: Any,
) -> Iterator[Product]:
    left = input.unsqueeze(0) if input.ndim == 1 else input
    yield Pairs(left, other.unsqueeze(1) if other.ndim == 1 else other)


def _reversed(input: torch.Tensor, other: torch.Tensor) -> Iterator[Product]:  # noqa: A002 - torch's name
    yield from _matmul(other, input)


def _added(_: torch.Tensor, left: torch.Tensor, right: torch.Tensor, **__: Any) -> Iterator[Product]:
    yield from _matmul(left, right)


PRODUCTS: dict[str, Callable[..., Iterator[Product]]] = {
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _transposed),
    **dict.fromkeys(("matmul", "__matmul__", "mm", "bmm", "mv", "dot"), _matmul),
    "__rmatmul__": _reversed,
    **dict.fromkeys(("addmm", "addmv", "baddbmm"), _added),
}
"""By the name of the torch function: what it multiplies."""

_SEVERAL = "several products in one call cannot be seen apart; write them as linear and matmul"
_OTHER = "only linear, convolution and matrix products are counted; write it as one of them"
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "scaled_dot_product_attention", "multi_head_attention_forward", "_native_multi_head_attention",
            "_transformer_encoder_layer_fwd", "rnn_tanh", "rnn_relu", "lstm", "gru", "rnn_tanh_cell",
            "rnn_relu_cell", "lstm_cell", "gru_cell",
        ),
        _SEVERAL,
    ),
    **dict.fromkeys(
        (
            "bilinear", "einsum", "tensordot", "chain_matmul", "multi_dot", "addbmm", "addmm_", "addmv_",
            "baddbmm_", "addbmm_", "conv_tbc", "inner", "outer", "ger", "vdot", "embedding_bag", "cdist",
        ),
        _OTHER,
    ),
}  # fmt: skip
"""Products that are not counted, and why."""


def _axes(value: Number, count: int) -> tuple[int, ...]:
    if isinstance(value, int):
        return (value,) * count
    return tuple(value) * count if len(value) == 1 else tuple(value)


def _pads(
    padding: Number | str, kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Zeros before and after per axis; "same" puts the odd one after, as torch does."""
    if padding == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    numbers = _axes(0 if isinstance(padding, str) else padding, len(kernel))
    return tuple((n, n) for n in numbers)
