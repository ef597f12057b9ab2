"""ONNX files of ANNs, by torch's exporter or operator by operator, and whether they are read right."""

from __future__ import annotations

import io
import warnings

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from snn_deploy.convert.ann import Runner
from snn_deploy.convert.from_onnx import from_onnx


def saved(model, tmp_path):
    file = tmp_path / "net.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return file


def exported(module, shape, opset, tmp_path):
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (torch.zeros(2, *shape),), stream, opset_version=opset, dynamo=False,
            input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "batch"}},
        )  # fmt: skip
    return saved(stream.getvalue(), tmp_path)


def same(file, shape, *, last=False):
    """The network in ``file``, after checking its scores against ONNX Runtime's."""
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    given = x.transpose(0, 2, 3, 1) if last else x
    (wanted,) = session.run(None, {session.get_inputs()[0].name: given})
    ann = from_onnx(file)
    torch.testing.assert_close(
        Runner(ann)(torch.from_numpy(x)), torch.from_numpy(wanted), rtol=1e-3, atol=1e-4
    )
    return ann


def network(nodes, constants, shape=("b", 3, 8, 8), opset=17, rank=2):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "k", "h", "w"][:rank])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs.split(), outputs.split(), name=f"{kind}_{outputs}", **attributes)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32) / 2
