"""The ONNX Runtime backend: layers opened up in the file itself, and files that are damaged."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.random_graphs import exact_cases
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.export.base import Calibration
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.onnx_models import scan_model, step_model, unrolled_model
from snn_deploy.export.options import OnnxOptions
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.onnx import model_file, runtime
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

ALL = OnnxOptions(models=("step", "scan", "unrolled"))


@pytest.fixture(scope="module")
def net():
    return from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6))


@pytest.fixture
def folder(net, tmp_path):
    OnnxWriter(ALL).write(net, tmp_path, Calibration(torch.zeros(6, 1, 1)))
    return tmp_path


@pytest.mark.parametrize("file", ["model.step.onnx", "model.scan.onnx", "model.unrolled.onnx"])
def test_is_an_executable_that_judges_each_layer_on_given_input(net, folder, file):
    model, simulator, x = BACKENDS.get("onnxruntime").factory(folder / file), Reference(net), spikes_in()
    assert isinstance(model, Executable)
    free = simulator.run(x, record=True)
    given_spikes = {name: 1.0 - free.records[name] for name in ("block1.neuron", "hidden.neuron")}
    expected = simulator.run(x, record=True, forced=given_spikes)
    found = model.run(x, record=True, forced=given_spikes)
    assert not torch.equal(expected.output, free.output)
    assert torch.equal(found.output, expected.output)
    for name in model.layers:
        assert torch.equal(found.records[name], expected.records[name]), name
    assert model.run(x).records == {}
    assert torch.equal(model.run(x).output, free.output)


@settings(deadline=None, max_examples=40)
@given(case=exact_cases(scalar_start=True), seed=st.integers(0, 99))
def test_forcing_any_layers_is_forcing_them_in_the_reference(case, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forced")
    files = OnnxWriter(ALL).write(case.graph, folder, Calibration(case.x)).files
    simulator = Reference(case.graph)
    rng = np.random.default_rng(seed)
    forced = {
        name: torch.from_numpy(rng.integers(0, 2, y.shape).astype(np.float32))
        for name, y in simulator.run(case.x, record=True).records.items()
        if name in simulator.layers and rng.random() < 0.7
    }
    expected = simulator.run(case.x, record=True, forced=forced)
    for file in files.values():
        found = OnnxRuntime(folder / file).run(case.x, record=True, forced=forced)
        assert torch.equal(found.output, expected.output)
        assert all(torch.equal(found.records[n], expected.records[n]) for n in simulator.layers)


@settings(deadline=None, max_examples=20)
@given(case=exact_cases(scalar_start=True), seed=st.integers(0, 99))
def test_single_nodes_are_those_of_the_whole_network(case, seed, tmp_path_factory):
    """Only what a node needs is run, and only what it reads is asked for."""
    folder = tmp_path_factory.mktemp("single")
    files = OnnxWriter(ALL).write(case.graph, folder, Calibration(case.x)).files
    plan, rng = make_plan(case.graph), np.random.default_rng(seed)
    runs = [Reference(plan), *(OnnxRuntime(folder / file) for file in files.values())]
    sent = {
        name: torch.from_numpy(rng.integers(0, 3, (*case.x.shape[:2], *plan.shapes[name])).astype(np.float32))
        for name in plan.order
        if name not in {plan.input, plan.output}
    }
    expected = Reference(plan).run(case.x, record="all", forced=sent).records
    for name in (name for name in plan.order if name != plan.input):
        read = {*plan.sources[name], *plan.feedback.get(name, ())}
        given = {source: y if source in read else y + torch.nan for source, y in sent.items()}
        for run in runs:
            found = run.run_nodes(case.x, given, {name: plan.shapes[name]}, plan.output)
            assert torch.equal(found[name], expected[name]), name
            [(_, kept)] = run.constants([name])
            for array in (plan.node(name).weight,) if hasattr(plan.node(name), "weight") else ():
                assert any(np.array_equal(array, constant) for constant in kept)


def test_what_is_recorded_is_the_files_own_operators(net, folder):
    """Damage one constant inside the file: the change shows in exactly the layer that uses it."""
    model = onnx.load(folder / "model.step.onnx")
    for constant in model.graph.initializer:
        if constant.name == "hidden.neuron.v_threshold":
            constant.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.2), constant.name))
    onnx.save(model, folder / "model.step.onnx")
    simulator, x = Reference(net), spikes_in()
    expected = simulator.run(x, record=True)
    forced = {name: expected.records[name] for name in simulator.layers}
    found = OnnxRuntime(folder / "model.step.onnx").run(x, record=True, forced=forced)
    differing = [n for n in simulator.layers if not torch.equal(found.records[n], expected.records[n])]
    assert differing == ["hidden.neuron"]


def test_refuses_what_does_not_fit(folder):
    model = OnnxRuntime(folder / "model.step.onnx")
    with pytest.raises(DataError, match=r"needs \[T, B, 2, 12, 12\]"):
        model.run(torch.zeros(3, 2, 2, 12, 11))
    with pytest.raises(DataError, match=r"needs \[3, 2, 24\]"):
        model.run(torch.zeros(3, 2, *IN_SHAPE), forced={"hidden.neuron": torch.zeros(3, 1, 24)})
    with pytest.raises(ConfigError, match="unknown layers: hidden"):
        model.run(torch.zeros(3, 2, *IN_SHAPE), forced={"hidden": torch.zeros(3, 2, 24)})


def _metadata(model, **changes) -> None:
    content = json.loads(model.metadata_props[0].value)
    for key, value in changes.items():
        content[key] = value
    model.metadata_props[0].value = json.dumps(content)


def _external(model) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def _external_in_scan(model) -> None:
    body = next(a.g for n in model.graph.node if n.op_type == "Scan" for a in n.attribute if a.name == "body")
    tensor = body.initializer.add(name="t", data_type=1, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _foreign_operator(model) -> None:
    model.graph.node.append(helper.make_node("Run", ["x"], ["y"], domain="evil"))
    model.opset_import.append(helper.make_opsetid("evil", 1))


def _loop(model) -> None:
    """Counts to 2**62."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["go_on"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("go_on", TensorProto.BOOL, [])],
    )  # fmt: skip
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64(2**62), "rounds"))
    model.graph.node.append(helper.make_node("Loop", ["rounds"], [], body=body))


def _huge(model) -> None:
    """Asks for a tebibyte that no output needs."""
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([2**20, 2**20]), "size"))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["size"], ["huge"]))


def _grown(model) -> None:
    """A size that is computed: the product of the axes of the input, squared."""
    name = model.graph.input[0].name
    for node in (
        helper.make_node("Shape", [name], ["s"]),
        helper.make_node("Mul", ["s", "s"], ["s2"]),
        helper.make_node("ConstantOfShape", ["s2"], ["grown"]),
    ):
        model.graph.node.append(node)


def _padded(model) -> None:
    graphs = [model.graph, *(a.g for n in model.graph.node for a in n.attribute if a.HasField("g"))]
    node = next(n for graph in graphs for n in graph.node if n.op_type == "Conv")
    next(a for a in node.attribute if a.name == "pads").ints[:] = [2**20] * 4


def _sparse(model) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.dims[:] = [2**20, 2**20]
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.ones(1, np.float32), "sparse"))
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.zeros(1, np.int64), "sparse_at"))


def _type(model) -> None:
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT64


DAMAGE = {
    "no metadata": (lambda m: m.ClearField("metadata_props"), "has no 'snn_deploy' metadata"),
    "metadata no json": (lambda m: setattr(m.metadata_props[0], "value", "{"), "are damaged"),
    "metadata of another version": (lambda m: _metadata(m, version=2), "version"),
    "metadata without states": (lambda m: _metadata(m, states=[]), "puts of 'model.onnx'"),
    "metadata of the other kind": (
        lambda m: _metadata(m, kind="scan" if m.graph.name == "step" else "step"), "model.onnx",
    ),
    "metadata of a sequence without length": (
        lambda m: _metadata(m, kind="unrolled", timesteps=None), "unrolled over how many",
    ),
    "metadata of an endless sequence": (
        lambda m: _metadata(m, kind="unrolled", timesteps=10**15), "timesteps: ",
    ),
    "metadata with absurd shapes": (
        lambda m: _metadata(m, input={"name": "x", "shape": [2**40]}), "declare the shape",
    ),
    "metadata with negative shapes": (
        lambda m: _metadata(m, output={"name": "out", "shape": [-3]}), "declare the shape",
    ),
    "metadata of unknown layers": (lambda m: _metadata(m, layers=[{"name": "ghost", "shape": [3]}]), "ghost"),
    "external data": (_external, "in another file"),
    "foreign operator": (_foreign_operator, "evil.Run"),
    "a loop without end": (_loop, "the operator 'Loop'"),
    "a tensor beyond memory": (_huge, "[1048576, 1048576]"),
    "computed sizes": (_grown, "Mul of integers"),
    "padding beyond memory": (_padded, "contradict each other"),
    "sparse constants": (_sparse, "sparse constants"),
    "dangling tensor": (lambda m: m.graph.node[0].input.__setitem__(0, "ghost"), "not a sound ONNX file"),
    "missing constant": (lambda m: m.graph.initializer.__delitem__(0), "not a sound ONNX file"),
    "no nodes": (lambda m: m.graph.ClearField("node"), ""),
    "no operator set": (lambda m: m.ClearField("opset_import"), "not a sound ONNX file"),
    "unknown operator set": (lambda m: setattr(m.opset_import[0], "version", 999), ""),
    "functions": (lambda m: m.functions.add(name="f", domain="d"), "functions"),
    "input of another type": (_type, ""),
}  # fmt: skip


@pytest.mark.parametrize("build", [step_model, scan_model, lambda plan: unrolled_model(plan, 2)])
@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_files_give_one_clear_error(kind, build, net, tmp_path):
    damage, says = DAMAGE[kind]
    model = build(make_plan(net))
    damage(model)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(DataError) as caught:
        OnnxRuntime(path).run(spikes_in(2, 1), record=True)
    assert says in str(caught.value)


def test_external_data_inside_a_scan_is_seen(net, tmp_path):
    model = scan_model(make_plan(net))
    _external_in_scan(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="in another file"):
        OnnxRuntime(tmp_path / "model.onnx")


@settings(deadline=None, max_examples=40)
@given(cut=st.floats(0.1, 1.2), flips=st.lists(st.tuples(st.floats(0, 0.2), st.integers(0, 255)), max_size=3))
def test_truncated_and_flipped_bytes_never_give_another_error(net, cut, flips, tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "model.onnx"
    content = bytearray(step_model(make_plan(net)).SerializeToString(deterministic=True))
    for where, value in flips:
        content[int(where * (len(content) - 1))] = value
    path.write_bytes(content[: int(cut * len(content))])
    try:
        OnnxRuntime(path).run(spikes_in(1, 1), record=True)
    except DataError as error:
        assert error.exit_code == 7


def test_missing_and_oversized_files(folder, monkeypatch):
    with pytest.raises(DataError, match="There is no ONNX file"):
        OnnxRuntime(folder / "none.onnx")
    monkeypatch.setattr(model_file, "MAX_FILE_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        OnnxRuntime(folder / "model.step.onnx")


def test_a_file_that_was_changed_after_it_had_been_opened_is_refused(folder):
    path = folder / "model.step.onnx"
    model = OnnxRuntime(path)
    path.write_bytes((folder / "model.scan.onnx").read_bytes())
    with pytest.raises(DataError, match="was changed after it had been opened"):
        model.run(spikes_in(2, 1), record=True)
    path.unlink()
    with pytest.raises(DataError, match="There is no ONNX file"):
        list(model.constants(["anything"]))


def test_what_is_opened_up_for_one_run_leaves_later_runs_as_they_were(folder):
    x = spikes_in(3, 2)
    model = OnnxRuntime(folder / "model.scan.onnx")
    before = model.run(x, record=True)
    name = model.layers[-1]
    zeros = torch.zeros_like(before.records[name])
    forced = model.run(x, forced={name: zeros})
    alone = model.run_nodes(x, before.records, {name: tuple(zeros.shape[2:])}, "output")
    assert not torch.equal(forced.output, before.output)
    assert torch.equal(alone[name], before.records[name])
    assert torch.equal(model.run(x, record=True).output, before.output)


@pytest.mark.parametrize("kind", ["step", "scan"])
def test_large_models_that_are_opened_up_compute_the_same(folder, monkeypatch, kind):
    x = spikes_in(3, 2)
    path = folder / f"model.{kind}.onnx"
    kept = OnnxRuntime(path).run(x, record=True)
    monkeypatch.setattr(runtime, "LARGE", 10)
    large = OnnxRuntime(path)
    for _ in range(2):
        found = large.run(x, record=True)
        assert torch.equal(found.output, kept.output)
        assert all(torch.equal(found.records[name], y) for name, y in kept.records.items())
