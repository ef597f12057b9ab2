"""ONNX ANNs as torch, torch's newer exporter and tf2onnx write them, against ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
import torch
from support.anns import PlainNet, ResidualNet, seen
from support.onnx_anns import exported, network, node, numbers, same, saved

from snn_deploy.convert.ann import Runner
from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import Options
from snn_deploy.models.public_resnet import cifar_resnet


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize("make", [PlainNet, ResidualNet])
def test_what_torch_writes(make, opset, tmp_path):
    torch.manual_seed(0)
    ann = same(exported(seen(make()), (1, 12, 12), opset, tmp_path), (1, 12, 12))
    assert {"conv1", "hidden"} <= set(ann.nodes) or {"stem", "head"} <= set(ann.nodes)


def test_public_networks_keep_the_names_of_their_layers(tmp_path):
    network = seen(cifar_resnet(1, Options(), in_shape=(3, 32, 32), classes=10))
    ann = same(exported(network, (3, 32, 32), 17, tmp_path), (3, 32, 32))
    assert {"layer1.0.conv1", "layer3.0.conv2", "layer1.0.relu", "linear"} <= set(ann.nodes)


@pytest.mark.parametrize("opset", [11, 13, 18, 22])
def test_what_tf2onnx_writes(opset, tmp_path):
    """Channels last at the door, SAME padding with stride 2, a pad in front, flattening in H, W, C."""
    nodes = [
        node("Transpose", "x", "first", perm=[0, 3, 1, 2]),
        node("Pad", "first amounts", "padded"),
        node("Conv", "padded w1 b1", "c1", strides=[2, 2], kernel_shape=[3, 3]),
        node("Relu", "c1", "r1"),
        node("Conv", "r1 w2", "c2", auto_pad="SAME_UPPER", strides=[2, 2]),
        node("BatchNormalization", "c2 gamma beta mean var", "n2", epsilon=1e-3),
        node("Clip", "n2 zero six", "r2"),
        node("Transpose", "r2", "last", perm=[0, 2, 3, 1]),
        node("Reshape", "last shape", "flat"),
        node("MatMul", "flat w3", "m3"),
        node("Add", "m3 b3", "a3"),
        node("Relu", "a3", "r3"),
        node("MatMul", "r3 w4", "m4"),
        node("Add", "m4 b4", "a4"),
        node("Softmax", "a4", "y", axis=-1),
    ]
    constants = {
        "amounts": np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "w1": numbers(6, 3, 3, 3), "b1": numbers(6),
        "w2": numbers(16, 6, 3, 3, seed=1), "gamma": 1 + numbers(16, seed=2), "beta": numbers(16, seed=3),
        "mean": numbers(16, seed=4), "var": np.abs(numbers(16, seed=5)) + 0.5, "zero": np.float32(0),
        "six": np.float32(6), "shape": np.array([-1, 64], np.int64), "w3": numbers(64, 10, seed=6),
        "b3": numbers(10, seed=7),
        "w4": numbers(10, 5, seed=8), "b4": numbers(1, 5, seed=9),
    }  # fmt: skip
    model = network(nodes, constants, shape=("b", 8, 8, 3), opset=opset)
    file = saved(model, tmp_path)
    x = np.random.default_rng(0).normal(size=(3, 3, 8, 8)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (wanted,) = session.run(None, {"x": x.transpose(0, 2, 3, 1)})
    ann = from_onnx(file)
    scores = Runner(ann)(torch.from_numpy(x)).softmax(1)
    torch.testing.assert_close(scores, torch.from_numpy(wanted), rtol=1e-3, atol=1e-5)
    assert ann.shapes["input"] == (3, 8, 8)
    assert "channels last" in ann.remarks[0]


def test_one_channel_is_put_in_front_by_a_reshape(tmp_path):
    """As tf2onnx does it, and back in front of the dense layer."""
    nodes = [
        node("Reshape", "x front", "first"),
        node("Conv", "first w1 b1", "c1"),
        node("Relu", "c1", "r1"),
        node("Reshape", "r1 behind", "last"),
        node("Reshape", "last flat", "f"),
        node("MatMul", "f w2", "y"),
    ]
    constants = {
        "front": np.array([-1, 1, 6, 4], np.int64), "w1": numbers(1, 1, 3, 3), "b1": numbers(1),
        "behind": np.array([-1, 4, 2, 1], np.int64), "flat": np.array([-1, 8], np.int64),
        "w2": numbers(8, 5, seed=1),
    }  # fmt: skip
    file = saved(network(nodes, constants, shape=("b", 6, 4, 1)), tmp_path)
    ann = same(file, (1, 6, 4), last=True)
    assert ann.shapes["input"] == (1, 6, 4)


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_windows_that_end_with_the_image_whatever_the_rounding(kind, tmp_path):
    nodes = [
        node("Relu", "x", "r"),
        node(kind, "r", "p", kernel_shape=[2, 3], strides=[2, 3], pads=[0, 0, 0, 1], ceil_mode=1,
             **({"count_include_pad": 1} if kind == "AveragePool" else {})),
        node("Conv", "p w", "y"),
    ]  # fmt: skip
    constants = {"w": numbers(4, 3, 1, 1)}
    for width, said in ((8, "uneven padding"), (9, "beyond an image of"), (11, "uneven padding")):
        with pytest.raises(UnsupportedError, match=said):
            from_onnx(saved(network(nodes, constants, ("b", 3, 6, width), rank=4), tmp_path))
    del nodes[1].attribute[[a.name for a in nodes[1].attribute].index("pads")]
    same(saved(network(nodes, constants, ("b", 3, 6, 9), rank=4), tmp_path), (3, 6, 9))


@pytest.mark.parametrize("padding", [[1, 1, 1, 1], [0, 1, 2, 1], [2, 0, 0, 1]])
@pytest.mark.parametrize("dilation", [1, 2])
def test_uneven_padding_of_a_convolution(padding, dilation, tmp_path):
    nodes = [
        node("Conv", "x w b", "c", pads=padding, strides=[2, 1], dilations=[dilation, dilation]),
        node("Relu", "c", "y"),
    ]
    same(saved(network(nodes, {"w": numbers(4, 3, 3, 2), "b": numbers(4)}, rank=4), tmp_path), (3, 8, 8))


def test_what_torchs_newer_exporter_writes(tmp_path):
    """Names without slashes, axes as inputs, a Reshape with a constant shape, identities."""
    nodes = [
        node("Identity", "x", "i"),
        node("Conv", "i w", "c", auto_pad="NOTSET", pads=[1, 1, 1, 1], group=3),
        node("Relu", "c", "r"),
        node("MaxPool", "r", "p", kernel_shape=[2, 2], strides=[2, 2]),
        node("Sub", "p shift", "s"),
        node("Div", "s scale", "d"),
        node("Relu", "d", "r2"),
        node("Add", "r2 r2", "t"),
        node("Relu", "t", "r3"),
        node("ReduceMean", "r3 axes", "m", keepdims=1),
        node("Reshape", "m shape", "f", allowzero=0),
        node("Gemm", "f v b", "y", transB=1, alpha=0.5, beta=2.0),
    ]
    constants = {
        "w": numbers(6, 1, 3, 3), "axes": np.array([2, 3], np.int64), "shape": np.array([0, -1], np.int64),
        "v": numbers(5, 6, seed=1), "b": numbers(5), "shift": numbers(1, 6, 1, 1), "scale": np.float32(0.25),
    }  # fmt: skip
    same(saved(network(nodes, constants, opset=20), tmp_path), (3, 8, 8))


def test_shapes_computed_in_the_file(tmp_path):
    """A view with x.size(0), as the older exporter writes it."""
    nodes = [
        node("Relu", "x", "r"),
        node("Shape", "r", "shape"),
        node("Gather", "shape first", "n", axis=0),
        node("Unsqueeze", "n axes", "n1"),
        node("Concat", "n1 rest", "sizes", axis=0),
        node("Reshape", "r sizes", "f"),
        node("Transpose", "v", "vt", perm=[1, 0]),
        node("MatMul", "f vt", "y"),
    ]
    constants = {
        "first": np.int64(0), "axes": np.array([0], np.int64), "rest": np.array([-1], np.int64),
        "v": numbers(4, 192),
    }  # fmt: skip
    same(saved(network(nodes, constants), tmp_path), (3, 8, 8))


def test_refused_operators_are_named_all_at_once(tmp_path):
    nodes = [
        node("Conv", "x w", "c"),
        node("Sigmoid", "c", "s"),
        node("LeakyRelu", "s", "l"),
        node("Relu", "c", "r"),
        node("Mul", "r r", "q"),
        node("Flatten", "l", "y"),
    ]
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(saved(network(nodes, {"w": numbers(4, 3, 1, 1)}), tmp_path))
    said = [problem.what for problem in caught.value.problems]
    assert said == ["the operation 'Sigmoid'", "the operation 'LeakyRelu'", "'Mul' of two activations"]
    assert all(problem.try_instead for problem in caught.value.problems)
    assert caught.value.problems[0].try_instead == "train with ReLU, or replace it by ReLU and fine-tune"


@pytest.mark.parametrize(
    ("nodes", "constants", "text"),
    [
        ([node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}, "ceil_mode"),
        ([node("AveragePool", "x", "y", kernel_shape=[3, 3], pads=[1, 1, 1, 1])], {}, "count"),
        ([node("Clip", "x low", "y")], {"low": np.float32(-1)}, "limits to -1"),
        ([node("Transpose", "x", "y", perm=[0, 2, 1, 3])], {}, "orders the axes"),
        ([node("Pad", "x p", "q"), node("Relu", "q", "y")], {"p": np.array([0, 0, 1, 1] * 2)}, "padding"),
        ([node("Reshape", "x s", "y")], {"s": np.array([-1, 12, 4, 4])}, "changes the shape"),
        ([node("Slice", "x a b", "y")], {"a": np.array([0, 1]), "b": np.array([9, 2])}, "a part of axis 1"),
    ],
)  # fmt: skip
def test_refusals_say_why(nodes, constants, text, tmp_path):
    with pytest.raises(UnsupportedError) as caught:
        from_onnx(saved(network(nodes, constants), tmp_path))
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "more"), [("Conv", " w"), ("GlobalAveragePool", ""), ("GlobalMaxPool", ""), ("Slice", " a b")]
)
def test_channels_are_not_taken_for_an_axis_of_the_image(kind, more, tmp_path):
    """Of a cube nothing but the order of its axes says which of them are the channels."""
    nodes = [
        node("Relu", "x", "r"),
        node("Transpose", "r", "t", perm=[0, 2, 3, 1]),
        node(kind, f"t{more}", "y"),
    ]
    constants = {"w": numbers(4, 3, 1, 1), "a": np.array([0]), "b": np.array([9])}
    with pytest.raises(UnsupportedError, match="channels last"):
        from_onnx(saved(network(nodes, constants, shape=("b", 3, 3, 3), rank=4), tmp_path))
