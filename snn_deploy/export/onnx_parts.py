"""What ONNX models of a network are put together from: operators, constants and states of one time step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from snn_deploy.graph.shapes import Shape
from snn_deploy.simulate.onnx.info import StateValue, Value
from snn_deploy.simulate.onnx.models import Precision


@dataclass(slots=True)
class Step:
    """Operators, constants and states of one time step; ``x`` and ``out`` name its input and output."""

    x: str = "x"
    out: str = "out"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    states: list[StateValue] = field(default_factory=list)
    layers: list[Value] = field(default_factory=list)
    precision: Precision = "float32"

    def op(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Append one operator; returns the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=f"{output}/{kind}", **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: npt.DTypeLike = np.float32) -> str:
        """Add a constant; returns its name."""
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def state(self, node: str, quantity: str, shape: Shape, start: float = 0.0) -> StateValue:
        """Add a state carried from step to step."""
        name = f"{node}.{quantity}"
        self.states.append(
            StateValue(node=node, input=f"{name}_in", output=f"{name}_out", shape=shape, start=start)
        )
        return self.states[-1]
