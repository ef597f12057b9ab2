"""Load the ``.onnx`` file of an ANN that nobody vouches for: bounded, checked, with constants as arrays.

Nothing in the file is executed. Its operators are read one by one; what no reader knows is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.core.errors import DataError, Problem, UnsupportedError
from snn_deploy.graph.shapes import MAX_ELEMENTS
from snn_deploy.simulate.onnx.bounds import tensors_of
from snn_deploy.simulate.onnx.model_file import read_bounded, sound

Array = npt.NDArray[Any]

MAX_FILE_BYTES = 2**31 - 2**20
MAX_NODES = 20_000
OPSETS = (11, 26)
"""Operator sets that are read: what torch's and TensorFlow's exporters write."""


FUNCTIONS = {"Add", "Relu", "Clip"}
"""Operators that torch networks often call as functions."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator: ``where`` it is, its kind, names of inputs and outputs, attributes as Python values."""

    where: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]


@dataclass(frozen=True, slots=True)
class OnnxAnn:
    """A file, ready to be read: operations in order, constants, and the names of input and output."""

    operations: tuple[Operation, ...]
    constants: dict[str, Array]
    input: str
    shape: tuple[int, ...]
    output: str


def load_ann(path: Path) -> OnnxAnn:
    """Read and check ``path``.

    Raises:
        DataError: missing, too large, damaged, or of another operator set.
        UnsupportedError: several inputs or outputs, or an input whose size is not fixed.
    """
    content = read_bounded(path, MAX_FILE_BYTES)
    with sound(path):
        model = onnx.load_model_from_string(content)
        del content
        if faults := list(_faults(model)):
            raise DataError(f"'{path}' cannot be read.", problems=faults[:20])
        onnx.checker.check_model(model)
        constants = {tensor.name: _array(tensor) for tensor in model.graph.initializer}
        operations = tuple(_operation(node, number) for number, node in enumerate(model.graph.node))
    inputs = [value for value in model.graph.input if value.name not in constants]
    problems = []
    if len(inputs) != 1 or len(model.graph.output) != 1:
        found = f"{len(inputs)} inputs and {len(model.graph.output)} outputs"
        problems.append(Problem(path.name, found, rule="one input and one output"))
    sizes = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim[1:]] if inputs else []
    if inputs and (not sizes or min(sizes) < 1 or int(np.prod(sizes, dtype=object)) > MAX_ELEMENTS):
        problems.append(
            Problem(
                inputs[0].name,
                f"the input has the sizes {sizes} behind the batch",
                rule="fixed sizes behind the batch axis, which comes first",
                try_instead="export with a fixed height and width",
            )
        )
    if problems:
        raise UnsupportedError(f"'{path.name}' cannot be converted.", problems=problems)
    return OnnxAnn(operations, constants, inputs[0].name, tuple(sizes), model.graph.output[0].name)


def _faults(model: onnx.ModelProto) -> Iterator[Problem]:
    if model.functions or model.training_info or model.graph.sparse_initializer:
        yield Problem("model", "holds functions, training graphs or sparse constants")
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    version = opsets.get("", opsets.get("ai.onnx", 0))
    if not OPSETS[0] <= version <= OPSETS[1]:
        yield Problem("model", f"operator set {version}", rule=f"{OPSETS[0]} to {OPSETS[1]}")
    if len(model.graph.node) > MAX_NODES:
        yield Problem("model", f"{len(model.graph.node)} operators", rule=f"at most {MAX_NODES}")
    for tensor in tensors_of(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            yield Problem(
                tensor.name, "keeps its data in another file", rule="one file", try_instead="save in one"
            )
        elif min(tensor.dims, default=1) < 0 or int(np.prod(tensor.dims, dtype=object)) > MAX_ELEMENTS:
            yield Problem(
                tensor.name, f"has the shape {list(tensor.dims)[:8]}", rule=f"{MAX_ELEMENTS} elements"
            )
    for node in model.graph.node:
        if any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
            yield Problem(
                node.name or node.op_type, f"the operator '{node.op_type}' holds a graph", rule="none does"
            )


def _array(tensor: onnx.TensorProto) -> Array:
    return np.array(numpy_helper.to_array(tensor))


def _operation(node: onnx.NodeProto, number: int) -> Operation:
    values = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    plain = {
        name: _array(value)
        if isinstance(value, TensorProto)
        else value.decode(errors="replace")
        if isinstance(value, bytes)
        else value
        for name, value in values.items()
    }
    known = node.domain in {"", "ai.onnx"}
    kind = node.op_type if known else f"{node.domain}.{node.op_type}"
    return Operation(_where(node, number), kind, tuple(node.input), tuple(node.output), plain)


def _where(node: onnx.NodeProto, number: int) -> str:
    """Path of the layer: of ``/layer1/layer1.0/conv1/Conv`` it is ``layer1.0.conv1``, as torch called it; a
    function has its own name behind that of the module which calls it."""
    parts = [part for part in node.name.split("/") if part]
    path: list[str] = []
    for part in parts[:-1]:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    if not path or not parts[-1].startswith(node.op_type) or node.op_type in FUNCTIONS:
        path += [part.lower() for part in parts[-1:]]
    return ".".join(path) or f"{node.op_type.lower()}{number}"
