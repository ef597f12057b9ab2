"""Networks of spikingjelly and torch layers as graphs: spikes equal in every layer."""

from __future__ import annotations

from collections import OrderedDict

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from support.membranes import membranes64
from support.passes import portable
from support.students import IN_SHAPE, NEURONS, multi, pooled, spikes_in, student
from torch import nn

from snn_deploy.export.parity import compare_layer
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import read_nir, write_nir
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.simulate.reference import Reference

SEMANTICS = Semantics(timesteps=6)


@pytest.mark.parametrize("name", NEURONS)
def test_spikes_equal_in_every_layer(name):
    net = student(NEURONS[name])
    simulator = Reference(from_torch(net, IN_SHAPE, semantics=SEMANTICS))
    x = spikes_in()
    expected = StudentExecutable(net).run(x, record=True)
    found = simulator.run(x, record=True)
    assert simulator.layers == ("block1.neuron", "block2.neuron", "hidden.neuron", "readout.neuron")
    for path in simulator.layers:
        assert 0.001 < expected.records[path].mean() < 0.999, path
        assert torch.equal(found.records[path], expected.records[path]), path
    assert torch.equal(found.output, expected.output)


@pytest.mark.parametrize("name", ["LIF", "LIF, no decay of the input", "IF", "PLIF", "CUBA"])
def test_folded_batch_norm_changes_nothing_but_ties(name):
    net = student(NEURONS[name], norm=True)
    graph = from_torch(net, IN_SHAPE, semantics=SEMANTICS)
    assert not any("norm" in path for path in graph.nodes)
    plan, x = make_plan(graph), spikes_in(batch=8)
    expected = StudentExecutable(net).run(x, record=True)
    forced = Reference(plan).run(x, record="all", forced=expected.records)
    for path, spikes in expected.records.items():

        def distance(layer_name: str, _flips: torch.Tensor) -> torch.Tensor:
            fed = forced.records[plan.sources[layer_name][0]]
            return (membranes64(plan, layer_name, fed, expected.records[layer_name]) - 1.0).abs()

        parity = compare_layer(path, spikes, forced.records[path], forced.records[path], distance)
        assert 0.001 < spikes.mean() < 0.999
        assert parity.unexplained == 0


def test_semantics_are_those_of_the_neurons():
    semantics = Semantics(dt=1e-3, timesteps=9, classes=("a", "b"), decode="last", assumed=("dt", "reset"))
    hard = read_semantics(from_torch(student(NEURONS["LIF"]), IN_SHAPE, semantics=semantics))
    soft = read_semantics(from_torch(student(NEURONS["IF, soft reset"]), IN_SHAPE, semantics=semantics))
    assert (hard.dt, hard.timesteps, hard.classes, hard.decode) == (1e-3, 9, ("a", "b"), "last")
    assert (hard.fires_at, hard.reset, hard.integrator, hard.assumed) == (">=", "zero", "euler", ())
    assert soft.reset == "subtract"


def test_dt_does_not_change_what_is_computed():
    net, x = student(NEURONS["LIF, tau 3"]), spikes_in()
    outputs = [
        Reference(from_torch(net, IN_SHAPE, semantics=Semantics(dt=dt))).run(x).output
        for dt in (1e-4, 1e-3, 1.0)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[0], outputs[2])


def test_training_mode_is_taken_as_evaluation():
    net = student(NEURONS["IF"], norm=True)
    x = spikes_in()
    evaluated = Reference(from_torch(net, IN_SHAPE, semantics=SEMANTICS)).run(x).output
    trained = Reference(from_torch(net.train(), IN_SHAPE, semantics=SEMANTICS)).run(x).output
    assert torch.equal(evaluated, trained)


class Residual(nn.Module):
    """SEW block: g(x) + x on spikes, then a membrane shortcut into the next neuron."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(layer.Conv2d(2, 4, 3, padding=1), neuron.IFNode())
        self.conv = layer.Conv2d(4, 4, 3, padding=1)
        self.fire = neuron.IFNode()
        self.shortcut = layer.Conv2d(4, 6, 1, stride=2)
        self.down = layer.Conv2d(4, 6, 3, stride=2, padding=1)
        self.last = neuron.LIFNode()
        self.pool = layer.AdaptiveAvgPool2d(2)
        self.head = layer.Linear(24, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = self.fire(self.conv(x)) + x
        x = self.last(torch.add(self.down(x), self.shortcut(x)))
        x = self.pool(x)
        return self.head(x.flatten(2))


def scaled(net: nn.Module, factor: float = 4.0) -> nn.Module:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.weight.data.mul_(factor)
    return multi(net)


def test_residual_sums_become_edges():
    net = scaled(Residual())
    graph = from_torch(net, (2, 8, 8), semantics=SEMANTICS)
    plan = make_plan(graph)
    assert plan.sources["down"] == ("fire", "stem.1")
    assert plan.sources["last"] == ("down", "shortcut")
    assert plan.shapes["pool"] == (6, 2, 2)
    x = spikes_in(shape=(2, 8, 8))
    functional.reset_net(net)
    with torch.no_grad():
        expected = net(x)
    found = Reference(plan).run(x).output
    assert expected.abs().max() > 0.1
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_depthwise_dilated_and_one_dimensional_convolutions():
    net = scaled(
        nn.Sequential(
            layer.Conv1d(4, 8, 3, padding="same", dilation=2, groups=2),
            neuron.IFNode(),
            layer.Conv1d(8, 8, (5,), stride=2, groups=8, bias=False),
            neuron.IFNode(),
        )
    )
    x = spikes_in(shape=(4, 16))
    simulator = Reference(from_torch(net, (4, 16), semantics=SEMANTICS))
    expected = StudentExecutable(net).run(x, record=True)
    found = simulator.run(x, record=True)
    assert all(torch.equal(found.records[path], expected.records[path]) for path in ("1", "3"))


def test_grouped_and_non_square_kernels(tmp_path):
    """NIR 1.0.8's own type check refuses both, although the file says what they are."""
    net = scaled(
        nn.Sequential(
            layer.Conv2d(4, 8, (3, 5), padding=(1, 2), stride=(2, 1), groups=2),
            neuron.IFNode(),
            layer.Conv2d(8, 8, (1, 3), dilation=(1, 2), groups=8, bias=False),
            neuron.IFNode(),
        )
    )
    x = spikes_in(shape=(4, 9, 11))
    graph = from_torch(net, (4, 9, 11), semantics=SEMANTICS)
    write_nir(portable(make_plan(graph))[0], tmp_path / "model.nir")
    with pytest.raises(ValueError, match="type mismatch"):
        nir.read(tmp_path / "model.nir")
    expected = StudentExecutable(net).run(x, record=True)
    found = Reference(read_nir(tmp_path / "model.nir")).run(x, record=True)
    assert expected.records["3"].mean() > 0.01
    assert all(torch.equal(found.records[path], expected.records[path]) for path in ("1", "3"))


def test_containers_and_single_step_networks():
    """The same weights as one multi-step network, in per-step containers, and as a single-step network."""
    conv, linear = nn.Conv2d(2, 4, 3), nn.Linear(4 * 36, 5)
    conv.weight.data.mul_(4)
    linear.weight.data.mul_(4)

    def fire(mode: str) -> nn.Module:
        return neuron.IFNode(step_mode=mode)

    contained = nn.Sequential(
        layer.SeqToANNContainer(conv), fire("m"), layer.SeqToANNContainer(nn.Flatten(), linear), fire("m")
    )
    stepped = nn.Sequential(layer.MultiStepContainer(conv, fire("s"), nn.Flatten(), linear, fire("s")))
    single = nn.Sequential(conv, fire("s"), nn.Flatten(), linear, fire("s"))
    x = spikes_in(shape=(2, 8, 8))
    outputs = []
    for net in (contained, stepped, single):
        outputs.append(Reference(from_torch(net.eval(), (2, 8, 8), semantics=SEMANTICS)).run(x).output)
    assert outputs[0].mean() > 0.01
    functional.reset_net(contained)
    with torch.no_grad():
        expected = contained(x)
    assert all(torch.equal(output, expected) for output in outputs)


def test_delays_and_reused_stateless_modules():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pool = layer.AvgPool2d(2)
            self.late = layer.Delay(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.late(self.pool(self.pool(x)))

    net = multi(Twice())
    graph = from_torch(net, (1, 8, 8), semantics=SEMANTICS)
    assert set(graph.nodes) == {"input", "pool", "pool:2", "late", "output"}
    x = torch.rand(5, 2, 1, 8, 8)
    assert torch.allclose(Reference(graph).run(x).output, net(x))


def test_names_input_and_output_of_modules_are_kept():
    net = multi(nn.Sequential(OrderedDict(input=layer.Linear(3, 4), output=neuron.IFNode())))
    graph = from_torch(net, (3,), semantics=SEMANTICS)
    assert isinstance(graph.nodes["input"], nir.Affine)
    assert isinstance(graph.nodes["output"], nir.IF)
    assert make_plan(graph).input == "input_node"


@pytest.mark.parametrize("options", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 1, "padding": 1}])
def test_the_maximum_over_spikes_is_a_sum_above_one_half(options) -> None:
    net = pooled(**options)
    graph = from_torch(net, IN_SHAPE, semantics=Semantics(timesteps=5))
    assert [type(graph.nodes[name]) for name in ("pool.sum", "pool")] == [nir.SumPool2d, nir.Threshold]
    x = (torch.rand(5, 3, *IN_SHAPE) < 0.2).float()
    expected = net(x)
    assert 0 < expected.mean() < 1
    assert torch.equal(Reference(graph).run(x).output, expected)


def test_weights_are_copies_in_float32():
    net = student(NEURONS["IF"]).double()
    graph = from_torch(net, IN_SHAPE, semantics=SEMANTICS)
    weight = graph.nodes["hidden.linear"].weight
    assert weight.dtype == np.float32
    before = weight.copy()
    net.hidden.linear.weight.data.zero_()
    assert np.array_equal(weight, before)
