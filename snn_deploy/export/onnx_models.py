"""The three ONNX models of a plan, built with ``onnx.helper`` from one and the same step.

* ``step``: ``x [B, *shape]`` and every state in, ``out`` and every state out: for streaming;
* ``scan``: ``x_seq [T, B, *shape]`` in, ``out_seq [T, B, *shape]`` and the final states out: an ONNX Scan
  whose body is the step. T and B are free;
* ``unrolled``: as ``scan``, but T copies of the step one after the other that share their constants: for
  accelerators without control flow. T is fixed, B is free. The tensor ``NAME`` of step t is ``NAME@t``.

The files hold no paths, no stack traces and no external data; what a user needs is in the metadata entry
``snn_deploy`` (see :mod:`snn_deploy.simulate.onnx.info`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.version import __version__
from snn_deploy.export.onnx_int8 import Quantized
from snn_deploy.export.onnx_parts import Step
from snn_deploy.export.onnx_step import BATCH, SEQ, build_step
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import Plan
from snn_deploy.simulate.onnx.info import KEY, OnnxInfo, StateValue, Value, at_step
from snn_deploy.simulate.onnx.models import Kind
from snn_deploy.simulate.onnx.part import body_of

OPSET = 18
"""What common runtimes of the last years read; 17 would do for all operators of these models."""
_IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9}
"""Per operator set, the version of the file format that came with it."""
MAX_OPERATORS = 5_000
"""Of an unrolled model: the time that ONNX Runtime needs to open it grows with the square (4,000: 7 s)."""

Integers = Mapping[str, Quantized] | None


def step_model(plan: Plan, quantized: Integers = None, opset: int = OPSET) -> onnx.ModelProto:
    """One time step of ``plan`` with explicit states and a free batch axis."""
    step = build_step(plan, quantized)
    shape, out = plan.shapes[plan.input], plan.shapes[plan.output]
    graph = helper.make_graph(
        step.nodes,
        "step",
        [_value(step.x, shape), *(_value(s.input, s.shape) for s in step.states)],
        [_value(step.out, out), *(_value(s.output, s.shape) for s in step.states)],
    )
    return _model(graph, "step", plan, step, opset)


def scan_model(plan: Plan, quantized: Integers = None, opset: int = OPSET) -> onnx.ModelProto:
    """A whole sequence from the start state: a Scan over the step, with free time and batch axes.

    The constants lie inside the Scan, where shape inference sees their values and ONNX Runtime packs weights.
    """
    step = build_step(plan, quantized)
    shape, out = plan.shapes[plan.input], plan.shapes[plan.output]
    body = helper.make_graph(
        step.nodes,
        "step",
        [*(_value(s.input, s.shape) for s in step.states), _value(step.x, shape)],
        [*(_value(s.output, s.shape) for s in step.states), _value(step.out, out)],
    )
    outer = Step(step.x + SEQ, step.out + SEQ)
    starts = _starts(outer, step.states)
    finals = [state.output for state in step.states]
    outer.nodes.append(
        helper.make_node(
            "Scan", [*starts, outer.x], [*finals, outer.out], name="time", body=body, num_scan_inputs=1
        )
    )
    return _sequence_model("scan", plan, step, outer, _value(outer.x, shape, "time"), "time", opset)


def unrolled_model(plan: Plan, steps: int, quantized: Integers = None, opset: int = OPSET) -> onnx.ModelProto:
    """A sequence of ``steps`` time steps from the start state without control flow; the batch axis is free.

    Raises:
        UnsupportedError: more than ``MAX_OPERATORS`` operators.
    """
    step = build_step(plan, quantized)
    if len(step.nodes) * steps > MAX_OPERATORS:
        raise UnsupportedError(
            f"{steps} steps of {len(step.nodes)} operators are too many for an unrolled ONNX model; "
            f"at most {MAX_OPERATORS} operators.",
            hint="Fewer time steps, or the model 'scan', whose size does not depend on time.",
        )
    outer = Step(step.x + SEQ, step.out + SEQ)
    carried = dict(zip((s.input for s in step.states), _starts(outer, step.states), strict=True))
    made = {name for node in step.nodes for name in node.output}
    first = outer.constant("time/axis", [0], np.int64)
    outputs = []
    for t in range(steps):
        now = outer.op(
            "Gather", [outer.x, outer.constant(at_step("time/t", t), t, np.int64)], at_step(step.x, t)
        )
        names = {name: at_step(name, t) for name in made} | carried | {step.x: now}
        outer.nodes += (_renamed(node, names, t) for node in step.nodes)
        carried = {state.input: names[state.output] for state in step.states}
        outputs.append(outer.op("Unsqueeze", [names[step.out], first], at_step(outer.out, t)))
    for state in step.states:
        outer.op("Identity", [carried[state.input]], state.output)
    outer.op("Concat", outputs, outer.out, axis=0)
    shape = plan.shapes[plan.input]
    return _sequence_model("unrolled", plan, step, outer, _value(outer.x, shape, steps), steps, opset)


def _renamed(node: onnx.NodeProto, names: dict[str, str], t: int) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = at_step(node.name, t)
    copy.input[:] = [names.get(name, name) for name in node.input]
    copy.output[:] = [names[name] for name in node.output]
    return copy


def _sequence_model(
    kind: Kind, plan: Plan, step: Step, outer: Step, x: onnx.ValueInfoProto, time: str | int, opset: int
) -> onnx.ModelProto:
    out = plan.shapes[plan.output]
    graph = helper.make_graph(
        outer.nodes,
        kind,
        [x],
        [_value(outer.out, out, time), *(_value(s.output, s.shape) for s in step.states)],
        initializer=outer.constants,
    )
    return _model(graph, kind, plan, step, opset, time if isinstance(time, int) else None)


def _starts(outer: Step, states: list[StateValue]) -> list[str]:
    """Per state a tensor ``[B, *shape]`` filled with its start value; B is that of ``x_seq``."""
    begin, end = outer.constant("batch/begin", [1], np.int64), outer.constant("batch/end", [2], np.int64)
    batch = outer.op("Slice", [outer.op("Shape", [outer.x], "batch/shape"), begin, end], "batch/size")
    return [_start(outer, state, batch) for state in states]


def _start(outer: Step, state: StateValue, batch: str) -> str:
    name = state.input
    size = outer.op(
        "Concat", [batch, outer.constant(f"{name}/dims", state.shape, np.int64)], f"{name}/size", axis=0
    )
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [state.start])
    return outer.op("ConstantOfShape", [size], f"{name}/start", value=value)


def _value(name: str, shape: Shape, *leading: str | int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [*leading, BATCH, *shape])


def _model(
    graph: onnx.GraphProto, kind: Kind, plan: Plan, step: Step, opset: int, steps: int | None = None
) -> onnx.ModelProto:
    semantics = read_semantics(plan.graph)
    model = helper.make_model(
        graph,
        producer_name="snn-deploy",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=_IR_VERSIONS[opset],
    )
    inner = body_of(model)
    inner.initializer.extend(step.constants)  # not earlier, as each step from part to model copies them
    suffix = "" if kind == "step" else SEQ
    info = OnnxInfo(
        kind=kind,
        input=Value(name=step.x + suffix, shape=plan.shapes[plan.input]),
        output=Value(name=step.out + suffix, shape=plan.shapes[plan.output]),
        states=tuple(step.states),
        layers=tuple(step.layers),
        precision=step.precision,
        timesteps=steps or semantics.timesteps,
        dt=semantics.dt,
        integrator=semantics.integrator,
        fires_at=semantics.fires_at,
        reset=semantics.reset,
        decode=semantics.decode,
        classes=semantics.classes,
        weights_sha256=_digest(step),
    )
    helper.set_model_props(model, {KEY: info.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return model


def _digest(step: Step) -> str:
    digest = hashlib.sha256()
    for constant in sorted(step.constants, key=lambda tensor: tensor.name):
        digest.update(f"{constant.name} {list(constant.dims)} ".encode())
        digest.update(constant.raw_data)
    return digest.hexdigest()
