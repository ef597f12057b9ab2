"""The part of one of our ONNX models that computes some nodes: its own operators and constants, without the
others, so that one node can be run at a time."""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from snn_deploy.simulate.onnx.info import OnnxInfo, at_step


def tensors(info: OnnxInfo, names: Sequence[str]) -> list[str]:
    """What the model calls the outputs of the nodes ``names``; where it is unrolled, one per step."""
    if info.kind != "unrolled":
        return list(names)
    return [at_step(name, t) for name in names for t in range(info.timesteps or 0)]


def keep_part(
    model: onnx.ModelProto, info: OnnxInfo, record: Sequence[str], given: Sequence[str], *, output: bool
) -> None:
    """Leave in ``model`` what the nodes ``record`` need, and the network's output where it is asked for.

    The nodes ``given`` are to be replaced by inputs: what makes them is left out, though the operators that
    read them still name them. The input of the network stays. The part has no outputs but the network's and
    states that are carried on. Nothing is copied, since weights are large.
    """
    wanted, known = tensors(info, record), set(tensors(info, given))
    scan = scan_of(model)
    if scan is not None:
        _keep_of_scan(model, scan, info, wanted, known, output=output)
        return
    carried = {state.input: state.output for state in info.states} if info.kind == "step" else {}
    ends = [info.output.name] if output else []
    _keep(model.graph, [*wanted, *ends], known, carried, {info.input.name}, ends)


def _keep_of_scan(
    model: onnx.ModelProto,
    scan: onnx.NodeProto,
    info: OnnxInfo,
    wanted: Sequence[str],
    known: Collection[str],
    *,
    output: bool,
) -> None:
    body = body_of(model)
    states = len(scan.input) - next(a.i for a in scan.attribute if a.name == "num_scan_inputs")
    before = [value.name for value in body.input]
    carried = {before[i]: body.output[i].name for i in range(states)}
    number = list(scan.output).index(info.output.name)
    ends = [body.output[number].name] if output else []
    _keep(body, [*wanted, *ends], known, carried, set(before[states:]), ends)
    left = {value.name for value in body.input}
    kept = [i for i in range(states) if before[i] in left]
    inputs = [*(scan.input[i] for i in kept), *scan.input[states:]]
    outputs = [*(scan.output[i] for i in kept), *([scan.output[number]] if output else [])]
    scan.input[:], scan.output[:] = inputs, outputs
    _keep(model.graph, inputs, (), {}, {info.input.name}, [info.output.name] if output else [])


def scan_of(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """The Scan of a sequence model."""
    return next((node for node in model.graph.node if node.op_type == "Scan"), None)


def body_of(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph that computes the nodes of the network: of a Scan what it does in every step."""
    scan = scan_of(model)
    if scan is None:
        return model.graph
    return next(attribute.g for attribute in scan.attribute if attribute.name == "body")


def constants_of(model: onnx.ModelProto, info: OnnxInfo, name: str) -> list[npt.NDArray[np.float32]]:
    """The float32 constants that the operator of a node reads; where it is unrolled, at every step."""
    graph = body_of(model)
    makers = [node for node in graph.node if not set(tensors(info, [name])).isdisjoint(node.output)]
    read = set.intersection(*(set(node.input) for node in makers)) if makers else set[str]()
    return [
        np.asarray(numpy_helper.to_array(constant), np.float32)
        for constant in graph.initializer
        if constant.name in read and constant.data_type == onnx.TensorProto.FLOAT
    ]


@dataclass(slots=True)
class _Needed:
    """Positions of the operators that some tensors need, and the names that these read but do not make."""

    operators: set[int]
    names: set[str]


def _needed(
    graph: onnx.GraphProto, wanted: Sequence[str], known: Collection[str], carried: Mapping[str, str]
) -> _Needed:
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output}
    needed, open_names = _Needed(set(), set()), list(wanted)
    while open_names:
        name = open_names.pop()
        number = makers.get(name)
        if number is None:
            if name in carried and name not in needed.names:
                open_names.append(carried[name])
            needed.names.add(name)
        elif number not in needed.operators:
            needed.operators.add(number)
            open_names += [source for source in graph.node[number].input if source not in known]
    return needed


def _keep(
    graph: onnx.GraphProto,
    wanted: Sequence[str],
    known: Collection[str],
    carried: Mapping[str, str],
    inputs: Collection[str],
    ends: Sequence[str],
) -> None:
    """Leave in ``graph`` the operators that ``wanted`` need and a Scan, its ``inputs``, the states of
    ``carried`` that are read, and the outputs ``ends``."""
    needed = _needed(graph, wanted, known, carried)
    after = {carried[name] for name in needed.names if name in carried}
    _only(graph.node, needed.operators | {n for n, node in enumerate(graph.node) if node.op_type == "Scan"})
    _only(graph.initializer, _named(graph.initializer, needed.names))
    _only(graph.input, _named(graph.input, {*inputs, *needed.names}))
    _only(graph.output, _named(graph.output, {*after, *ends}))
    graph.ClearField("value_info")


def _named(values: Sequence[Any], names: Collection[str]) -> set[int]:
    return {number for number, value in enumerate(values) if value.name in names}


def _only(values: MutableSequence[Any], kept: Collection[int]) -> None:
    for number in reversed(range(len(values))):
        if number not in kept:
            del values[number]
