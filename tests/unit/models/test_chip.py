"""The student under the rules is the network that is exported: spike for spike, over random networks."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import layer, neuron
from support.chip import exported, put_on_chip, random_student, train_a_little
from support.students import IN_SHAPE, NEURONS, lively, spikes_in, student
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import STUDENTS
from snn_deploy.graph.lava.net import Conv, Dense
from snn_deploy.graph.lava.rules import chip_problems, simulation_problems
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.chip import as_real
from snn_deploy.models.chip_draft import draft
from snn_deploy.models.chip_modules import ChipConv2d, ChipNeuron, ChipSynapses
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.simulate.loihi import Loihi

HARD = [name for name in NEURONS if "soft" not in name and "CUBA" not in name]


def differing(net: nn.Module, x: torch.Tensor) -> tuple[int, float]:
    """How many spikes of ``net`` and outputs the simulator of its export does not repeat; its firing rate."""
    own = StudentExecutable(net).run(x, record=True)
    simulated = Loihi(exported(net, x).net).run(x, record=True)
    assert list(own.records) == list(simulated.records)
    flips = sum(int((own.records[n] != simulated.records[n]).sum()) for n in own.records)
    rate = float(torch.stack([s.mean() for s in own.records.values()]).mean())
    return flips + int((own.output != simulated.output).sum()), rate


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    kind=st.sampled_from(HARD),
    bits=st.integers(2, 8),
    largest=st.sampled_from([1, 1, 3, 15]),
    spiking=st.booleans(),
)
def test_the_export_repeats_every_spike(seed: int, kind: str, bits: int, largest: int, spiking: bool) -> None:
    net, in_shape = random_student(seed, NEURONS[kind], spiking=spiking)
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(1, largest + 1, (5, 3, *in_shape), generator=generator)
    x = (counts * (torch.rand(counts.shape, generator=generator) < 0.4)).float() / largest
    try:
        put_on_chip(net, x, bits)
    except UnsupportedError as error:  # a layer that rounds to nothing has no scale
        assert "No scale keeps the limits" in str(error)
        return
    train_a_little(net, seed)
    try:
        assert differing(net, x)[0] == 0
    except UnsupportedError as error:
        assert "a dead layer" in str(error)


@pytest.mark.parametrize("kind", HARD)
@pytest.mark.parametrize("bits", [8, 3])
def test_every_neuron_of_a_lively_network_is_repeated(kind: str, bits: int) -> None:
    net = student(NEURONS[kind], norm=True)
    x = spikes_in(batch=8)
    put_on_chip(net, x, bits)
    train_a_little(net, 1)
    flips, rate = differing(net, x)
    assert flips == 0
    assert 0.05 < rate < 0.6


NAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "maxima over spikes": ("vggsnn", {"stages": [[4], [5]], "pooling": "max"}),
    "average pooling": ("vggsnn", {"stages": [[4], [5]], "pooling": "average", "readout": "spiking"}),
    "added spikes": ("sew-resnet18", {"widths": [4, 5], "blocks": [2, 1]}),
    "sum of currents": ("resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
    "membrane shortcuts": ("ms-resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
}


def named(case: str, kind: str = "lif") -> nn.Module:
    name, options = NAMED[case]
    entry = STUDENTS.get(name)
    chosen = entry.options.model_validate({**options, "neuron": {"kind": kind, "tau": 1.5}})
    torch.manual_seed(2)
    return lively(entry.factory(chosen, in_shape=(2, 10, 10), classes=4, timesteps=5))


@pytest.mark.parametrize("case", list(NAMED)[:3])
@pytest.mark.parametrize("kind", ["lif", "if", "plif"])
def test_pooled_and_residual_students_are_repeated(case: str, kind: str) -> None:
    net, x = named(case, kind), spikes_in(batch=6, shape=(2, 10, 10))
    put_on_chip(net, x, 4)
    train_a_little(net, 1)
    own = StudentExecutable(net).run(x, record=True)
    simulated = Loihi(exported(net, x).net).run(x, record=True)
    for name, spikes in own.records.items():
        assert torch.equal(spikes, simulated.records[name]), name
        assert 0.001 < spikes.mean() < 0.999
    assert torch.equal(own.output, simulated.output)


@pytest.mark.parametrize("case", list(NAMED)[3:])
def test_students_that_add_currents_are_refused(case: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        draft(named(case), (2, 10, 10), Semantics())
    assert all("add spikes rather than currents" in problem.try_instead for problem in caught.value.problems)


def test_currents_that_remember_are_repeated() -> None:
    torch.manual_seed(2)
    net = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False, step_mode="m"),
        neuron.CUBALIFNode(c_decay=0.3, v_decay=0.6, v_threshold=0.9),
        layer.Flatten(step_mode="m"),
        layer.Linear(864, 5, bias=False, step_mode="m"),
        neuron.CUBALIFNode(),
    ).eval()
    for module in (net[1], net[4]):
        module.step_mode = "m"
    net[0].weight.data.mul_(3)
    x = spikes_in(batch=8)
    put_on_chip(net, x, 6)
    assert all(module.bias is None for module in net.modules() if isinstance(module, ChipSynapses))
    train_a_little(net, 1)
    flips, rate = differing(net, x)
    assert flips == 0 and 0.02 < rate < 0.8


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000), kind=st.sampled_from(HARD))
def test_analogue_input_is_rounded_as_the_simulator_rounds_it(seed: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(seed)
    net = student(NEURONS[kind], norm=True, seed=seed)
    x = torch.rand(4, 3, *IN_SHAPE, generator=generator)
    put_on_chip(net, x, 6)
    train_a_little(net, seed)
    assert "The input is rounded to multiples of" in str(exported(net, x).notes)
    unit = float(net.block1.conv.unit)
    between = unit * (
        torch.randint(0, 254, x.shape, generator=generator) + 0.5
    )  # as near to a half as can be
    assert differing(net, between)[0] == 0


def test_before_any_training_it_has_the_numbers_of_the_post_training_quantisation() -> None:
    net, x = student(NEURONS["PLIF"], norm=True), spikes_in(batch=8)
    quantized = put_on_chip(net, x, 4)
    again = exported(net, x)
    np.testing.assert_allclose(again.scales, quantized.scales, rtol=1e-12)
    for one, other in zip(quantized.net.populations, again.net.populations, strict=True):
        assert isinstance(one, Conv | Dense) and isinstance(other, Conv | Dense)
        assert one.neuron is not None and other.neuron is not None
        for numbers in ("threshold", "voltage_decay", "current_decay"):
            assert getattr(one.neuron, numbers) == getattr(other.neuron, numbers)
        np.testing.assert_array_equal(one.bias, other.bias)
        # the search rounds first and fits the scale then; training rounds at the scale that was fitted
        apart = np.abs(one.weight - other.weight)
        assert apart.max() <= 32 and (apart > 0).mean() < 0.03
    assert all(row["chosen by"] == "trained" for row in again.table)
    # nothing but half a 64th of a weight unit, by which the real threshold lies above the integer one
    assert all(row["current error / threshold"] < 0.01 / row["vThMant"] for row in again.table)


def test_what_was_pushed_to_the_limits_is_still_legal() -> None:
    net, x = student(NEURONS["IF"], norm=True), spikes_in(batch=4)
    put_on_chip(net, x, 8)
    train_a_little(net, 3, size=200.0)
    made = exported(net, x).net
    assert not simulation_problems(made) and not chip_problems(made)
    weights = [layer.weight for layer in made.layers if isinstance(layer, Conv | Dense)]
    assert all(w.min() == -256 and w.max() == 254 for w in weights)
    assert differing(net, x)[0] == 0


def test_the_real_copy_differs_by_truncation_alone() -> None:
    x = spikes_in(batch=16, steps=12)
    for kind in ("IF", "LIF, tau 3"):
        net = student(NEURONS[kind], norm=True, pool=False)
        put_on_chip(net, x, 8)
        own, real = (StudentExecutable(n).run(x, record=True).records for n in (net, as_real(net)))
        flips = sum(int((own[name] != real[name]).sum()) for name in own)
        spikes = sum(int(s.sum()) for s in own.values())
        assert flips == 0 if kind == "IF" else 0 < flips < 0.02 * spikes


def test_module_paths_taps_and_parameters_stay() -> None:
    net = student(NEURONS["LIF"], norm=True)
    before, kept = spiking_layers(net), {name for name, _ in net.named_modules()}
    put_on_chip(net, spikes_in(), 8)
    assert spiking_layers(net) == before
    assert all(net.get_submodule(name) is not None for name in kept)
    assert isinstance(net.block1.conv, ChipConv2d) and isinstance(net.block1.neuron, ChipNeuron)
    assert isinstance(net.block1.norm, nn.Identity) and isinstance(net.drop, nn.Identity)
    x = spikes_in()
    assert torch.equal(net.train()(x), net.eval()(x))  # no dropout, no batch statistics


@pytest.mark.parametrize("kind", ["LIF", "PLIF", "LIF, tau 3"])
def test_time_constants_become_4096ths(kind: str) -> None:
    net, x = student(NEURONS[kind]), spikes_in()
    decay = {"LIF": 2048, "PLIF": round(4096 / 2.7), "LIF, tau 3": 1365}[kind]
    put_on_chip(net, x, 8)
    assert int(net.block1.neuron.voltage_decay) == decay
    graph = from_torch(as_real(net), IN_SHAPE, semantics=Semantics())
    node = graph.nodes["block1.neuron"]
    assert np.allclose(1e-4 / node.tau, decay / 4096, rtol=1e-12)


def soft() -> nn.Module:
    return student(NEURONS["LIF, soft reset"])


def sequence(**layers: nn.Module) -> nn.Module:
    net = nn.Sequential(OrderedDict(layers))
    for module in net.modules():
        if hasattr(module, "step_mode"):
            module.step_mode = "m"
    return net


def pooled_currents() -> nn.Module:
    return sequence(
        conv=layer.Conv2d(2, 4, 3), pool=layer.AvgPool2d(2), neuron=neuron.IFNode(), flat=layer.Flatten()
    )


def no_weights() -> nn.Module:
    return sequence(
        conv=layer.Conv2d(2, 4, 3), neuron=neuron.IFNode(), pool=layer.AvgPool2d(2), again=neuron.IFNode()
    )


def pooled_input() -> nn.Module:
    return sequence(pool=layer.AvgPool2d(2), conv=layer.Conv2d(2, 4, 3), neuron=neuron.IFNode())


@pytest.mark.parametrize(
    ("make", "where", "what", "way_out"),
    [
        (soft, "block1.neuron", "subtracts the threshold at a spike", "v_reset=0.0"),
        (pooled_currents, "conv", "currents do not go straight into neurons", "pool behind neurons"),
        (no_weights, "again", "do not follow one layer of weights", "pool behind neurons"),
        (pooled_input, "input", "does not go straight into weights", "pool behind the neurons"),
    ],
)
def test_what_the_chip_cannot_run_is_refused_by_name(make, where: str, what: str, way_out: str) -> None:
    with pytest.raises(UnsupportedError, match="cannot be trained under the rules") as caught:
        draft(make(), IN_SHAPE, Semantics())
    found = [problem for problem in caught.value.problems if problem.where == where]
    assert what in found[0].what or what in str(found)
    assert any(way_out in problem.try_instead for problem in found)


def test_all_refusals_come_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        draft(soft(), IN_SHAPE, Semantics())
    assert {p.where for p in caught.value.problems} == {
        "block1.neuron", "block2.neuron", "hidden.neuron", "readout.neuron",
    }  # fmt: skip
