"""What an ONNX file may make the runtime do: a list of operators, and a bound on every tensor.

ONNX Runtime does what a file says: a Loop of 2**62 rounds never ends, a ConstantOfShape of 2**40 elements
takes the machine's memory. Only operators that our own files use are let in, none of which computes with
integers, so every size follows from the file's constants and the input; and every tensor must have a known
size behind its time and batch axes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import onnx
from onnx import TensorProto

from snn_deploy.core.errors import DataError, Problem
from snn_deploy.graph.shapes import MAX_ELEMENTS

_INTEGER = {"Shape", "Slice", "Concat", "Expand", "QuantizeLinear"}
"""Operators that may give integers."""

OPERATORS = {
    "Add", "AveragePool", "Cast", "Ceil", "ConstantOfShape", "Conv", "DequantizeLinear", "Div", "Flatten",
    "Floor", "Gather", "GatherElements", "Gemm", "Greater", "GreaterOrEqual", "Identity", "Max", "Min", "Mul",
    "Not", "Reshape", "Scan", "Squeeze", "Sub", "Unsqueeze", "Where", *_INTEGER,
}  # fmt: skip

_FREE_AXES = 2
"""Time and batch; the unknown sizes of other axes are refused."""

_REAL = {TensorProto.FLOAT, TensorProto.BOOL}


def check_operators(model: onnx.ModelProto, where: str) -> None:
    """Only operators and constants of the kinds that our files have, and at most one Scan, outermost.

    Raises:
        DataError: something else; all operators that are not let in are named.
    """
    if model.functions or model.training_info:
        raise DataError(f"'{where}' holds functions or training graphs; neither is expected.")
    newest = onnx.defs.onnx_opset_version()
    faults = [
        Problem("model", f"operator set {entry.version}", rule=f"1 to {newest}")
        for entry in model.opset_import
        if not 0 < entry.version <= newest
    ]
    for depth, graph in _graphs(model.graph):
        faults += [
            Problem(tensor.name, "keeps its data in another file")
            for tensor in tensors_of(graph)
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data
        ]
        if graph.sparse_initializer:
            faults.append(Problem(graph.name, "holds sparse constants"))
        for node in graph.node:
            known = node.domain in {"", "ai.onnx"} and node.op_type in OPERATORS
            if not known or (node.op_type == "Scan" and depth):
                kind = f"{node.domain}.{node.op_type}".lstrip(".")
                faults.append(Problem(node.name or kind, f"the operator '{kind[:80]}'"))
    if sum(node.op_type == "Scan" for node in model.graph.node) > 1:
        faults.append(Problem("Scan", "more than one"))
    if faults:
        raise DataError(f"'{where}' holds what our ONNX files do not hold.", problems=faults[:20])


def check_sizes(model: onnx.ModelProto | bytes, where: str) -> None:
    """Every tensor of a model (or of its bytes) has a known size, apart from time and batch, of at most
    ``MAX_ELEMENTS``.

    Raises:
        DataError: one has not; or shapes and types contradict each other.
    """
    try:
        known = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, ValueError, RuntimeError) as error:
        text = " ".join(str(error).split())[:200]
        raise DataError(f"The shapes in '{where}' contradict each other: {text}") from None
    inputs = [(value.name, _fault(value.type.tensor_type, "an input")) for value in known.graph.input]
    faults = [Problem(name, fault) for name, fault in inputs if fault]
    for _, graph in _graphs(known.graph):
        values = {value.name: value.type.tensor_type for value in (*graph.value_info, *graph.output)}
        makers = {name: node.op_type for node in graph.node for name in node.output if name}
        faults += [
            Problem(name, fault)
            for name, maker in makers.items()
            if (fault := _fault(values.get(name), maker))
        ]
    if faults:
        rule = f"known sizes of at most {MAX_ELEMENTS} elements per step and sample"
        problems = [Problem(fault.where, fault.what, rule=rule) for fault in faults[:20]]
        raise DataError(f"'{where}' holds tensors that cannot be bounded.", problems=problems)


def _fault(value: onnx.TypeProto.Tensor | None, maker: str) -> str:
    """Why the output ``value`` of an operator ``maker`` is not let in; empty if it is."""
    if value is None or not value.HasField("shape"):
        return "its shape is unknown"
    if value.elem_type not in _REAL and maker not in _INTEGER:
        return f"{maker} of integers"
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in value.shape.dim]
    if None in sizes[_FREE_AXES:]:
        return f"the shape {_text(value)}"
    if prod(size for size in sizes if size is not None) > MAX_ELEMENTS:
        return f"the shape {_text(value)}"
    return ""


def _text(value: onnx.TypeProto.Tensor) -> str:
    return str([d.dim_value if d.HasField("dim_value") else d.dim_param or "?" for d in value.shape.dim])


def _graphs(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[int, onnx.GraphProto]]:
    yield depth, graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner, depth + 1)


def tensors_of(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """The constants of ``graph``: initializers, and those in attributes of its operators."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
