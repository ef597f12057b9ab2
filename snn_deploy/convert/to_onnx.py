"""Write an ANN as an ``.onnx`` file, which :func:`snn_deploy.convert.from_onnx.from_onnx` reads back: weights
of float32 as they are, batch norm folded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.convert.ann import Ann, MaxPool, Rectifier
from snn_deploy.core.files import write_bytes
from snn_deploy.graph.passes.fold_batchnorm import bias_of
from snn_deploy.graph.shapes import axes, pads

OPSET, IR_VERSION = 17, 8


def write_onnx(ann: Ann, path: Path) -> None:
    """Write ``ann`` to ``path``, atomically; its input is ``[batch, *shape]``."""
    write_bytes(path, _Writing(ann).model().SerializeToString())


class _Writing:
    """Operators and constants so far."""

    def __init__(self, ann: Ann) -> None:
        self._ann = ann
        self._operators: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        ann = self._ann
        for name in ann.nodes:
            if name != ann.input:
                self._take(name)
        doors = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *ann.shapes[name]])
            for name in (ann.input, ann.output)
        ]
        graph = helper.make_graph(self._operators, ann.name, doors[:1], doors[1:], self._constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)

    def _take(self, name: str) -> None:
        first, *others = self._ann.sources[name]
        for number, other in enumerate(others):
            first = self._add("Add", [first, other], f"{name}/sum{number}")
        node = self._ann.nodes[name]
        if isinstance(node, nir.Affine | nir.Linear):
            weights = [self._constant(f"{name}.weight", node.weight)]
            if (bias := bias_of(node)) is not None:
                weights.append(self._constant(f"{name}.bias", bias))
            self._add("Gemm", [first, *weights], name, transB=1)
        elif isinstance(node, nir.Conv1d | nir.Conv2d):
            self._convolution(name, first, node)
        elif isinstance(node, Rectifier):
            bounds = [self._constant(f"{name}.{key}", value) for key, value in _bounds(node)]
            self._add("Clip" if bounds else "Relu", [first, *bounds], name)
        elif isinstance(node, MaxPool):
            around = [*node.padding, *node.padding]
            self._add("MaxPool", [first], name, kernel_shape=node.kernel, strides=node.stride, pads=around)
        elif isinstance(node, nir.AvgPool2d):
            kernel, stride, padding = (axes(v, 2) for v in (node.kernel_size, node.stride, node.padding))
            around = [*padding, *padding]
            self._add(
                "AveragePool",
                [first],
                name,
                kernel_shape=kernel,
                strides=stride,
                pads=around,
                count_include_pad=1,
            )
        elif isinstance(node, nir.Flatten):
            self._add("Flatten", [first], name, axis=1)
        else:
            assert isinstance(node, nir.Output), type(node)
            self._add("Identity", [first], name)

    def _convolution(self, name: str, x: str, node: nir.Conv1d | nir.Conv2d) -> None:
        kernel = np.shape(node.weight)[2:]
        stride, dilation = axes(node.stride, len(kernel)), axes(node.dilation, len(kernel))
        around = pads(node, kernel, dilation, stride)
        weights = [self._constant(f"{name}.{key}", getattr(node, key)) for key in ("weight", "bias")]
        self._add(
            "Conv",
            [x, *weights],
            name,
            strides=stride,
            dilations=dilation,
            group=axes(node.groups, 1)[0],
            pads=[before for before, _ in around] + [after for _, after in around],
        )

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        self._operators.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def _constant(self, name: str, value: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name


def _bounds(node: Rectifier) -> list[tuple[str, float]]:
    return [] if node.ceiling is None else [("low", 0.0), ("high", node.ceiling)]
