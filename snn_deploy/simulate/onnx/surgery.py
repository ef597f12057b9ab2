"""Open up our ONNX models: expose and replace the spikes of layers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.core.errors import DataError
from snn_deploy.graph.shapes import Shape
from snn_deploy.simulate.onnx.info import OnnxInfo, Value, at_step
from snn_deploy.simulate.onnx.part import body_of, keep_part, scan_of, tensors

FORCED = ".forced"
SEQ = "_seq"
_INDEX = "surgery/step"


def open_up(
    model: onnx.ModelProto, info: OnnxInfo, *, record: Sequence[Value], forced: Sequence[Value]
) -> None:
    """Make what the nodes ``record`` of ``model`` compute further outputs, and replace the nodes ``forced``
    by inputs: spiking layers, or any nodes of the graph that the model was made from.

    New outputs have the nodes' names (a sequence model's: ``NAME_seq``), new inputs end in ``.forced``.

    Raises:
        DataError: the model does not have the tensors its metadata name.
    """
    _check_nodes(model, info, [value.name for value in (*info.layers, *record, *forced)])
    _open(model, info, record, forced)


def open_part(
    model: onnx.ModelProto,
    info: OnnxInfo,
    *,
    record: Mapping[str, Shape],
    forced: Collection[str],
    shape: Callable[[str], Shape],
    output: bool,
) -> None:
    """As :func:`open_up`, without all that the nodes ``record`` do not need when the nodes ``forced`` are
    replaced; ``output``: with the network's. Only those of ``forced`` that are read become inputs, of the
    ``shape`` that is given for them."""
    _check_nodes(model, info, [*(layer.name for layer in info.layers), *record, *forced])
    keep_part(model, info, list(record), list(forced), output=output)
    read = {name for node in body_of(model).node for name in node.input}
    met = [name for name in forced if not read.isdisjoint(tensors(info, [name]))]
    recorded = [Value(name=name, shape=found) for name, found in record.items()]
    _open(model, info, recorded, [Value(name=name, shape=shape(name)) for name in met])


def _open(model: onnx.ModelProto, info: OnnxInfo, record: Sequence[Value], forced: Sequence[Value]) -> None:
    scan, body = scan_of(model), body_of(model)
    if info.kind == "unrolled":
        _open_unrolled(model.graph, int(info.timesteps or 0), forced, record)
        return
    _replace_inputs(body, {layer.name: layer.name + FORCED for layer in forced})
    body.input.extend(_like(layer, layer.name + FORCED) for layer in forced)
    body.output.extend(_like(layer, layer.name) for layer in record)
    if scan is not None:
        scan.input.extend(layer.name + FORCED for layer in forced)
        model.graph.input.extend(_like(layer, layer.name + FORCED, "time") for layer in forced)
        for attribute in scan.attribute:
            if attribute.name == "num_scan_inputs":
                attribute.i += len(forced)
        scan.output.extend(layer.name + SEQ for layer in record)
        model.graph.output.extend(_like(layer, layer.name + SEQ, "time") for layer in record)


def _check_nodes(model: onnx.ModelProto, info: OnnxInfo, nodes: Sequence[str]) -> None:
    if (scan_of(model) is not None) != (info.kind == "scan"):
        raise DataError(f"The metadata call the model a '{info.kind}'; its operators say otherwise.")
    made = {name for node in body_of(model).node for name in node.output}
    if missing := [name for name in dict.fromkeys(nodes) if not made.issuperset(tensors(info, [name]))]:
        raise DataError(f"The model has no tensors for the layers {', '.join(missing)}.")


def _open_unrolled(
    graph: onnx.GraphProto, steps: int, replaced: Sequence[Value], recorded: Sequence[Value]
) -> None:
    """Slice the given sequences into the steps, and stack the steps of the recorded ones."""
    before: list[onnx.NodeProto] = []
    names: dict[str, str] = {}
    if replaced or recorded:
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(t, np.int64), at_step(_INDEX, t)) for t in range(steps)
        )
        graph.initializer.append(numpy_helper.from_array(np.zeros(1, np.int64), _INDEX))
    for layer in replaced:
        given = layer.name + FORCED
        graph.input.append(_like(layer, given, steps))
        for t in range(steps):
            before.append(helper.make_node("Gather", [given, at_step(_INDEX, t)], [at_step(given, t)]))
            names[at_step(layer.name, t)] = at_step(given, t)
    _replace_inputs(graph, names)
    for layer in recorded:
        stack = layer.name + SEQ
        parts = [at_step(stack, t) for t in range(steps)]
        graph.node.extend(
            helper.make_node("Unsqueeze", [at_step(layer.name, t), _INDEX], [part])
            for t, part in enumerate(parts)
        )
        graph.node.append(helper.make_node("Concat", parts, [stack], axis=0))
        graph.output.append(_like(layer, stack, steps))
    if before:
        rest = list(graph.node)
        graph.ClearField("node")
        graph.node.extend([*before, *rest])


def _replace_inputs(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for node in graph.node:
        if not names.keys().isdisjoint(node.input):
            node.input[:] = [names.get(name, name) for name in node.input]


def _like(layer: Value, name: str, *leading: str | int) -> onnx.ValueInfoProto:
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
