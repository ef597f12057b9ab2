"""Load ONNX files that nobody vouches for, and open up ours: expose and replace the spikes of layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from snn_deploy.errors import DataError
from snn_deploy.simulate.onnx_info import OnnxInfo, Value

MAX_FILE_BYTES = 2**31
FORCED = ".forced"


def load_model(path: Path) -> onnx.ModelProto:
    """Read and check an ONNX file; external data, foreign operators and functions are refused.

    Raises:
        DataError: missing, too large, damaged, or refused.
    """
    if not path.is_file():
        raise DataError(f"There is no ONNX file at '{path}'.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"'{path}' is larger than {MAX_FILE_BYTES} bytes.")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
        _refuse_foreign_parts(model, path)
        onnx.checker.check_model(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError, RuntimeError) as error:
        text = str(error).strip().partition("\n")[0]
        raise DataError(f"'{path}' is not a sound ONNX file: {text}") from None
    return model


def _refuse_foreign_parts(model: onnx.ModelProto, path: Path) -> None:
    if model.functions or model.training_info:
        raise DataError(f"'{path}' holds functions or training graphs; neither is expected.")
    for graph in _graphs(model.graph):
        for tensor in _tensors(graph):
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                raise DataError(f"'{path}' keeps the data of '{tensor.name}' in another file.")
        for node in graph.node:
            if node.domain not in {"", "ai.onnx"}:
                raise DataError(f"'{path}' uses the operator '{node.domain}.{node.op_type}'.")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def opened(model: onnx.ModelProto, info: OnnxInfo, *, record: bool, forced: Sequence[str]) -> onnx.ModelProto:
    """A copy of ``model`` with layers' spikes as further outputs and ``forced`` layers replaced by inputs.

    New outputs have the layers' names (a scan's: ``NAME_seq``), new inputs end in ``.forced``.

    Raises:
        DataError: the model does not have the tensors its metadata name.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    scan = next((node for node in copy.graph.node if node.op_type == "Scan"), None)
    if (scan is not None) != (info.kind == "scan"):
        raise DataError(f"The metadata call the model a '{info.kind}'; its operators say otherwise.")
    body = copy.graph if scan is None else _body(scan)
    shapes = {layer.name: layer for layer in info.layers}
    made = {name for node in body.node for name in node.output}
    if missing := [name for name in shapes if name not in made]:
        raise DataError(f"The model has no tensors for the layers {', '.join(missing)}.")
    for name in forced:
        _replace_input(body, name)
        body.input.append(_like(shapes[name], name + FORCED))
    if record:
        body.output.extend(_like(layer, layer.name) for layer in info.layers)
    if scan is not None:
        scan.input.extend(f"{name}{FORCED}" for name in forced)
        copy.graph.input.extend(_like(shapes[name], name + FORCED, "time") for name in forced)
        for attribute in scan.attribute:
            if attribute.name == "num_scan_inputs":
                attribute.i += len(forced)
        if record:
            scan.output.extend(f"{layer.name}_seq" for layer in info.layers)
            copy.graph.output.extend(_like(layer, f"{layer.name}_seq", "time") for layer in info.layers)
    return copy


def _body(scan: onnx.NodeProto) -> onnx.GraphProto:
    return next(attribute.g for attribute in scan.attribute if attribute.name == "body")


def _replace_input(graph: onnx.GraphProto, name: str) -> None:
    for node in graph.node:
        for position, source in enumerate(node.input):
            if source == name:
                node.input[position] = name + FORCED


def _like(layer: Value, name: str, *leading: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [*leading, "batch", *layer.shape])


def check_interface(model: onnx.ModelProto, info: OnnxInfo, where: str) -> None:
    """Inputs and outputs of ``model`` are those of its metadata, by name and rank.

    Raises:
        DataError: they are not.
    """
    step = info.kind == "step"
    axes = 1 if step else 2
    inputs = {info.input.name: len(info.input.shape) + axes}
    outputs = {info.output.name: len(info.output.shape) + axes}
    for state in info.states:
        outputs[state.output] = len(state.shape) + 1
        if step:
            inputs[state.input] = len(state.shape) + 1
    for what, expected, found in (
        ("inputs", inputs, _ranks(model.graph.input)),
        ("outputs", outputs, _ranks(model.graph.output)),
    ):
        if expected != found:
            raise DataError(f"The {what} of '{where}' are {found}; its metadata say {expected} (name: axes).")


def _ranks(values: Sequence[onnx.ValueInfoProto]) -> Mapping[str, int]:
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}
