"""One operation of an exported torch program to the builder's layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from snn_deploy.convert.builder import AnnBuilder, RefusalError, Terms, one_per_channel, spread

BATCH = 2
"""Samples of the example that a module is followed with."""

Array = npt.NDArray[Any]
Arguments = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Traced:
    """Values and constants by the operations that give them, and the builder that makes layers of them."""

    builder: AnnBuilder
    values: dict[fx.Node, Terms]
    constants: dict[fx.Node, torch.Tensor]

    def value(self, operand: Any, where: str) -> Terms:
        """The activation ``operand``."""
        if operand not in self.values:
            raise RefusalError(where, "a constant where an activation belongs", "plain layers")
        return self.values[operand]

    def constant(self, operand: Any, where: str) -> Array | None:
        """The constant ``operand``; None for None."""
        if operand is None:
            return None
        if isinstance(operand, fx.Node):
            if operand not in self.constants:
                raise RefusalError(where, "weights that are computed from the input", "constant weights")
            array: Array = self.constants[operand].detach().cpu().double().numpy()
            return array
        return np.asarray(operand, np.float64)

    def weights(self, operand: Any, where: str) -> Array:
        """The constant ``operand``, which must be there."""
        found = self.constant(operand, where)
        assert found is not None
        return found


Read = Callable[[Traced, str, Arguments], Terms]


def _conv(r: Traced, where: str, a: Arguments) -> Terms:
    return r.builder.convolution(
        where,
        r.value(a["input"], where),
        r.weights(a["weight"], where),
        r.constant(a["bias"], where),
        stride=a["stride"],
        padding=a["padding"],
        dilation=a["dilation"],
        groups=a["groups"],
    )


def _linear(r: Traced, where: str, a: Arguments) -> Terms:
    x = r.value(a["input"], where)
    return r.builder.linear(where, x, r.weights(a["weight"], where), r.constant(a["bias"], where))


def _norm(r: Traced, where: str, a: Arguments) -> Terms:
    mean, variance = r.constant(a["running_mean"], where), r.constant(a["running_var"], where)
    if mean is None or variance is None or a["training"]:
        raise RefusalError(
            where, "batch norm without running statistics", "track_running_stats=True, and eval()"
        )
    gamma, beta = r.constant(a["weight"], where), r.constant(a["bias"], where)
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + a["eps"])
    return r.builder.scaled(
        where, r.value(a["input"], where), scale, (0.0 if beta is None else beta) - scale * mean
    )


def _relu(r: Traced, where: str, a: Arguments) -> Terms:
    return r.builder.rectified(where, r.value(a["self"], where))


def _clamp(r: Traced, where: str, a: Arguments) -> Terms:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    if low != 0 or (high is not None and high <= 0):
        raise RefusalError(where, f"limits to {low} .. {high}", "a lower limit of 0: ReLU or ReLU6")
    return r.builder.rectified(where, r.value(a["self"], where), None if high is None else float(high))


def _relu6(r: Traced, where: str, a: Arguments) -> Terms:
    return r.builder.rectified(where, r.value(a["self"], where), 6.0)


def _average(r: Traced, where: str, a: Arguments) -> Terms:
    if a["ceil_mode"] or a["divisor_override"] is not None:
        raise RefusalError(where, "average pooling with ceil_mode or another divisor", "a plain window")
    if np.any(np.asarray(a["padding"])) and not a["count_include_pad"]:
        raise RefusalError(where, "average pooling that does not count its padding", "count_include_pad=True")
    return r.builder.average(where, r.value(a["self"], where), a["kernel_size"], a["stride"], a["padding"])


def _maximum(r: Traced, where: str, a: Arguments) -> Terms:
    if a["ceil_mode"] or np.any(np.asarray(a["dilation"]) != 1):
        raise RefusalError(where, "max pooling with ceil_mode or dilation", "a plain window")
    return r.builder.maximum(where, r.value(a["self"], where), a["kernel_size"], a["stride"], a["padding"])


def _adaptive(r: Traced, where: str, a: Arguments) -> Terms:
    return r.builder.pooled_to(where, r.value(a["self"], where), a["output_size"])


def _mean(r: Traced, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    rank = len(r.builder.shape(x)) + 1
    if a["dim"] is None or {axis % rank for axis in a["dim"]} != {2, 3} or rank != 4:
        raise RefusalError(where, f"a mean over the axes {a['dim']}", "a mean over height and width")
    pooled = r.builder.pooled_to(where, x, (1, 1))
    return pooled if a["keepdim"] else r.builder.flattened(f"{where}.flatten", pooled)


def _flatten(r: Traced, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    if a["start_dim"] != 1 or a["end_dim"] not in (-1, len(r.builder.shape(x))):
        raise RefusalError(where, f"flattens the axes {a['start_dim']} to {a['end_dim']}", "flatten(1)")
    return r.builder.flattened(where, x)


def _view(r: Traced, where: str, a: Arguments) -> Terms:
    first, *rest = a["size"] if "size" in a else a["shape"]
    if first not in (BATCH, -1):
        raise RefusalError(where, "folds the batch axis into another", "flatten(1)")
    return r.builder.reshaped(where, r.value(a["self"], where), rest)


def _add(r: Traced, where: str, a: Arguments) -> Terms:
    first, second = a["self"], a["other"]
    factor = float(a.get("alpha", 1))
    if first in r.values and second in r.values:
        if factor != 1:
            return r.builder.add(
                where, r.values[first], r.builder.scaled(where, r.values[second], np.array(factor))
            )
        return r.builder.add(where, r.values[first], r.values[second])
    x, constant = (first, second) if first in r.values else (second, first)
    shift = r.weights(constant, where) * factor
    return r.builder.scaled(where, r.values[x], np.ones(1), _per_channel(r, where, r.values[x], shift))


def _subtract(r: Traced, where: str, a: Arguments) -> Terms:
    if a["self"] in r.values:
        return _add(r, where, {**a, "alpha": -float(a.get("alpha", 1))})
    negative = r.builder.scaled(where, r.value(a["other"], where), np.array(-float(a.get("alpha", 1))))
    shift = _per_channel(r, where, negative, r.weights(a["self"], where))
    return r.builder.scaled(where, negative, np.ones(1), shift)


def _multiply(r: Traced, where: str, a: Arguments) -> Terms:
    first, second = a["self"], a["other"]
    if first in r.values and second in r.values:
        raise RefusalError(where, "a product of two activations", "a spike carries no value to multiply by")
    x, constant = (first, second) if first in r.values else (second, first)
    return r.builder.scaled(
        where, r.values[x], _per_channel(r, where, r.values[x], r.weights(constant, where))
    )


def _divide(r: Traced, where: str, a: Arguments) -> Terms:
    if a["self"] not in r.values or a["other"] in r.values:
        raise RefusalError(where, "a division by an activation", "constant factors")
    factor = 1.0 / r.weights(a["other"], where)
    x = r.values[a["self"]]
    return r.builder.scaled(where, x, _per_channel(r, where, x, factor))


def _per_channel(r: Traced, where: str, x: Terms, constant: Array) -> Array:
    """``constant``, which broadcasts to a batch of ``x``, as one number per channel."""
    return one_per_channel(where, spread(where, constant, r.builder.shape(x)))


def _slice(r: Traced, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    shape = r.builder.shape(x)
    axis, step = a["dim"] % (len(shape) + 1), int(a["step"])
    size = (BATCH, *shape)[axis]
    whole = (a["start"] or 0) == 0 and (a["end"] is None or a["end"] >= size)
    if whole and step == 1:
        return x
    if not whole or axis not in (2, 3) or len(shape) != 3:
        raise RefusalError(where, f"takes a part of axis {axis}", "every second position of the whole image")
    return r.builder.selected(where, x, step=(step, 1) if axis == 2 else (1, step))


def _pad(r: Traced, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    amounts = [int(n) for n in a["pad"]]
    if a.get("mode", "constant") != "constant" or (a.get("value") or 0) != 0 or min(amounts) < 0:
        raise RefusalError(where, "padding by something else than zeros", "zero padding")
    rank = len(r.builder.shape(x))
    spatial, channels = amounts[: 2 * (rank - 1)], amounts[2 * (rank - 1) : 2 * rank]
    if any(spatial):
        raise RefusalError(
            where, f"padding {amounts} that is not part of a layer", "padding of the layer itself"
        )
    return r.builder.selected(where, x, before=channels[0], after=channels[1]) if any(channels) else x


READ: dict[str, Read] = {
    "conv1d": _conv, "conv2d": _conv, "linear": _linear, "batch_norm": _norm, "relu": _relu, "relu6": _relu6,
    "hardtanh": _clamp, "clamp": _clamp, "clamp_min": _clamp, "avg_pool2d": _average, "max_pool2d": _maximum,
    "adaptive_avg_pool2d": _adaptive, "mean": _mean, "flatten": _flatten, "view": _view, "reshape": _view,
    "add": _add, "sub": _subtract, "mul": _multiply, "div": _divide, "slice": _slice, "pad": _pad,
    "constant_pad_nd": _pad,
}  # fmt: skip
