"""ONNX ANNs that are damaged, or of absurd sizes, end in an error of ours."""

import contextlib

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from support.anns import ResidualNet, seen
from support.onnx_anns import exported, network, node, numbers, saved

from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.core.errors import DataError, SnnDeployError, UnsupportedError


def damaged(change):
    model = network([node("Relu", "x", "y")], {"w": numbers(2, 2)})
    change(model)
    return model


def _loop(model):
    body = helper.make_graph([], "b", [], [])
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=body, else_branch=body))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.opset_import[0].__setattr__("version", 9), "operator set 9"),
        (lambda m: m.graph.initializer[0].__setattr__("data_location", 1), "another file"),
        (lambda m: m.graph.initializer[0].dims.append(2**40), "has the shape"),
        (_loop, "holds a graph"),
        (lambda m: m.graph.node[0].input.__setitem__(0, "nowhere"), "not a sound"),
    ],
)
def test_damaged_files_are_refused(change, text, tmp_path):
    with pytest.raises(DataError) as caught:
        from_onnx(saved(damaged(change), tmp_path))
    assert text in str(caught.value)


def test_a_constant_of_absurd_size_is_refused(tmp_path):
    nodes = [
        helper.make_node("ConstantOfShape", ["n"], ["big"], name="big"),
        node("Add", "x big", "s"),
        node("Relu", "s", "y"),
    ]
    with pytest.raises(UnsupportedError, match="do not fit"):
        from_onnx(saved(network(nodes, {"n": np.array([2**20, 2**20], np.int64)}), tmp_path))


def test_an_open_size_and_a_missing_file_are_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="fixed sizes"):
        from_onnx(saved(network([node("Relu", "x", "y")], {}, shape=("b", 3, "h", "w")), tmp_path))
    with pytest.raises(DataError, match="no ONNX file"):
        from_onnx(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_bytes(b"hello")
    with pytest.raises(DataError):
        from_onnx(tmp_path / "text.onnx")


def test_padding_and_channels_of_absurd_size_take_no_memory(tmp_path):
    wide = [node("Conv", "x w", "c", pads=[0, 0, 2**40, 2**40]), node("Relu", "c", "y")]
    with pytest.raises(UnsupportedError, match="parts do not fit"):
        from_onnx(saved(network(wide, {"w": numbers(4, 3, 3, 3)}, rank=4), tmp_path))
    deep = [node("Pad", "x p", "q"), node("Relu", "q", "y")]
    amounts = np.array([0, 2**40, 0, 0, 0, 0, 0, 0], np.int64)
    with pytest.raises(UnsupportedError, match="more channels"):
        from_onnx(saved(network(deep, {"p": amounts}, rank=4), tmp_path))


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_changed_in_a_file_ends_in_an_error_of_ours(seed, tmp_path):
    torch.manual_seed(0)
    good = exported(seen(ResidualNet()), (1, 12, 12), 17, tmp_path).read_bytes()
    generator = np.random.default_rng(seed)
    kinds = [
        "Add",
        "Mul",
        "Reshape",
        "Slice",
        "Gather",
        "Concat",
        "Pad",
        "Transpose",
        "Squeeze",
        "Clip",
        "Shape",
    ]
    for number in range(60):
        if number % 2:
            damage = bytearray(good)
            for place in generator.integers(0, len(good), 3):
                damage[place] = generator.integers(0, 256)
            content = bytes(damage)
        else:
            model = onnx.load_model_from_string(good)
            part = model.graph.node[generator.integers(0, len(model.graph.node))]
            if number % 4:
                part.op_type = kinds[generator.integers(0, len(kinds))]
            else:
                del part.input[:1]
            content = model.SerializeToString()
        with contextlib.suppress(SnnDeployError):
            from_onnx(saved(content, tmp_path))
