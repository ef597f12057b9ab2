"""One operator of an ONNX file to the builder's layers; see the specification of ONNX for what each means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from snn_deploy.convert.builder import RefusalError, one_per_channel, spread
from snn_deploy.convert.onnx_constants import Array
from snn_deploy.convert.onnx_file import Operation
from snn_deploy.convert.onnx_values import NOTHING, TO_FIRST, TO_LAST, Tensors, Value
from snn_deploy.graph.shapes import MAX_ELEMENTS, ShapeError

Read = Callable[[Tensors, Operation], Value]


def _conv(r: Tensors, o: Operation) -> Value:
    x = r.value(o, padded=True, first=True)
    weight, bias = r.weights(o, 1), r.constant(o, 2)
    rank = weight.ndim - 2
    stride = [int(n) for n in o.attributes.get("strides", [1] * rank)]
    dilation = [int(n) for n in o.attributes.get("dilations", [1] * rank)]
    before, after = _pads(o, r.builder.shape(x.terms)[1:], weight.shape[2:], stride, dilation)
    if any(x.pads):
        before = [a + b for a, b in zip(before, x.pads[:2], strict=True)]
        after = [a + b for a, b in zip(after, x.pads[2:], strict=True)]
    if before != after:
        weight, dilation = _widened(weight, before, after, dilation)
    padding = [max(pair) for pair in zip(before, after, strict=True)]
    terms = r.builder.convolution(
        o.where,
        x.terms,
        weight,
        bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(o.attributes.get("group", 1)),
    )
    return Value(terms)


def _widened(
    weight: Array, before: Sequence[int], after: Sequence[int], dilation: Sequence[int]
) -> tuple[Array, list[int]]:
    """Zeros around a kernel, so that the same padding on both sides gives the same windows: with p = max(a,
    b), p - a in front and p - b behind."""
    widest = [
        (k - 1) * d + 1 + max(a, b)
        for k, d, a, b in zip(weight.shape[2:], dilation, before, after, strict=True)
    ]
    if min(*before, *after) < 0 or prod(weight.shape[:2]) * prod(widest) > MAX_ELEMENTS:
        raise ShapeError(f"padding {list(before)} and {list(after)}")
    if any(d != 1 for d in dilation):
        sparse = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        wide = np.zeros((*weight.shape[:2], *sparse), weight.dtype)
        every: Any = (..., *(slice(None, None, d) for d in dilation))
        wide[every] = weight
        weight = wide
    around = [(max(a, b) - a, max(a, b) - b) for a, b in zip(before, after, strict=True)]
    return np.pad(weight, [(0, 0), (0, 0), *around]), [1] * len(around)


def _pads(
    o: Operation, size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Padding before and after, per axis."""
    automatic = o.attributes.get("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        given = [int(n) for n in o.attributes.get("pads", [0] * 2 * len(kernel))]
        return given[: len(kernel)], given[len(kernel) :]
    if automatic == "VALID":
        return [0] * len(kernel), [0] * len(kernel)
    before, after = [], []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        before.append(large if automatic == "SAME_LOWER" else small)
        after.append(small if automatic == "SAME_LOWER" else large)
    return before, after


def _linear(r: Tensors, o: Operation) -> Value:
    x, weight = r.value(o), r.weights(o, 1)
    if weight.ndim != 2 or int(o.attributes.get("transA", 0)):
        raise RefusalError(o.where, f"a product with a constant of shape {weight.shape}", "a matrix")
    weight = weight if int(o.attributes.get("transB", 0)) else weight.T
    weight = weight * float(o.attributes.get("alpha", 1.0))
    bias = r.constant(o, 2)
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * float(o.attributes.get("beta", 1.0)), len(weight))
    if x.columns is not None:
        ordered = np.empty_like(weight)
        ordered[:, x.columns] = weight
        weight = ordered
    return Value(r.builder.linear(o.where, x.terms, weight, bias))


def _norm(r: Tensors, o: Operation) -> Value:
    x = r.value(o, first=True)
    if int(o.attributes.get("training_mode", 0)):
        raise RefusalError(o.where, "batch norm in training mode", "export in eval mode")
    gamma, beta, mean, variance = (r.weights(o, index).astype(np.float64) for index in (1, 2, 3, 4))
    scale = gamma / np.sqrt(variance + float(o.attributes.get("epsilon", 1e-5)))
    return replace(x, terms=r.builder.scaled(o.where, x.terms, scale, beta - scale * mean))


def _relu(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    return replace(x, terms=r.builder.rectified(o.where, x.terms))


def _clip(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    limits = [r.constant(o, 1), r.constant(o, 2)]
    low, high = (
        o.attributes.get(name) if found is None else float(found.reshape(-1)[0])
        for name, found in zip(("min", "max"), limits, strict=True)
    )
    if low != 0 or (high is not None and high <= 0):
        raise RefusalError(o.where, f"limits to {low} .. {high}", "a lower limit of 0: ReLU or ReLU6")
    endless = high is None or not np.isfinite(high) or high > 1e30
    return replace(x, terms=r.builder.rectified(o.where, x.terms, None if endless else float(high or 0)))


def _pool(r: Tensors, o: Operation) -> Value:
    x = r.value(o, first=True)
    kernel = [int(n) for n in o.attributes["kernel_shape"]]
    stride = [int(n) for n in o.attributes.get("strides", [1] * len(kernel))]
    dilation = [int(n) for n in o.attributes.get("dilations", [1] * len(kernel))]
    size = r.builder.shape(x.terms)[1:]
    if len(kernel) != 2 or any(d != 1 for d in dilation):
        raise RefusalError(o.where, f"'{o.kind}' with dilation or other axes", "a plain window")
    before, after = _pads(o, size, kernel, stride, dilation)
    beyond = [(sum(n) - k) % s for *n, k, s in zip(size, before, after, kernel, stride, strict=True)]
    if int(o.attributes.get("ceil_mode", 0)) and any(beyond):
        raise RefusalError(
            o.where, f"'{o.kind}' with ceil_mode, and a last window beyond an image of {size}", "ceil_mode=0"
        )
    if before != after:
        raise RefusalError(o.where, f"uneven padding {before} and {after}", "the same padding on both sides")
    if o.kind == "MaxPool":
        return Value(r.builder.maximum(o.where, x.terms, kernel, stride, before))
    if any(before) and not int(o.attributes.get("count_include_pad", 0)):
        raise RefusalError(o.where, "average pooling that does not count its padding", "count_include_pad=1")
    return Value(r.builder.average(o.where, x.terms, kernel, stride, before))


def _global(r: Tensors, o: Operation) -> Value:
    x = r.value(o, first=True)
    if o.kind == "GlobalMaxPool":
        return Value(r.builder.maximum(o.where, x.terms, r.builder.shape(x.terms)[1:]))
    return Value(r.builder.pooled_to(o.where, x.terms, (1, 1)))


def _axes(r: Tensors, o: Operation) -> list[int]:
    """The axes that an operator names, as an input or as an attribute."""
    given = r.constant(o, 1)
    return [int(n) for n in (o.attributes.get("axes", []) if given is None else given.reshape(-1))]


def _spatial(x: Value, axes: Sequence[int]) -> bool:
    """Whether ``axes`` of an image are its height and width."""
    return {axis % 4 for axis in axes} == ({1, 2} if x.last else {2, 3})


def _mean(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    axes = _axes(r, o)
    if len(r.builder.shape(x.terms)) != 3 or not _spatial(x, axes):
        raise RefusalError(o.where, f"a mean over the axes {axes}", "a mean over height and width")
    pooled = r.builder.pooled_to(o.where, x.terms, (1, 1))
    if int(o.attributes.get("keepdims", 1)):
        return Value(pooled, last=x.last)
    return Value(r.builder.flattened(f"{o.where}.flatten", pooled))


def _add(r: Tensors, o: Operation) -> Value:
    held = [index for index, tensor in enumerate(o.inputs) if tensor in r.values]
    if len(held) == len(o.inputs):
        first = r.value(o)
        terms = first.terms
        for index in held[1:]:
            other = r.value(o, index)
            if other.last != first.last or other.columns is not None or first.columns is not None:
                raise RefusalError(
                    o.where, "adds values with their axes in another order", "one order of axes"
                )
            terms = r.builder.add(o.where, terms, other.terms)
        return replace(first, terms=terms)
    x = r.value(o, held[0])
    shift = _per_channel(r, o, x, r.weights(o, 1 - held[0]))
    return replace(x, terms=r.builder.scaled(o.where, x.terms, np.ones(1), shift))


def _subtract(r: Tensors, o: Operation) -> Value:
    if o.inputs[1] in r.values:
        other = r.value(o, 1)
        negative = replace(other, terms=r.builder.scaled(o.where, other.terms, np.array(-1.0)))
        if o.inputs[0] in r.values:
            return replace(other, terms=r.builder.add(o.where, r.value(o).terms, negative.terms))
        shift = _per_channel(r, o, other, r.weights(o, 0))
        return replace(other, terms=r.builder.scaled(o.where, negative.terms, np.ones(1), shift))
    x = r.value(o)
    return replace(
        x, terms=r.builder.scaled(o.where, x.terms, np.ones(1), -_per_channel(r, o, x, r.weights(o, 1)))
    )


def _scale(r: Tensors, o: Operation) -> Value:
    held = [index for index, tensor in enumerate(o.inputs) if tensor in r.values]
    if len(held) > 1 or (o.kind == "Div" and held != [0]):
        raise RefusalError(
            o.where, f"'{o.kind}' of two activations", "a spike carries no value to multiply by"
        )
    x = r.value(o, held[0])
    factor = _per_channel(r, o, x, r.weights(o, 1 - held[0]))
    return replace(x, terms=r.builder.scaled(o.where, x.terms, 1.0 / factor if o.kind == "Div" else factor))


def _per_channel(r: Tensors, o: Operation, x: Value, constant: Array) -> Array:
    """``constant``, which broadcasts to a batch of ``x``, as one number per channel."""
    shown = spread(o.where, constant.astype(np.float64), r.shown(x))
    if x.columns is not None:
        ordered = np.empty_like(shown)
        ordered[x.columns] = shown
        shown = ordered
    return one_per_channel(o.where, np.moveaxis(shown, -1, 0) if x.last else shown)


def _flatten(r: Tensors, o: Operation) -> Value:
    if int(o.attributes.get("axis", 1)) != 1:
        raise RefusalError(o.where, "a flattening of the batch axis", "axis=1")
    return _flat(r, o, r.value(o))


def _flat(r: Tensors, o: Operation, x: Value) -> Value:
    shape = r.builder.shape(x.terms)
    if len(shape) == 1:
        return x
    terms = r.builder.flattened(o.where, x.terms)
    if not x.last or prod(shape[1:]) == 1:
        return Value(terms)
    return Value(terms, columns=np.moveaxis(np.arange(prod(shape)).reshape(shape), 0, -1).reshape(-1))


def _reshape(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    first, *rest = (int(n) for n in r.weights(o, 1).reshape(-1))
    shown, own = r.shown(x), r.builder.shape(x.terms)
    if list(shown) == rest:
        return x
    if len(own) == len(rest) == 3 and prod(rest) > 0 and (own[0] == 1 or own[1:] == (1, 1)):
        for last in (True, False):  # one channel, or one position: another order of axes is a reshape
            if rest == list(r.shown(replace(x, last=last))):
                return replace(x, last=last)
    if len(rest) == 1 and rest[0] in (-1, prod(shown)) and first in (0, 1, -1):
        return _flat(r, o, x)
    raise RefusalError(o.where, f"changes the shape {shown} to {(first, *rest)}", "flatten")


def _squeeze(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    shape = r.builder.shape(x.terms)
    axes = _axes(r, o)
    if len(shape) != 3 or prod(shape[1:]) != 1 or not _spatial(x, axes):
        raise RefusalError(o.where, f"takes the axes {axes} away", "a flattening of one pixel")
    return Value(r.builder.flattened(o.where, x.terms))


def _transpose(r: Tensors, o: Operation) -> Value:
    x, order = r.value(o), tuple(int(n) for n in o.attributes.get("perm", ()))
    if len(r.builder.shape(x.terms)) == 3 and order == (TO_FIRST if x.last else TO_LAST):
        return replace(x, last=not x.last)
    raise RefusalError(o.where, f"orders the axes {order}", "channels first or last")


def _pad(r: Tensors, o: Operation) -> Value:
    x = r.value(o)
    given = r.constant(o, 1)
    amounts = [int(n) for n in (o.attributes["pads"] if given is None else given.reshape(-1))]
    value = r.constant(o, 2)
    fill = float(o.attributes.get("value", 0.0)) if value is None else float(value.reshape(-1)[0])
    rank = len(r.builder.shape(x.terms)) + 1
    if o.attributes.get("mode", "constant") != "constant" or fill != 0 or min(amounts) < 0 or rank != 4:
        raise RefusalError(o.where, "padding by something else than zeros", "zero padding")
    before, after = amounts[:rank], amounts[rank:]
    channel, height = (3, 1) if x.last else (1, 2)
    around = (before[height], before[height + 1], after[height], after[height + 1])
    if before[0] or after[0]:
        raise RefusalError(o.where, "pads the batch axis", "zero padding of images or channels")
    if before[channel] or after[channel]:
        x = replace(
            x, terms=r.builder.selected(o.where, x.terms, before=before[channel], after=after[channel])
        )
    return replace(x, pads=around) if around != NOTHING else x


def _slice(r: Tensors, o: Operation) -> Value:
    x = r.value(o, first=True)
    shape = r.builder.shape(x.terms)
    found: list[Any] = [r.constant(o, index) for index in (1, 2, 3, 4)]
    if found[0] is None:
        found = [o.attributes.get("starts"), o.attributes.get("ends"), o.attributes.get("axes"), None]
    starts, ends = ([int(n) for n in np.reshape(v, -1)] for v in found[:2])
    axes = (
        list(range(len(starts)))
        if found[2] is None
        else [int(n) % (len(shape) + 1) for n in np.reshape(found[2], -1)]
    )
    steps = [1] * len(starts) if found[3] is None else [int(n) for n in np.reshape(found[3], -1)]
    strides = {2: 1, 3: 1}
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = (1, *shape)[axis]
        whole = start == 0 and (axis == 0 or end >= size)
        if not whole or (step != 1 and axis not in strides) or step < 1 or len(shape) != 3:
            raise RefusalError(
                o.where, f"takes a part of axis {axis}", "every second position of the whole image"
            )
        if axis in strides:
            strides[axis] *= step
    if set(strides.values()) == {1}:
        return x
    return replace(x, terms=r.builder.selected(o.where, x.terms, step=(strides[2], strides[3])))


READ: dict[str, Read] = {
    "Conv": _conv, "Gemm": _linear, "MatMul": _linear, "BatchNormalization": _norm, "Relu": _relu,
    "Clip": _clip, "AveragePool": _pool, "MaxPool": _pool, "GlobalAveragePool": _global,
    "GlobalMaxPool": _global, "ReduceMean": _mean, "Add": _add, "Sum": _add, "Sub": _subtract,
    "Mul": _scale, "Div": _scale, "Flatten": _flatten, "Reshape": _reshape, "Squeeze": _squeeze,
    "Transpose": _transpose, "Pad": _pad, "Slice": _slice,
}  # fmt: skip
