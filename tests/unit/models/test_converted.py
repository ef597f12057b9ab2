"""The student ``converted``: the network of a conversion, weights, starts and spikes."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from support.anns import PlainNet, ResidualNet, images, trained

from snn_deploy.convert.calibrate import calibrate
from snn_deploy.convert.choices import Choices
from snn_deploy.convert.from_module import from_module
from snn_deploy.convert.network import spiking_graph
from snn_deploy.core.errors import ConfigError, DataError, UnsupportedError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.registry import STUDENTS
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.simulate.reference import Reference

STEPS = 4


@pytest.fixture(scope="module", params=[PlainNet, ResidualNet])
def network(request, tmp_path_factory):
    """The file of a small converted network."""
    ann = from_module(trained(request.param), (1, 12, 12))
    graph = spiking_graph(calibrate(ann, images(64)[0], STEPS, Choices(rounds=2)), list("abcd"))
    path = tmp_path_factory.mktemp("conversion") / "network.nir"
    write_nir(PortableEncoding()(graph), path)
    return path


def student(path, classes=4, **options):
    given = {"network": path, "sha256": sha256_file(path), **options}
    made = STUDENTS.options("converted").model_validate(given)
    factory = STUDENTS.get("converted").factory
    return factory(made, in_shape=(1, 12, 12), classes=classes, timesteps=STEPS)


def shown(count=40):
    return images(count, seed=5)[0].expand(STEPS, count, 1, 12, 12)


def test_spikes_and_scores_are_those_of_the_conversion(network):
    reference = Reference(make_plan(read_nir(network))).run(shown(), record=True)
    run = StudentExecutable(student(network)).run(shown(), record=True)
    assert run.records
    for name, spikes in run.records.items():
        expected = next(v for k, v in reference.records.items() if k.replace(".", "_") == name)
        assert expected.any()
        assert torch.equal(spikes, expected), name
    torch.testing.assert_close(run.output, reference.output, rtol=1e-5, atol=1e-5)


def test_weights_and_thresholds_are_those_of_the_file(network):
    plan, made = make_plan(read_nir(network)), student(network)
    for name in plan.order:
        node = plan.node(name)
        if hasattr(node, "weight"):
            weight = made.get_submodule(name.replace(".", "_")).weight
            np.testing.assert_array_equal(weight.detach().numpy(), node.weight)
            assert weight.requires_grad
    for name in plan.of_type(nir.IF):
        neurons = made.get_submodule(name.replace(".", "_"))
        np.testing.assert_array_equal(
            np.broadcast_to(neurons.v_threshold, plan.shapes[name]), plan.node(name).v_threshold
        )


def test_its_graph_is_that_of_the_conversion(network):
    semantics = Semantics(timesteps=STEPS, classes=tuple("abcd"))
    graph = from_torch(student(network), (1, 12, 12), semantics=semantics)
    stated = read_semantics(graph)
    assert (stated.reset, stated.start, stated.fires_at) == ("subtract", "zero", ">=")
    ours, theirs = (Reference(make_plan(g)).run(shown(), record=True) for g in (graph, read_nir(network)))
    assert torch.equal(ours.output, theirs.output)
    for name, spikes in theirs.records.items():
        if name.replace(".", "_") in ours.records:
            assert torch.equal(ours.records[name.replace(".", "_")], spikes), name


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "if"},
        {"kind": "if", "v_threshold": 0.5},
        {"kind": "lif", "tau": 3.0, "decay_input": True},
        {"kind": "lif", "tau": 3.0, "v_reset": None, "decay_input": False},
    ],
)
def test_other_neurons_fire_first_where_the_conversion_does(network, options):
    """In the first step, before anything leaks or resets, and as far as the input layer reaches."""
    made = student(network, neuron=options)
    neurons = [m for m in made.modules() if isinstance(m, neuron.BaseNode)]
    assert neurons
    reference = Reference(make_plan(read_nir(network))).run(shown(), record=True)
    records = StudentExecutable(made).run(shown(), record=True).records
    for name, spikes in reference.records.items():
        if name.replace(".", "_") in records:
            differing = (records[name.replace(".", "_")][0] != spikes[0]).double().mean()
            assert differing < 1e-3, name  # a sum rounded on the other side of a threshold


def test_gradients_reach_every_weight(network):
    made = student(network)
    functional.reset_net(made)
    made(shown(8)).mean(0).square().sum().backward()
    for name, weight in made.named_parameters():
        assert weight.grad is not None, name


def test_a_threshold_of_its_own_is_refused_with_soft_reset(network):
    with pytest.raises(ConfigError, match="keeps its own thresholds"):
        student(network, neuron={"kind": "if", "v_reset": None, "v_threshold": 0.5})


def test_other_classes_and_other_bytes_are_refused(network):
    with pytest.raises(ConfigError, match=r"4,.*10 classes"):
        student(network, classes=10)
    with pytest.raises(DataError, match="changed since"):
        student(network, sha256="0" * 64)


@pytest.mark.parametrize("kind", [{"kind": "if", "v_reset": None}, {"kind": "lif"}])
def test_thresholds_that_differ_within_a_channel_are_refused_by_name(network, tmp_path, kind):
    graph = read_nir(network)
    name, node = next((name, node) for name, node in graph.nodes.items() if isinstance(node, nir.IF))
    node.v_threshold = node.v_threshold.copy()
    node.v_threshold.flat[0] += 1
    write_nir(PortableEncoding()(graph), tmp_path / "other.nir")
    with pytest.raises(UnsupportedError, match="not one of a conversion") as caught:
        student(tmp_path / "other.nir", neuron=kind)
    assert [problem.where for problem in caught.value.problems] == [name]
