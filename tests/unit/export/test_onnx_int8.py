"""INT8 models: integers worked by hand, limits in which nothing is lost, and networks that are refused."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import nir
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, numpy_helper
from support.graphs import graph, lif
from support.random_graphs import exact_cases
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.export.base import Calibration
from snn_deploy.export.bundle import BundleOptions, write_bundle
from snn_deploy.export.manifest import Network
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.onnx_int8 import LEVELS, Int8, Quantized
from snn_deploy.export.options import OnnxOptions
from snn_deploy.export.verify import Samples
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

NAMES = ("step-int8", "scan-int8", "unrolled-int8")
ALL = OnnxOptions(models=NAMES)


def quantize(plan: Plan, x: torch.Tensor) -> Mapping[str, Quantized]:
    return Int8(x)(plan.graph).layers


def write(net: nir.NIRGraph, folder, x: torch.Tensor) -> dict[str, OnnxRuntime]:
    written = OnnxWriter(ALL).write(net, folder, Calibration(x))
    return {name: OnnxRuntime(folder / file) for name, file in written.files.items()}


def dense(weight, bias=None, *before: tuple[str, nir.NIRNode]) -> nir.NIRGraph:
    """input -> before ... -> fc -> output."""
    weight = np.asarray(weight, np.float32)
    fc = nir.Linear(weight) if bias is None else nir.Affine(weight, np.asarray(bias, np.float32))
    nodes = {**dict(before), "fc": fc}
    names = ["input", *nodes, "output"]
    shape = (weight.shape[1],)
    return graph(nodes, list(itertools.pairwise(names)), shape, (weight.shape[0],))


def test_integers_and_scales_worked_by_hand():
    net = dense([[1.27, -0.5, 0.004], [0.0, 0.0254, -0.0127]], [0.3, -1.0])
    layer = quantize(make_plan(net), torch.tensor([0.0, 0.25, -0.75]).expand(2, 1, 3))["fc"]
    assert layer.x_scale == 0.25
    assert layer.exact
    np.testing.assert_allclose(layer.weight_scales, [0.01, 0.0002], rtol=1e-6)
    assert layer.weight.tolist() == [[127, -50, 0], [0, 127, -64]]
    assert layer.bias is not None
    assert layer.bias.tolist() == [round(0.3 / 0.0025), round(-1.0 / 0.00005)]


def test_outputs_are_those_of_integer_arithmetic(tmp_path):
    """The file against numpy with integers: sum of w x in integers, plus bias, times both scales."""
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(7, 30)), rng.normal(size=7)
    x = torch.from_numpy(rng.normal(size=(4, 5, 30)).astype(np.float32))
    net = dense(weight, bias)
    layer = quantize(make_plan(net), x)["fc"]
    assert not layer.exact
    assert layer.x_scale == pytest.approx(float(x.abs().max()) / 127)
    x_int = np.clip(np.rint(x.numpy() / np.float32(layer.x_scale)), -128, 127).astype(np.int64)
    sums = x_int @ layer.weight.astype(np.int64).T + layer.bias
    expected = sums * layer.x_scale * layer.weight_scales.astype(np.float64)
    for name, model in write(net, tmp_path, x).items():
        np.testing.assert_allclose(model.run(x).output.numpy(), expected, rtol=1e-5, atol=1e-5, err_msg=name)
    exact = Reference(net).run(x).output.numpy()
    assert 0 < np.abs(expected - exact).max() < 0.2


@settings(deadline=None, max_examples=60)
@given(
    arrays.arrays(np.float32, (3, 8), elements=st.floats(-2, 2, width=32)),
    st.sampled_from([1.0, 0.5, 1 / 9]),
)
def test_no_weight_is_off_by_more_than_half_a_step(weight, grid):
    x = grid * torch.tensor([0.0, 1.0, 3.0, 9.0]).repeat(2).expand(2, 1, 8)
    layer = quantize(make_plan(dense(weight, weight[:, 0])), x)["fc"]
    assert layer.x_scale == pytest.approx(grid)
    scales = layer.weight_scales.astype(np.float64)
    error = np.abs(layer.weight * scales[:, None] - weight)
    assert (error <= 0.5 * scales[:, None] * (1 + 1e-5) + 1e-28).all()
    assert (np.abs(layer.weight).max(1)[np.abs(weight).max(1) > 1e-25] == LEVELS).all()
    assert layer.bias is not None
    bias_error = np.abs(layer.bias * scales * grid - weight[:, 0])
    assert (bias_error <= 0.5 * scales * grid * (1 + 1e-4) + 1e-25).all()


def on_the_grid(net: nir.NIRGraph, rng: np.random.Generator) -> nir.NIRGraph:
    """Weights k / 64 with k from -127 to 127 and 127 in every channel, biases on the grid of sums."""
    for node in net.nodes.values():
        if isinstance(node, WEIGHT_NODES):
            node.weight = rng.integers(-127, 128, node.weight.shape).astype(np.float32) / 64
            node.weight.reshape(len(node.weight), -1)[:, 0] = rng.choice([-127, 127], len(node.weight)) / 64
            if hasattr(node, "bias"):
                node.bias = rng.integers(-64, 65, node.bias.shape).astype(np.float32) / 4
    return net


@settings(deadline=None, max_examples=15)
@given(case=exact_cases(scalar_start=True), seed=st.integers(0, 2**16))
def test_what_fits_into_eight_bits_is_not_changed(case, seed, tmp_path_factory):
    net = on_the_grid(case.graph, np.random.default_rng(seed))
    plan = make_plan(net)
    if not all(layer.exact and layer.x_scale <= 1 for layer in quantize(plan, case.x).values()):
        return
    expected = Reference(net).run(case.x, record=True)
    for name, model in write(net, tmp_path_factory.mktemp("int8"), case.x).items():
        found = model.run(case.x, record=True)
        for layer in model.layers:
            assert torch.equal(found.records[layer], expected.records[layer]), (name, layer)
        torch.testing.assert_close(found.output, expected.output, rtol=1e-5, atol=1e-4)


def test_calibration_sees_whole_sequences_and_loops():
    integrator = nir.I(np.full(2, 1e4, np.float32))
    net = dense(np.eye(2), None, ("sum", integrator))
    write_semantics(net, Semantics())
    layer = quantize(make_plan(net), 0.3 * torch.ones(50, 2, 2))["fc"]
    assert layer.x_scale == pytest.approx(50 * 0.3 / 50, rel=1e-5), "a grid of 0.3, reached at the last step"
    layer = quantize(make_plan(net), torch.rand(50, 2, 2, generator=torch.Generator().manual_seed(0)))["fc"]
    assert layer.x_scale * LEVELS > 20

    nodes = {"n": lif((2,)), "back": nir.Linear(np.eye(2, dtype=np.float32))}
    loop = graph(nodes, [("input", "n"), ("n", "back"), ("back", "n"), ("n", "output")], (2,), (2,))
    assert quantize(make_plan(loop), 9 * torch.ones(3, 1, 2))["back"].x_scale == 1.0
    early = torch.zeros(3, 1, 2)
    assert quantize(make_plan(loop), early)["back"].exact, "silence"


@pytest.mark.parametrize(("largest", "exact"), [(127, True), (128, False)])
def test_counts_are_exact_as_far_as_eight_bits_reach(largest, exact):
    x = torch.tensor([0.0, 1.0, largest]).expand(1, 1, 3)
    layer = quantize(make_plan(dense(np.ones((1, 3)))), x)["fc"]
    assert layer.exact is exact
    assert layer.x_scale == (1.0 if exact else pytest.approx(128 / 127))


def test_rounding_errors_are_no_grid():
    x = torch.tensor([0.0, 1 / 3, np.nextafter(np.float32(1 / 3), np.float32(1)), 4 / 3, 2.0])
    layer = quantize(make_plan(dense(np.ones((1, 5)))), x.expand(1, 1, 5))["fc"]
    assert layer.exact
    assert layer.x_scale == pytest.approx(1 / 3)


def test_parts_of_the_calibration_give_the_whole(monkeypatch):
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics())
    x = torch.rand(4, 6, *IN_SHAPE, generator=torch.Generator().manual_seed(0))
    whole = quantize(make_plan(net), x)
    monkeypatch.setattr("snn_deploy.export.onnx_int8.CALIBRATION_ELEMENTS", 1)
    parts = quantize(make_plan(net), x)
    assert {name: layer.x_scale for name, layer in parts.items()} == {
        name: layer.x_scale for name, layer in whole.items()
    }


def test_the_file_holds_int8_weights_and_float_neurons(tmp_path):
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    models = write(net, tmp_path, spikes_in())
    for name, model in models.items():
        assert model.info.precision == "int8"
        assert model.info.kind == name.removesuffix("-int8")
    file = onnx.load(tmp_path / "model.step-int8.onnx")
    assert file.opset_import[0].version >= 18
    constants = {tensor.name: tensor for tensor in file.graph.initializer}
    made = {output: node for node in file.graph.node for output in node.output}
    products = [node for node in file.graph.node if node.op_type in {"Conv", "Gemm"}]
    assert len(products) == 4
    for node in products:
        x, weight = made[node.input[0]], made[node.input[1]]
        assert (x.op_type, weight.op_type) == ("DequantizeLinear", "DequantizeLinear")
        assert made[x.input[0]].op_type == "QuantizeLinear"
        stored = constants[weight.input[0]]
        assert stored.data_type == TensorProto.INT8
        assert numpy_helper.to_array(constants[weight.input[1]]).shape == (stored.dims[0],), "per channel"
    assert all(value.type.tensor_type.elem_type == TensorProto.FLOAT for value in file.graph.input)
    read = {source for node in products for source in node.input}
    quantized = {o for n in file.graph.node if n.op_type == "DequantizeLinear" for o in n.output}
    assert quantized <= read, "nothing but weights, biases and their inputs is in integers"


def test_a_bundle_reports_the_drift_and_judges_by_accuracy(tmp_path):
    plan = make_plan(from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6)))
    reference, x = Reference(plan), spikes_in(6, 40)
    decided = reference.run(x).output.mean(0).argmax(1)
    samples, calibration = Samples(x, decided), Calibration(x)
    network = Network("n", plan, reference, samples, calibration, {"data": {}})
    options = BundleOptions(("onnx",), models=("step-int8", "step"), max_accuracy_drop=0.5)
    (tmp_path / "b").mkdir()
    manifest = write_bundle(network, tmp_path / "b", options)
    exact, approximate = manifest["parity"]
    assert (exact["format"], exact["exact"], exact["verdict"]) == ("onnx step", True, "equal")
    assert (approximate["format"], approximate["exact"]) == ("onnx step-int8", False)
    print(approximate["accuracy"], approximate["agreement"], approximate["layers"])
    assert approximate["verdict"] == "approximate"
    assert 0.99 < approximate["agreement"] < 1.0
    assert all(0 < layer["differing"] < 0.02 * layer["compared"] for layer in approximate["layers"])
    assert approximate["accuracy_reference"] == 1.0
    assert 0.5 <= approximate["accuracy"] < 1.0, "an untrained network decides by a spike more or less"
    assert len(manifest["formats"]["onnx"]["tables"]["quantisation"]) == 4
    assert manifest["formats"]["onnx"]["approximations"]
    with np.load(tmp_path / "b" / "example.npz") as example:
        assert set(example) == {"x", "onnx_out", "onnx_step-int8_out"}
    strict = write_bundle(network, tmp_path / "b", replace(options, max_accuracy_drop=0.0))["parity"][1]
    assert strict["verdict"] == "failed"
    assert "allowed 0.0" in strict["reason"]


def test_what_cannot_be_quantized_is_refused(tmp_path):
    net = graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,))
    (problem,) = OnnxWriter(ALL).check(net)
    assert problem.what == "no layer of weights"
    assert OnnxWriter().check(net) == []
    with pytest.raises(UnsupportedError, match="no layer of weights"):
        write(net, tmp_path, torch.ones(1, 1, 2))
    huge = dense([[1e-3, 0.0], [1.0, 1.0]], [1e6, 0.0])
    with pytest.raises(UnsupportedError, match="fc: a bias that is too large beside its weights"):
        write(huge, tmp_path, torch.ones(1, 1, 2))
    assert list(tmp_path.iterdir()) == []


def test_unknown_models_are_refused_by_name(tmp_path):
    plan = make_plan(dense(np.eye(2)))
    x = torch.ones(1, 1, 2)
    network = Network("n", plan, Reference(plan), Samples(x), Calibration(x))
    with pytest.raises(ConfigError, match="unknown: scam; known: step, scan, unrolled, step-int8"):
        write_bundle(network, tmp_path, BundleOptions(formats=("onnx",), models=("scam",)))


@pytest.mark.parametrize("largest", [1e-9, 3e-8, 1e-12])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_dead_channel_beside_its_bias_stops_nothing(largest, sign, tmp_path):
    """What weight decay leaves behind a batch norm: channel 0 fires every third step from its bias of 0.4."""
    net = dense([[largest, -largest], [1.0, 0.5], [0.25, -1.0]], [0.4 * sign, 0.0, 0.125])
    x = (torch.rand(12, 8, 2, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    found = write(net, tmp_path, x)["scan-int8"].run(x).output
    wanted = Reference(net).run(x).output
    assert torch.allclose(found[..., 0], wanted[..., 0], atol=1e-6)
    assert torch.allclose(found, wanted, atol=0.05)
