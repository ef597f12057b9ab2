"""The tensors of an ONNX file while it is read: activations of the builder, and constants."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_deploy.convert.builder import AnnBuilder, RefusalError, Terms
from snn_deploy.convert.onnx_constants import Array
from snn_deploy.convert.onnx_file import Operation
from snn_deploy.graph.shapes import Shape

NOTHING = (0, 0, 0, 0)
TO_FIRST, TO_LAST = (0, 3, 1, 2), (0, 2, 3, 1)
SIZE_OF_BATCH = 0
"""What stands for the number of samples in shapes: in a Reshape, 0 keeps an axis."""


@dataclass(frozen=True, slots=True)
class Value:
    """An activation.

    Attributes:
        terms: as the builder has it, channels first.
        last: the file has its channels last.
        pads: zero padding (top, left, bottom, right) that the next convolution does.
        columns: of a flattened value, which of the builder's elements the file has at each place.
    """

    terms: Terms
    last: bool = False
    pads: tuple[int, int, int, int] = NOTHING
    columns: Array | None = None


@dataclass(frozen=True, slots=True)
class Tensors:
    """Values and constants by the names of their tensors, and the builder that makes layers of them."""

    builder: AnnBuilder
    values: dict[str, Value]
    constants: dict[str, Array]

    def shown(self, value: Value) -> Shape:
        """The shape of a value as the file has it, behind the batch."""
        shape = self.builder.shape(value.terms)
        return (*shape[1:], shape[0]) if value.last and len(shape) == 3 else shape

    def shape_of(self, value: Value) -> Array:
        """The shape of a value as the file has it, batch in front."""
        return np.array([SIZE_OF_BATCH, *self.shown(value)], np.int64)

    def value(
        self, operation: Operation, index: int = 0, *, padded: bool = False, first: bool = False
    ) -> Value:
        """The activation that an operation reads; ``padded``: it can take padding with it; ``first``: it
        takes the first axis behind the batch for the channels."""
        tensor = operation.inputs[index]
        if tensor not in self.values:
            raise RefusalError(operation.where, "a constant where an activation belongs", "plain layers")
        found = self.values[tensor]
        if any(found.pads) and not padded:
            raise RefusalError(
                operation.where, f"'{operation.kind}' behind a padding", "pad in a convolution"
            )
        if found.last and first:
            raise RefusalError(
                operation.where, f"'{operation.kind}' of a value with channels last", "channels first"
            )
        return found

    def constant(self, operation: Operation, index: int) -> Array | None:
        """The constant that an operation reads; None where it has no such input."""
        if len(operation.inputs) <= index or not operation.inputs[index]:
            return None
        tensor = operation.inputs[index]
        if tensor not in self.constants:
            raise RefusalError(
                operation.where, f"input {index} of '{operation.kind}' is computed", "constants"
            )
        return self.constants[tensor]

    def weights(self, operation: Operation, index: int) -> Array:
        """A constant that must be there."""
        found = self.constant(operation, index)
        if found is None:
            raise RefusalError(operation.where, f"'{operation.kind}' without its input {index}", "all inputs")
        return found
