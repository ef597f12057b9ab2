"""Constants that an ONNX file computes from constants: shapes, paddings, transposed weights. Bounded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.convert.builder import RefusalError
from snn_deploy.convert.onnx_file import Operation
from snn_deploy.graph.shapes import MAX_ELEMENTS

Array = npt.NDArray[Any]
MAX_MADE = 4096
"""Elements of a constant that an operator makes out of a shape."""

Compute = Callable[[Operation, Sequence[Array]], Array]
_KINDS = {1: np.float32, 6: np.int32, 7: np.int64, 9: np.bool_, 11: np.float64}


def computed(operation: Operation, inputs: Sequence[Array]) -> Array:
    """The value of an operation whose inputs are all constants.

    Raises:
        RefusalError: it is not known, or its value is too large.
    """
    compute = COMPUTES.get(operation.kind)
    if compute is None:
        raise RefusalError(
            operation.where, f"the operator '{operation.kind}' on constants", "fold constants first"
        )
    try:
        value = compute(operation, inputs)
    except (ValueError, IndexError, TypeError, KeyError, ZeroDivisionError) as error:
        raise RefusalError(
            operation.where, f"'{operation.kind}' of constants that do not fit: {error}"
        ) from None
    if value.size > MAX_ELEMENTS:
        raise RefusalError(
            operation.where, f"a constant of {value.size} elements", rule=f"at most {MAX_ELEMENTS}"
        )
    return value


def _constant(o: Operation, _: Sequence[Array]) -> Array:
    (value,) = (
        o.attributes[k]
        for k in ("value", "value_float", "value_int", "value_floats", "value_ints")
        if k in o.attributes
    )
    return np.asarray(value)


def _filled(o: Operation, inputs: Sequence[Array]) -> Array:
    sizes = [int(n) for n in inputs[0].reshape(-1)]
    if min(sizes, default=1) < 0 or prod(sizes) > MAX_MADE:
        raise ValueError(f"sizes {sizes[:8]}")
    value = np.asarray(o.attributes.get("value", np.zeros(1, np.float32))).reshape(-1)
    return np.full(sizes, value[0])


def _axes(o: Operation, inputs: Sequence[Array]) -> list[int]:
    found = inputs[1] if len(inputs) > 1 else o.attributes.get("axes", ())
    return [int(n) for n in np.reshape(found, -1)]


def _unsqueezed(o: Operation, inputs: Sequence[Array]) -> Array:
    return np.expand_dims(inputs[0], tuple(_axes(o, inputs)))


def _squeezed(o: Operation, inputs: Sequence[Array]) -> Array:
    axes = _axes(o, inputs)
    return np.squeeze(inputs[0], tuple(axes) if axes else None)


def _reshaped(_: Operation, inputs: Sequence[Array]) -> Array:
    return inputs[0].reshape([int(n) for n in inputs[1].reshape(-1)])


def _sliced(o: Operation, inputs: Sequence[Array]) -> Array:
    x = inputs[0]
    if len(inputs) > 1:
        starts, ends = ([int(n) for n in v.reshape(-1)] for v in inputs[1:3])
        axes = [int(n) for n in inputs[3].reshape(-1)] if len(inputs) > 3 else list(range(len(starts)))
        steps = [int(n) for n in inputs[4].reshape(-1)] if len(inputs) > 4 else [1] * len(starts)
    else:
        starts, ends = o.attributes["starts"], o.attributes["ends"]
        axes, steps = o.attributes.get("axes", list(range(len(starts)))), [1] * len(starts)
    where: list[Any] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        end_at = None if step < 0 and end < -x.shape[axis] else end
        where[axis] = slice(start, end_at, step)
    found: Array = x[tuple(where)]
    return found


def _cast(o: Operation, inputs: Sequence[Array]) -> Array:
    return inputs[0].astype(_KINDS[int(o.attributes["to"])])


def _transposed(o: Operation, inputs: Sequence[Array]) -> Array:
    return np.transpose(inputs[0], o.attributes.get("perm"))


def _gathered(o: Operation, inputs: Sequence[Array]) -> Array:
    if inputs[1].size > MAX_MADE:
        raise ValueError(f"{inputs[1].size} indices")
    return np.take(inputs[0], inputs[1].astype(np.int64), axis=int(o.attributes.get("axis", 0)))


def _joined(o: Operation, inputs: Sequence[Array]) -> Array:
    return np.concatenate(inputs, axis=int(o.attributes["axis"]))


def _arithmetic(function: Callable[[Array, Array], Array]) -> Compute:
    def compute(_: Operation, inputs: Sequence[Array]) -> Array:
        if int(np.prod(np.broadcast_shapes(inputs[0].shape, inputs[1].shape))) > MAX_ELEMENTS:
            raise ValueError("too many elements")
        return np.asarray(function(inputs[0], inputs[1]))

    return compute


def _divided(a: Array, b: Array) -> Array:
    return a // b if np.issubdtype(a.dtype, np.integer) else a / b


COMPUTES: dict[str, Compute] = {
    "Constant": _constant, "ConstantOfShape": _filled, "Identity": lambda _, inputs: inputs[0],
    "Unsqueeze": _unsqueezed, "Squeeze": _squeezed, "Reshape": _reshaped, "Slice": _sliced, "Cast": _cast,
    "Transpose": _transposed, "Gather": _gathered, "Concat": _joined, "Add": _arithmetic(np.add),
    "Sub": _arithmetic(np.subtract), "Mul": _arithmetic(np.multiply), "Div": _arithmetic(_divided),
    "Shape": lambda _, inputs: np.array(inputs[0].shape, np.int64),
}  # fmt: skip
