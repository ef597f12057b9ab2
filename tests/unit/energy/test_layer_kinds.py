"""The thirty kinds of layer: counts of the hub graph and of a live torch module equal an enumeration.

NIR has no transposed convolution: those two kinds are counted live, and refused by name for a graph.
"""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.synapses import conv_connections, events, linear_connections
from spikingjelly.activation_based import layer, neuron
from support.graphs import graph, lif, spike_trace
from support.layer_kinds import KINDS, NETWORKS, build
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.energy.count import count
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.reference import Reference
from snn_deploy.synapses.live import EventCounter

T, B = 2, 2
ON_GRAPHS = [name for name, kind in KINDS.items() if not kind.transposed]
SEEDS = st.integers(0, 2**20)


def test_there_are_thirty():
    assert len(KINDS) + len(NETWORKS) == 30


def enumerated(connections, rows):
    """Events by site, over weights that are not zero, and targets reached, summed over ``rows``."""
    found = [events(connections, row) for row in rows]
    return tuple(
        sum(part) for part in ((f[0] for f in found), (f[1] for f in found), (len(f[2]) for f in found))
    )


def units(connections, rows, quantum):
    repeats = np.abs(np.rint(rows / quantum)).astype(int)
    return sum(int(row[source]) for row in repeats for source, _, _ in connections)


def drawn(name, seed):
    rng = np.random.default_rng(seed)
    made = build(KINDS[name], rng)
    values = KINDS[name].values(rng, (T * B, *made.source)).astype(np.float32)
    return made, values


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_live_modules(name, seed):
    made, values = drawn(name, seed)
    with EventCounter(made.module) as counter:
        made.module(torch.from_numpy(values))
    (site,) = counter.counts(samples=B).sites
    sites, used, _ = enumerated(made.connections, values)
    assert (site.sites, site.sites_nonzero) == (sites, used)
    assert site.active == np.count_nonzero(values)
    assert site.dense == len(made.connections) * T * B
    assert (site.units is None) == (site.edge_class == "analog")
    if site.units is not None and site.quantum is not None:
        assert site.units == units(made.connections, values, site.quantum)


@pytest.mark.parametrize("name", ON_GRAPHS)
@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_graphs(name, seed):
    made, values = drawn(name, seed)
    nodes = {"w": made.node, "n": lif(made.target)}
    plan = make_plan(graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], made.source, made.target))
    counted = count(plan, spike_trace(plan, torch.from_numpy(values).unflatten(0, (T, B))))
    (edge,), (neurons,) = counted.edges, counted.neurons
    for row, (t, b) in enumerate(np.ndindex(T, B)):
        found = enumerated(made.connections, values[row : row + 1])
        assert (edge.sites[t, b], edge.sites_nonzero[t, b], neurons.touched[t, b]) == found
        if edge.units is not None and edge.quantum is not None:
            assert edge.units[t, b] == units(made.connections, values[row : row + 1], edge.quantum)
    assert edge.connections == len(made.connections)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.transposed])
def test_graphs_refuse_transposed_convolutions_by_name(name):
    made, _ = drawn(name, 0)
    network = nn.Sequential(made.module, neuron.IFNode())
    with pytest.raises(UnsupportedError) as caught:
        from_torch(network, made.source, semantics=Semantics())
    (problem,) = caught.value.problems
    assert problem.where == "0"
    assert "ConvTranspose2d" in problem.what


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_recurrent(seed):
    """Weights around a layer see its spikes of the step before: in a graph, and live in single steps."""
    rng = np.random.default_rng(seed)
    inputs, width, steps = 5, 4, 4
    forward = rng.normal(0, 1, (width, inputs)).astype(np.float32)
    back = (rng.normal(0, 1, (width, width)) * (rng.random((width, width)) < 0.7)).astype(np.float32)
    nodes = {"w": nir.Linear(forward), "back": nir.Linear(back), "n": lif((width,))}
    edges = [("input", "w"), ("w", "n"), ("n", "back"), ("back", "n"), ("n", "output")]
    plan = make_plan(graph(nodes, edges, (inputs,), (width,)))
    x = (torch.from_numpy(rng.random((steps, B, inputs))) < 0.5).float()
    trace = Reference(plan).run(x, record="all")
    fired = trace.records["n"].numpy()
    before = np.concatenate([np.zeros_like(fired[:1]), fired[:-1]])
    counted = {edge.name: edge for edge in count(plan, trace).edges}
    expected = enumerated(list(linear_connections(back)), before.reshape(-1, width))
    assert (counted["back"].sites.sum(), counted["back"].sites_nonzero.sum()) == expected[:2]

    cell = nn.Sequential(nn.Linear(inputs, width), neuron.IFNode())
    live = layer.LinearRecurrentContainer(cell, inputs, width, bias=False)
    with EventCounter(live) as counter, torch.no_grad():
        outputs = [live(step) for step in x]
    site = next(site for site in counter.counts(samples=B).sites if site.name == "rc")
    past = torch.cat([torch.zeros(1, B, width), torch.stack(outputs)[:-1]])
    entering = torch.cat([x, past], 2).flatten(0, 1).numpy()
    weights = live.rc.weight.detach().numpy()
    assert site.sites == enumerated(list(linear_connections(weights)), entering)[0]


class Shared(nn.Module):
    """One convolution used twice, once through a function instead of the module."""

    def __init__(self, functional: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.first, self.second = neuron.IFNode(), neuron.IFNode()
        self.functional = functional

    def forward(self, x):
        between = self.first(self.conv(x))
        if self.functional:
            return self.second(torch.nn.functional.conv2d(between, self.conv.weight, padding=1))
        return self.second(self.conv(between))


@pytest.mark.parametrize("functional", [False, True])
@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_shared(functional, seed):
    """Every use counts once."""
    torch.manual_seed(seed)
    network = Shared(functional)
    x = (torch.rand(B, 2, 5, 5) < 0.4).float()
    spikes = []
    network.first.register_forward_hook(lambda _m, _i, y: spikes.append(y.detach()))
    with EventCounter(network) as counter, torch.no_grad():
        network(x)
    weight = network.conv.weight.detach().numpy()
    connections = list(conv_connections(weight, (2, 5, 5), (2, 5, 5), (1, 1), (1, 1), (1, 1), 1))
    expected = [enumerated(connections, rows.numpy())[0] for rows in (x, spikes[0])]
    live = counter.counts(samples=B)
    assert [site.sites for site in live.sites] == (expected if functional else [sum(expected)])
    if not functional:
        network.first.reset()
        network.second.reset()
        plan = make_plan(from_torch(network, (2, 5, 5), semantics=Semantics()))
        counted = count(plan, Reference(plan).run(x[None], record="all"))
        assert [edge.sites.sum() for edge in counted.edges] == expected
        assert [edge.name for edge in counted.edges] == ["conv", "conv:2"]


class Residual(nn.Module):
    """The sum of a layer and its depthwise child enters a strided convolution and a linear read-out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_neuron = nn.Conv2d(2, 3, 3, padding=1, bias=False), neuron.LIFNode()
        self.depthwise = nn.Conv2d(3, 3, 3, padding=1, groups=3, bias=False)
        self.branch_neuron = neuron.LIFNode()
        self.down, self.down_neuron = nn.Conv2d(3, 4, 3, 2, 1, bias=False), neuron.LIFNode()
        self.flatten, self.readout = nn.Flatten(), nn.Linear(4 * 9, 3)
        self.out_neuron = neuron.LIFNode()

    def forward(self, x):
        x = self.stem_neuron(self.stem(x))
        x = x + self.branch_neuron(self.depthwise(x))
        return self.out_neuron(self.readout(self.flatten(self.down_neuron(self.down(x)))))


@settings(max_examples=6, deadline=None)
@given(SEEDS)
def test_residual(seed):
    """Whole network: the live counter, the graph's counter and the enumeration agree on every layer."""
    torch.manual_seed(seed)
    network = Residual()
    with torch.no_grad():
        for part in (network.stem, network.depthwise, network.down, network.readout):
            part.weight.mul_(6)
    entering: dict[str, list[torch.Tensor]] = {}
    names = ("stem", "depthwise", "down", "readout")
    for name in names:
        network.get_submodule(name).register_forward_pre_hook(
            lambda _m, inputs, name=name: entering.setdefault(name, []).append(inputs[0].detach())
        )
    x = (torch.rand(3, B, 2, 6, 6) < 0.4).float()
    with EventCounter(network) as counter, torch.no_grad():
        for step in x:
            network(step)
    live = {site.name: site for site in counter.counts(samples=B).sites}
    assert tuple(live) == names
    for name in names:
        rows = torch.cat(entering[name]).numpy()
        weight = network.get_submodule(name).weight.detach().numpy()
        if name == "readout":
            connections = list(linear_connections(weight))
        else:
            part = network.get_submodule(name)
            target = tuple(part(torch.from_numpy(rows[:1])).shape[1:])
            geometry = (part.stride, part.padding, part.dilation, part.groups)
            connections = list(conv_connections(weight, rows.shape[1:], target, *geometry))
        assert live[name].sites == enumerated(connections, rows)[0]
    graded = bool((torch.cat(entering["down"]) > 1).any())
    assert live["down"].edge_class == ("graded" if graded else "binary")
