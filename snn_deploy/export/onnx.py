"""The format ``onnx``: models built from the graph, each proven in ONNX Runtime.

See :mod:`snn_deploy.export.onnx_models` for what a ``step``, a ``scan`` and an ``unrolled`` model are, and
:mod:`snn_deploy.export.onnx_int8` for their ``-int8`` forms.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import nir
import numpy as np
import onnx

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.core.files import write_bytes
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.base import Calibration, Check, Written, student_check
from snn_deploy.export.onnx_int8 import approximations, int8_problems, quantisation_table
from snn_deploy.export.onnx_models import Integers, scan_model, step_model, unrolled_model
from snn_deploy.export.onnx_step import build_step
from snn_deploy.export.options import OnnxOptions
from snn_deploy.export.pipelines import for_onnx
from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.trained_form import real_numbers_note
from snn_deploy.graph.types import STATEFUL_NODES, Plan
from snn_deploy.simulate.onnx.models import INT8

MAX_BYTES = 2**31 - 2**20


class OnnxWriter:
    """Writes ``model.NAME.onnx`` for every model asked for."""

    def __init__(self, options: OnnxOptions | None = None) -> None:
        self._models = (options or OnnxOptions()).models
        self._opset = (options or OnnxOptions()).opset
        self._int8 = any(name.endswith(INT8) for name in self._models)

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Start values that differ within a layer, names that are taken, more weights than one file holds."""
        return self._problems(make_plan(graph))

    def _problems(self, plan: Plan) -> list[Problem]:
        return [*_problems(plan), *(int8_problems(plan) if self._int8 else ())]

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write the models; an unrolled one has as many steps as the calibration samples.

        Raises:
            UnsupportedError: with all problems of :meth:`check`, too many steps to unroll, or layers that
                cannot be quantized.
        """
        plan = make_plan(graph)
        if problems := self._problems(plan):
            raise UnsupportedError("The graph cannot be written as ONNX.", problems=problems)
        steps = calibration.x.shape[0]
        stage = for_onnx(plan.graph, calibration.x if self._int8 else None, self._opset)
        quantized = stage.subject.layers
        files = {name: f"model.{name}.onnx" for name in self._models}
        for name, file in files.items():
            integers = quantized if name.endswith(INT8) else None
            model = _build(name.removesuffix(INT8), plan, steps, integers, self._opset)
            write_bytes(folder / file, model.SerializeToString(deterministic=True))
        return Written(
            files=files,
            checks=(
                *(Check(name, "onnxruntime", exact=not name.endswith(INT8)) for name in files),
                *student_check(graph, self._models[-1], "onnxruntime", exact=False),
            ),
            passes=stage.passes,
            approximations=(*real_numbers_note(graph), *(approximations(quantized) if quantized else ())),
            tables={"quantisation": quantisation_table(plan, quantized)} if quantized else {},
        )


def _build(kind: str, plan: Plan, steps: int, quantized: Integers, opset: int) -> onnx.ModelProto:
    if kind == "unrolled":
        return unrolled_model(plan, steps, quantized, opset)
    return (step_model if kind == "step" else scan_model)(plan, quantized, opset)


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
    return problems or _name_problems(plan)


def _name_problems(plan: Plan) -> list[Problem]:
    """Node names that are also the name of another tensor; the part behind a ``/`` is ours."""
    step = build_step(plan)
    tensors = [*(state.input for state in step.states)]
    tensors += [constant.name for constant in step.constants]
    tensors += [name for node in step.nodes for name in node.output]
    taken = [name for name, count in Counter(tensors).items() if count > 1]
    rule = "in an ONNX file every tensor has its own name, without '/'"
    return [
        Problem(name, "a node name that another tensor has", rule=rule, try_instead="rename the node")
        for name in (*taken, *(name for name in plan.order if "/" in name))
    ]


@FORMATS.register("onnx")
def writer(options: OnnxOptions) -> OnnxWriter:
    """The writer of the format ``onnx``."""
    return OnnxWriter(options)
