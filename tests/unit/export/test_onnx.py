"""ONNX models: sound, private, and equal to the reference simulator in ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from support.graphs import graph, lif
from support.random_graphs import exact_cases
from support.students import IN_SHAPE, NEURONS, spikes_in, student

from snn_deploy.core.errors import DataError, UnsupportedError
from snn_deploy.core.registry import FORMATS
from snn_deploy.export import onnx as onnx_format
from snn_deploy.export import onnx_models
from snn_deploy.export.base import Calibration
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.onnx_models import scan_model, step_model, unrolled_model
from snn_deploy.export.options import OnnxOptions
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

NO_CALIBRATION = Calibration(torch.zeros(1, 1, 1))
ALL = OnnxOptions(models=("step", "scan", "unrolled"))


def write(net: nir.NIRGraph, folder: Path, steps: int = 6) -> dict[str, OnnxRuntime]:
    written = OnnxWriter(ALL).write(net, folder, Calibration(torch.zeros(steps, 1, 1)))
    return {kind: OnnxRuntime(folder / file) for kind, file in written.files.items()}


@settings(deadline=None, max_examples=30)
@given(case=exact_cases(scalar_start=True))
def test_every_spike_of_every_layer_is_equal_in_all_models(case, tmp_path_factory):
    expected = Reference(case.graph).run(case.x, record=True)
    for kind, model in write(case.graph, tmp_path_factory.mktemp("onnx"), len(case.x)).items():
        assert torch.equal(model.run(case.x).output, expected.output), kind
        recorded = model.run(case.x, record=True)
        assert torch.equal(recorded.output, expected.output), kind
        for name in model.layers:
            assert torch.equal(recorded.records[name], expected.records[name]), (kind, name)


@pytest.mark.parametrize("name", NEURONS)
def test_students_spike_equally(name, tmp_path):
    net = from_torch(student(NEURONS[name]), IN_SHAPE, semantics=Semantics(timesteps=6))
    simulator, x = Reference(net), spikes_in()
    expected = simulator.run(x, record=True)
    for kind, model in write(net, tmp_path).items():
        assert model.layers == simulator.layers
        found = model.run(x, record=True)
        for layer in model.layers:
            assert 0.001 < expected.records[layer].mean() < 0.999
            assert torch.equal(found.records[layer], expected.records[layer]), (kind, layer)


def test_batch_and_time_are_free(tmp_path):
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    models = write(net, tmp_path)
    simulator = Reference(net)
    for steps, batch in ((1, 1), (3, 5), (11, 2)):
        x = spikes_in(steps, batch)
        expected = simulator.run(x).output
        assert torch.equal(models["step"].run(x).output, expected)
        assert torch.equal(models["scan"].run(x).output, expected)
    plan = make_plan(net)
    for model in (step_model(plan), scan_model(plan), unrolled_model(plan, 5)):
        symbolic = {
            d.dim_param for v in model.graph.input for d in v.type.tensor_type.shape.dim if d.dim_param
        }
        assert symbolic == ({"time", "batch"} if model.graph.name == "scan" else {"batch"})


def test_an_unrolled_model_has_no_control_flow_and_one_length(tmp_path):
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    for steps in (1, 5):
        model = write(net, tmp_path, steps)["unrolled"]
        assert model.info.timesteps == steps
        for batch in (1, 4):
            x = spikes_in(steps, batch)
            assert torch.equal(model.run(x).output, Reference(net).run(x).output)
        with pytest.raises(DataError, match=f"unrolled over {steps} time steps; the input has 7"):
            model.run(spikes_in(7, 1))
        file = onnx.load(tmp_path / "model.unrolled.onnx")
        assert not {node.op_type for node in file.graph.node} & {"Scan", "Loop", "If"}
        assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_value == steps
        weights = [t.name for t in file.graph.initializer if t.name.endswith(".weight")]
        assert len(weights) == len(set(weights)) == 4, "the steps share their weights"


def test_too_many_steps_to_unroll_are_refused_with_the_way_out(monkeypatch):
    plan = make_plan(graph({"n": lif((2,))}, [("input", "n"), ("n", "output")], (2,), (2,)))
    operators = len(step_model(plan).graph.node)
    monkeypatch.setattr(onnx_models, "MAX_OPERATORS", 3 * operators)
    unrolled_model(plan, 3)
    with pytest.raises(UnsupportedError, match=rf"4 steps of {operators} operators(.|\n)*'scan'"):
        unrolled_model(plan, 4)


@pytest.mark.parametrize("name", ["n.v_in", "n.v_threshold", "n.v_out", "n/h"])
def test_node_names_that_are_tensors_of_ours_are_refused(name, tmp_path):
    edges = [("input", "n"), ("n", name), (name, "output")]
    net = graph({"n": lif((2,)), name: lif((2,))}, edges, (2,), (2,))
    assert {problem.where for problem in OnnxWriter().check(net)} == {name}
    with pytest.raises(UnsupportedError, match="rename the node"):
        write(net, tmp_path)


@pytest.mark.parametrize("name", ["x", "out", "x_seq", "out_seq", "n@0", "batch", "time", "n.weight", "x@1"])
def test_other_node_names_are_no_trouble(name, tmp_path):
    edges = [("input", "n"), ("n", name), (name, "output")]
    net = graph({"n": lif((2,)), name: lif((2,))}, edges, (2,), (2,))
    x = 3 * torch.rand(4, 2, 2)
    expected = Reference(net).run(x, record=True)
    for model in write(net, tmp_path, 4).values():
        found = model.run(x, record=True, forced={name: expected.records[name]})
        assert torch.equal(found.records[name], expected.records[name])
        assert torch.equal(found.output, expected.output)


def test_sequences_end_in_the_states_of_the_steps(tmp_path):
    net = from_torch(student(NEURONS["CUBA"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    models, x = write(net, tmp_path, 4), spikes_in(4, 2)
    state = Reference(net).run(x).state
    for kind in ("scan", "unrolled"):
        session = onnxruntime.InferenceSession(str(tmp_path / f"model.{kind}.onnx"))
        names = [o.name for o in session.get_outputs()]
        finals = dict(zip(names, session.run(None, {"x_seq": x.numpy()}), strict=True))
        for value in models[kind].info.states:
            expected = getattr(state[value.node], value.output.rpartition(".")[2].removesuffix("_out"))
            np.testing.assert_allclose(finals[value.output], expected.numpy(), atol=1e-5)


def test_metadata_say_what_a_user_needs(tmp_path):
    semantics = Semantics(timesteps=6, classes=tuple("0123456789"))
    net = from_torch(student(NEURONS["LIF, v_reset -0.1"]), IN_SHAPE, semantics=semantics)
    infos = {kind: model.info for kind, model in write(net, tmp_path).items()}
    step, scan = infos["step"], infos["scan"]
    assert [info.kind for info in infos.values()] == ["step", "scan", "unrolled"]
    assert (step.input.name, scan.input.name, step.output.name, scan.output.name) == (
        "x", "x_seq", "out", "out_seq",
    )  # fmt: skip
    assert (step.timesteps, step.dt, step.decode, step.classes) == (6, 1e-4, "mean", tuple("0123456789"))
    assert [(s.node, s.input, s.start) for s in step.states][:1] == [
        ("block1.neuron", "block1.neuron.v_in", -0.1)
    ]
    assert len({info.weights_sha256 for info in infos.values()}) == 1
    other = from_torch(student(NEURONS["LIF, v_reset -0.1"], seed=1), IN_SHAPE, semantics=semantics)
    assert (
        json.loads(step_model(make_plan(other)).metadata_props[0].value)["weights_sha256"]
        != step.weights_sha256
    )


def test_files_are_single_deterministic_and_tell_no_paths(tmp_path):
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics(timesteps=6))
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write(net, tmp_path / folder)
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == [
        "model.scan.onnx", "model.step.onnx", "model.unrolled.onnx",
    ]  # fmt: skip
    for file in (tmp_path / "a").iterdir():
        content = file.read_bytes()
        assert content == (tmp_path / "b" / file.name).read_bytes()
        assert str(Path(__file__).parents[3]).encode() not in content
        assert b".py" not in content
        model = onnx.load(file)
        onnx.checker.check_model(model, full_check=True)
        assert [entry.key for entry in model.metadata_props] == ["snn_deploy"]
        assert {o.domain for o in model.opset_import} == {""}
        assert not any(node.metadata_props for node in model.graph.node)


def test_layers_are_found_by_name_in_the_graph():
    net = from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=Semantics())
    made = {output: node.op_type for node in step_model(make_plan(net)).graph.node for output in node.output}
    assert made["block1.neuron"] == "Cast"
    assert made["block1.conv"] == "Conv"
    assert made["flatten"] == "Flatten"
    assert made["hidden.linear"] == "Gemm"


def test_start_values_that_differ_within_a_layer_are_refused():
    node = lif((2,))
    node.v_reset = np.array([0.0, 0.5], np.float32)
    net = graph({"n": node}, [("input", "n"), ("n", "output")], (2,), (2,))
    (problem,) = OnnxWriter().check(net)
    assert problem.where == "n"
    with pytest.raises(UnsupportedError, match="start values"):
        OnnxWriter().write(net, Path("unused"), NO_CALIBRATION)


def test_graphs_beyond_one_file_are_refused(monkeypatch):
    net = graph({"n": lif((4,))}, [("input", "n"), ("n", "output")], (4,), (4,))
    assert OnnxWriter().check(net) == []
    monkeypatch.setattr(onnx_format, "MAX_BYTES", 8)
    assert "bytes of constants" in OnnxWriter().check(net)[0].what


def test_is_registered():
    assert isinstance(FORMATS.get("onnx").factory(OnnxOptions()), OnnxWriter)
