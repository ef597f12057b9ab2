"""Output shapes of NIR nodes, computed exactly (without the T and B axes).

The type check of NIR 1.0.8 uses the kernel height for both axes and takes the input channels of a grouped
convolution from its weight; the rules below are those of the operations themselves:

    conv, pool:  out = floor((in + pad_before + pad_after - dilation (kernel - 1) - 1) / stride) + 1
    "same":      pad_before + pad_after = dilation (kernel - 1), the odd element after; stride 1 only
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import nir
import numpy as np

Shape = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]

MAX_ELEMENTS = 2**26

MAX_AXIS = 2**20
"""Longest kernel, stride, dilation or padding along an axis."""

NEURON_FIELDS: dict[type[nir.NIRNode], tuple[str, ...]] = {
    nir.I: ("r",),
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LI: ("tau", "r", "v_leak"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
    nir.Threshold: ("threshold",),
    nir.Delay: ("delay",),
    nir.Scale: ("scale",),
}
"""Per element-wise node, its parameters; each broadcasts to the node's input shape."""


class ShapeError(ValueError):
    """A node cannot take its input; the text says why, with the numbers."""


def axes(value: Any, count: int) -> tuple[int, ...]:
    """A stride, dilation or kernel size, given once or per axis, as ``count`` integers."""
    values = np.asarray(value).reshape(-1)
    if values.size not in (1, count) or not np.issubdtype(values.dtype, np.number):
        raise ShapeError(f"expected 1 or {count} integers, found {value!r}")
    numbers = tuple(int(v) for v in values)
    if any(number != v for number, v in zip(numbers, values, strict=True)):
        raise ShapeError(f"expected integers, found {value!r}")
    if any(abs(number) > MAX_AXIS for number in numbers):
        raise ShapeError(f"{value!r} is beyond {MAX_AXIS} pixels")
    return numbers * count if len(numbers) == 1 else numbers


def pads(node: nir.NIRNode, kernel: Sequence[int], dilation: Sequence[int], stride: Sequence[int]) -> Pads:
    """Zero padding ``(before, after)`` per spatial axis of a convolution or pool."""
    padding = node.padding
    if isinstance(padding, bytes):
        padding = padding.decode(errors="replace")
    if isinstance(padding, str):
        if padding == "valid":
            return tuple((0, 0) for _ in kernel)
        if padding != "same":
            raise ShapeError(f"padding is '{padding}'; known: 'same', 'valid' or integers")
        if any(s != 1 for s in stride):
            raise ShapeError(f"padding 'same' needs stride 1, found {tuple(stride)}")
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((t // 2, t - t // 2) for t in total)
    return tuple((p, p) for p in axes(padding, len(kernel)))


def _windows(spatial: Shape, kernel: Shape, stride: Shape, dilation: Shape, padding: Pads) -> Shape:
    if min(*kernel, *stride, *dilation, 1) < 1 or min(min(pair) for pair in padding) < 0:
        found = f"kernel {kernel}, stride {stride}, dilation {dilation}, padding {padding}"
        raise ShapeError(f"{found}: padding must be >= 0, the others >= 1")
    out = []
    for size, k, s, d, (before, after) in zip(spatial, kernel, stride, dilation, padding, strict=True):
        room = size + before + after - d * (k - 1) - 1
        if room < 0:
            raise ShapeError(
                f"a window of {d * (k - 1) + 1} does not fit an input of {size + before + after}"
            )
        out.append(room // s + 1)
    return tuple(out)


def _convolved(node: nir.Conv1d | nir.Conv2d, shape: Shape) -> Shape:
    rank = 1 if isinstance(node, nir.Conv1d) else 2
    weight = np.asarray(node.weight)
    if weight.ndim != rank + 2:
        raise ShapeError(f"weight has {weight.ndim} axes; {type(node).__name__} needs {rank + 2}")
    if len(shape) != rank + 1:
        raise ShapeError(f"input {shape} has {len(shape)} axes; {type(node).__name__} needs {rank + 1}")
    groups = axes(node.groups, 1)[0]
    channels_out, per_group = weight.shape[:2]
    if groups < 1 or channels_out % groups:
        raise ShapeError(f"{channels_out} output channels do not divide into {groups} groups")
    if per_group * groups != shape[0]:
        raise ShapeError(
            f"weights expect {per_group * groups} input channels, the input {shape} has {shape[0]}"
        )
    bias = np.asarray(node.bias)
    if bias.shape != (channels_out,):
        raise ShapeError(f"bias has shape {bias.shape}; expected {(channels_out,)}")
    kernel = tuple(weight.shape[2:])
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    padding = pads(node, kernel, dilation, stride)
    return (channels_out, *_windows(shape[1:], kernel, stride, dilation, padding))


def _pooled(node: nir.AvgPool2d | nir.SumPool2d, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ShapeError(f"input {shape} has {len(shape)} axes; a 2-D pool needs (C, H, W)")
    kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
    padding = pads(node, kernel, (1, 1), stride)
    if any(2 * before > k for (before, _), k in zip(padding, kernel, strict=True)):
        raise ShapeError(f"padding {node.padding!r} is more than half of the kernel {kernel}")
    return (shape[0], *_windows(shape[1:], kernel, stride, (1, 1), padding))


def flatten_axes(node: nir.Flatten, rank: int) -> tuple[int, int]:
    """First and last flattened axis of an input of ``rank`` axes (no batch axis), both non-negative."""
    return flatten_range(axes(node.start_dim, 1)[0], axes(node.end_dim, 1)[0], rank)


def flatten_range(start: int, end: int, rank: int) -> tuple[int, int]:
    """``start`` and ``end`` as non-negative axes of an input of ``rank`` axes."""
    first, last = (axis + rank if axis < 0 else axis for axis in (start, end))
    if not 0 <= first <= last < rank:
        raise ShapeError(f"cannot flatten axes {start} to {end} of {rank} axes")
    return first, last


def _flattened(node: nir.Flatten, shape: Shape) -> Shape:
    first, last = flatten_axes(node, len(shape))
    return (*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :])


def _mapped(node: nir.Affine | nir.Linear, shape: Shape) -> Shape:
    weight = np.asarray(node.weight)
    if weight.ndim != 2:
        raise ShapeError(f"weight has {weight.ndim} axes; only (out, in) is supported")
    if shape != (weight.shape[1],):
        raise ShapeError(f"weights {weight.shape} expect an input of ({weight.shape[1]},), found {shape}")
    if isinstance(node, nir.Affine) and np.asarray(node.bias).shape != (weight.shape[0],):
        raise ShapeError(f"bias has shape {np.asarray(node.bias).shape}; expected {(weight.shape[0],)}")
    return (int(weight.shape[0]),)


def _elementwise(node: nir.NIRNode, shape: Shape) -> Shape:
    for name in NEURON_FIELDS[type(node)]:
        found = np.shape(getattr(node, name))
        try:
            fits = np.broadcast_shapes(found, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            raise ShapeError(f"'{name}' has shape {found}; it does not broadcast to the input {shape}")
    return shape


def output_shape(node: nir.NIRNode, shape: Shape) -> Shape:
    """Shape of the output of ``node`` for an input of ``shape``.

    Raises:
        ShapeError: the node cannot take this input, or its output is absurdly large.
    """
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        out = _convolved(node, shape)
    elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        out = _pooled(node, shape)
    elif isinstance(node, nir.Flatten):
        out = _flattened(node, shape)
    elif isinstance(node, nir.Affine | nir.Linear):
        out = _mapped(node, shape)
    elif type(node) in NEURON_FIELDS:
        out = _elementwise(node, shape)
    else:
        out = shape
    if int(np.prod(out, dtype=object)) > MAX_ELEMENTS:
        raise ShapeError(f"output {out} has more than {MAX_ELEMENTS} elements")
    return out


def intrinsic_shape(node: nir.NIRNode) -> Shape | None:
    """The output shape that a node's own parameters imply; None when they leave it open."""
    if isinstance(node, nir.Affine | nir.Linear) and np.ndim(node.weight) == 2:
        return (int(np.shape(node.weight)[0]),)
    for name in NEURON_FIELDS.get(type(node), ()):
        found = tuple(int(n) for n in np.shape(getattr(node, name)))
        if found:
            return found
    return None


def declared_shape(node: nir.Input | nir.Output) -> Shape | None:
    """The shape that an Input or Output node declares, or None.

    Raises:
        ShapeError: not a list of positive integers.
    """
    types = node.input_type if isinstance(node, nir.Input) else node.output_type
    value = types.get("input" if isinstance(node, nir.Input) else "output") if types else None
    if value is None:
        return None
    numbers = np.asarray(value).reshape(-1)
    if not np.issubdtype(numbers.dtype, np.integer) or (numbers < 1).any():
        raise ShapeError(f"declares the shape {value!r}; expected positive integers")
    return tuple(int(n) for n in numbers)


def shapes_from_input(nodes: Mapping[str, nir.NIRNode], edges: Sequence[tuple[str, str]]) -> dict[str, Shape]:
    """Output shapes that follow from the input's alone; unknown nodes keep the shape of what enters them.

    Raises:
        ShapeError: a node cannot take its input.
    """
    inputs = {name: declared_shape(node) for name, node in nodes.items() if isinstance(node, nir.Input)}
    shapes = {name: shape for name, shape in inputs.items() if shape is not None}
    follow: dict[str, list[str]] = {}
    for a, b in edges:
        follow.setdefault(a, []).append(b)
    waiting = list(shapes)
    while waiting:
        name = waiting.pop()
        for target in follow.get(name, ()):
            if target not in shapes and target in nodes:
                try:
                    shapes[target] = output_shape(nodes[target], shapes[name])
                except ShapeError as error:
                    raise ShapeError(f"{target}: {error}") from None
                waiting.append(target)
    return shapes
