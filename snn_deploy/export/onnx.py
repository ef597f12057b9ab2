"""The format ``onnx``: two models built from the graph with ``onnx.helper``, without tracing.

* ``step``: ``x [B, *shape]`` and every state in, ``out`` and every state out: for streaming;
* ``scan``: ``x_seq [T, B, *shape]`` in, ``out_seq [T, B, *shape]`` and the final states out: an ONNX Scan
  whose body is the same step. T and B are free.

The files hold no paths, no stack traces and no external data; what a user needs is in the metadata entry
``snn_deploy`` (see :mod:`snn_deploy.simulate.onnx_info`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import nir
import numpy as np
import onnx
from onnx import TensorProto, helper

from snn_deploy import __version__
from snn_deploy.errors import Problem, UnsupportedError
from snn_deploy.export.base import Calibration, Check, Written
from snn_deploy.export.onnx_step import BATCH, OUT, Step, X, build_step
from snn_deploy.files import write_bytes
from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.types import STATEFUL_NODES, Plan
from snn_deploy.registry import FORMATS, Options
from snn_deploy.simulate.onnx_info import KEY, OnnxInfo, StateValue, Value

OPSET = 20
IR_VERSION = 10
MAX_BYTES = 2**31 - 2**20
FILES = {"step": "model.step.onnx", "scan": "model.scan.onnx"}

Kind = Literal["step", "scan"]


class OnnxWriter:
    """Writes ``model.step.onnx`` and ``model.scan.onnx``."""

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Start values that differ within a layer, and more weights than one ONNX file holds."""
        return _problems(make_plan(graph))

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write both models; each is proven in ONNX Runtime."""
        plan = make_plan(graph)
        if problems := _problems(plan):
            raise UnsupportedError("The graph cannot be written as ONNX.", problems=problems)
        for kind, file in (("step", step_model(plan)), ("scan", scan_model(plan))):
            write_bytes(folder / FILES[kind], file.SerializeToString(deterministic=True))
        return Written(
            files=dict(FILES),
            checks=(Check("step", "onnxruntime"), Check("scan", "onnxruntime")),
            passes=({"pass": "onnx_operators", "opset": OPSET},),
        )


def step_model(plan: Plan) -> onnx.ModelProto:
    """One time step of ``plan`` with explicit states and a free batch axis."""
    step = build_step(plan)
    shape, out = plan.shapes[plan.input], plan.shapes[plan.output]
    graph = helper.make_graph(
        step.nodes,
        "step",
        [_value(X, shape), *(_value(s.input, s.shape) for s in step.states)],
        [_value(OUT, out), *(_value(s.output, s.shape) for s in step.states)],
        initializer=step.constants,
    )
    return _model(graph, "step", plan, step)


def scan_model(plan: Plan) -> onnx.ModelProto:
    """A whole sequence from the start state: a Scan over the step, with free time and batch axes."""
    step = build_step(plan)
    shape, out = plan.shapes[plan.input], plan.shapes[plan.output]
    body = helper.make_graph(
        step.nodes,
        "step",
        [*(_value(s.input, s.shape) for s in step.states), _value(X, shape)],
        [*(_value(s.output, s.shape) for s in step.states), _value(OUT, out)],
    )
    outer = Step()
    begin, end = outer.constant("batch.begin", [1], np.int64), outer.constant("batch.end", [2], np.int64)
    batch = outer.op("Slice", [outer.op("Shape", ["x_seq"], "x_seq.shape"), begin, end], "batch.size")
    starts = [_start(outer, state, batch) for state in step.states]
    finals = [state.output for state in step.states]
    outer.nodes.append(
        helper.make_node(
            "Scan", [*starts, "x_seq"], [*finals, "out_seq"], name="time", body=body, num_scan_inputs=1
        )
    )
    graph = helper.make_graph(
        outer.nodes,
        "scan",
        [_value("x_seq", shape, "time")],
        [_value("out_seq", out, "time"), *(_value(s.output, s.shape) for s in step.states)],
        initializer=[*outer.constants, *step.constants],
    )
    return _model(graph, "scan", plan, step)


def _start(outer: Step, state: StateValue, batch: str) -> str:
    """A tensor ``[B, *shape]`` filled with the start value of ``state``."""
    name = state.input
    size = outer.op(
        "Concat", [batch, outer.constant(f"{name}.dims", state.shape, np.int64)], f"{name}.size", axis=0
    )
    value = helper.make_tensor("value", TensorProto.FLOAT, [1], [state.start])
    return outer.op("ConstantOfShape", [size], f"{name}.start", value=value)


def _value(name: str, shape: Shape, *leading: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [*leading, BATCH, *shape])


def _model(graph: onnx.GraphProto, kind: Kind, plan: Plan, step: Step) -> onnx.ModelProto:
    semantics = read_semantics(plan.graph)
    model = helper.make_model(
        graph,
        producer_name="snn-deploy",
        producer_version=__version__,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    seq = "_seq" if kind == "scan" else ""
    info = OnnxInfo(
        kind=kind,
        input=Value(name=X + seq, shape=plan.shapes[plan.input]),
        output=Value(name=OUT + seq, shape=plan.shapes[plan.output]),
        states=tuple(step.states),
        layers=tuple(step.layers),
        timesteps=semantics.timesteps,
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


def _problems(plan: Plan) -> list[Problem]:
    semantics = read_semantics(plan.graph)
    problems = []
    for name in plan.of_type(*STATEFUL_NODES):
        node = plan.node(name)
        if not isinstance(node, nir.Delay) and discretise(node, semantics).start.ndim:
            rule = "one start value per layer"
            problems.append(
                Problem(name, "start values (v_reset or v_leak) differ within the layer", rule=rule)
            )
    size = sum(
        np.asarray(value).size * 4
        for name in plan.order
        for value in vars(plan.node(name)).values()
        if isinstance(value, np.ndarray)
    )
    if size > MAX_BYTES:
        problems.append(
            Problem("graph", f"{size} bytes of constants", rule=f"one file, at most {MAX_BYTES} bytes")
        )
    return problems


@FORMATS.register("onnx", summary="ONNX models: one step with explicit states, and a whole sequence")
def writer(_options: Options) -> Any:
    """The writer of the format ``onnx``."""
    return OnnxWriter()
