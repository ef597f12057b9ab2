"""An ANN as a torch module and as an .onnx file: the same function, and the way back."""

from __future__ import annotations

import nir
import numpy as np
import onnxruntime
import pytest
import torch
from support.anns import PlainNet, ResidualNet, images, seen
from torch import nn

from snn_deploy.convert.ann import Runner
from snn_deploy.convert.ann_module import AnnModule
from snn_deploy.convert.from_module import from_module
from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.convert.to_onnx import write_onnx
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.registry import TEACHERS


class Bounded(nn.Sequential):
    """ReLU6, average pooling, a dense layer without bias."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3, padding=1, groups=1), nn.ReLU6(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(144, 4, bias=False),
        )  # fmt: skip


@pytest.fixture(params=[PlainNet, ResidualNet, Bounded])
def ann(request):
    torch.manual_seed(0)
    return from_module(seen(request.param()), (1, 12, 12))


def test_the_module_is_the_ann_and_has_its_weights(ann):
    module, x = AnnModule(ann), images(16)[0]
    torch.testing.assert_close(module(x), Runner(ann)(x), rtol=1e-5, atol=1e-6)
    back = module.as_ann({})
    for name, node in ann.nodes.items():
        for key in ("weight", "bias"):
            if hasattr(node, key):
                np.testing.assert_array_equal(getattr(back.nodes[name], key), getattr(node, key))


def test_what_is_fixed_is_not_trained(ann):
    module = AnnModule(ann)
    for name, node in ann.nodes.items():
        if hasattr(node, "weight"):
            trained = any(True for _ in module.of(name).parameters())
            assert trained != bool(node.metadata.get("fixed")), name


def test_the_file_is_read_back_as_it_was(ann, tmp_path):
    file = tmp_path / "ann.onnx"
    write_onnx(ann, file)
    back, x = from_onnx(file), images(16)[0]
    assert set(back.rectifiers) == set(ann.rectifiers)
    weights = [n for n, node in ann.nodes.items() if isinstance(node, nir.Conv2d | nir.Linear | nir.Affine)]
    for name in weights:
        np.testing.assert_array_equal(back.nodes[name].weight, ann.nodes[name].weight)
    assert torch.equal(Runner(back)(x), Runner(ann)(x))
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(scores), Runner(ann)(x), rtol=1e-4, atol=1e-5)


def test_the_teacher_onnx_is_that_file(ann, tmp_path):
    file = tmp_path / "ann.onnx"
    write_onnx(ann, file)
    options = TEACHERS.options("onnx").model_validate({"file": file, "sha256": sha256_file(file)})
    build = TEACHERS.get("onnx").factory
    x = images(8)[0]
    torch.testing.assert_close(
        build(options, in_shape=(1, 12, 12), classes=4)(x), Runner(ann)(x), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ConfigError, match=r"4.*10 classes"):
        build(options, in_shape=(1, 12, 12), classes=10)
