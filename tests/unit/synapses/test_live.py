"""The live counter: every product is seen where it happens, and what cannot be counted is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.energy.count import count
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.reference import Reference
from snn_deploy.synapses.live import EventCounter


def student(step_mode: str = "m") -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        layer.Conv2d(2, 6, 3, padding=1, bias=False),
        layer.BatchNorm2d(6),
        neuron.LIFNode(),
        layer.AvgPool2d(2, 2),
        layer.Conv2d(6, 6, 3, stride=2, groups=3, bias=False),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(6, 4),
        neuron.LIFNode(),
    )
    with torch.no_grad():
        for part in (network[0], network[4], network[7]):
            part.weight.mul_(8)
    functional.set_step_mode(network, step_mode)
    return network.eval()


def counted(network: nn.Module, x: torch.Tensor, step_mode: str = "m"):
    functional.reset_net(network)
    with EventCounter(network) as counter, torch.no_grad():
        if step_mode == "m":
            network(x)
        else:
            for step in x:
                network(step)
    return counter.counts(samples=x.shape[1])


def test_a_spikingjelly_network_counts_as_its_graph_does():
    """All steps at once, step by step, and as a graph in the reference simulator: one number per layer."""
    x = (torch.rand(5, 3, 2, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    whole, stepped = counted(student("m"), x), counted(student("s"), x, "s")
    assert [s.sites for s in whole.sites] == [s.sites for s in stepped.sites]
    assert whole.total > 1000
    plan = make_plan(from_torch(student(), (2, 6, 6), semantics=Semantics()))
    graph = count(plan, Reference(plan).run(x, record=True))
    assert {s.name: s.sites for s in whole.sites} == {e.name: int(e.sites.sum()) for e in graph.edges}
    assert whole.sops == pytest.approx(graph.sops().sum(0).mean())
    assert whole.dense == graph.connections * 5
    # What an average pool divides by is known from the graph's structure only.
    assert [s.edge_class for s in whole.sites] == ["binary", "analog", "binary"]
    assert [e.edge_class for e in graph.edges] == ["binary", "graded", "binary"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**20), st.sampled_from(["matmul", "@", "bmm", "baddbmm"]))
def test_products_of_activations(seed, how):
    """One event per pair of non-zero factors, enumerated here."""
    rng = np.random.default_rng(seed)
    batch, n, k, m = rng.integers(1, 4, 4)
    left, right = ((rng.random(s) < 0.4) * 1.0 for s in ((batch, n, k), (batch, k, m)))
    expected = sum(
        left[b, i, j] != 0 and right[b, j, o] != 0
        for b in range(batch) for i in range(n) for j in range(k) for o in range(m)
    )  # fmt: skip
    run = {
        "matmul": torch.matmul,
        "@": lambda a, b: a @ b,
        "bmm": torch.bmm,
        "baddbmm": lambda a, b: torch.baddbmm(torch.zeros(1), a, b),
    }[how]

    class Attention(nn.Module):
        def forward(self, q, k):
            return run(q, k)

    network = Attention()
    with EventCounter(network) as counter:
        network(torch.from_numpy(left).float(), torch.from_numpy(right).float())
    (site,) = counter.counts(samples=1).sites
    assert (site.sites, site.units, site.name) == (expected, expected, "Attention")
    assert site.dense == batch * n * k * m
    assert site.edge_class == "binary"


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_matrix_of_weights_in_matmul_is_weights(side):
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.tensor([[1.0, 0.0, 2.0], [0.0, 0.0, 1.0]]))

        def forward(self, x):
            return self.w @ x.T if side == "left" else x @ self.w.T

    network = Product()
    with EventCounter(network) as counter:
        network(torch.tensor([[1.0, 1, 0], [0, 0, 1]]))
    (site,) = counter.counts(samples=2).sites
    assert (site.sites, site.sites_nonzero, site.dense) == (6, 3, 12)


REFUSED = {
    "lstm": (nn.LSTM(3, 4), lambda m: m(torch.ones(2, 1, 3))),
    "gru_cell": (nn.GRUCell(3, 4), lambda m: m(torch.ones(1, 3))),
    "multi_head_attention_forward": (nn.MultiheadAttention(4, 2), lambda m: m(*[torch.ones(2, 1, 4)] * 3)),
    "bilinear": (nn.Bilinear(2, 2, 1), lambda m: m(torch.ones(1, 2), torch.ones(1, 2))),
    "einsum": (nn.Identity(), lambda m: torch.einsum("ij,jk->ik", m(torch.ones(2, 2)), torch.ones(2, 2))),
    "scaled_dot_product_attention": (
        nn.Identity(),
        lambda m: nn.functional.scaled_dot_product_attention(*[m(torch.ones(1, 1, 2, 2))] * 3),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_counted_is_refused_by_name(name):
    module, run = REFUSED[name]
    with EventCounter(module), pytest.raises(UnsupportedError) as caught:
        run(module)
    assert caught.value.problems[0].what == f"calls torch's {name}"
    assert not module._forward_hooks
    assert not module._forward_pre_hooks


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
def test_scripted_modules_are_refused_at_once():
    network = nn.Sequential(nn.Linear(2, 2), torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)))
    with pytest.raises(UnsupportedError, match=r"1: torch\.jit\.ScriptModule"):
        EventCounter(network)


def test_weights_may_change_between_runs():
    """Pruning between two runs is seen; the first run keeps its own count."""
    network = nn.Linear(4, 3, bias=False)
    nn.init.ones_(network.weight)
    with EventCounter(network) as counter:
        network(torch.ones(1, 4))
        with torch.no_grad():
            network.weight[:, :2] = 0
        network(torch.ones(1, 4))
    (site,) = counter.counts(samples=2).sites
    assert (site.sites, site.sites_nonzero) == (24, 12 + 6)


def test_one_class_for_the_whole_run():
    network = nn.Linear(2, 5)
    with EventCounter(network) as counter:
        network(torch.tensor([[0.0, 1]]))
        network(torch.tensor([[0.0, 0]]))
        assert counter.counts(samples=1).sites[0].edge_class == "binary"
        network(torch.tensor([[2.0, 1]]))
        assert counter.counts(samples=1).sites[0].edge_class == "graded"
        network(torch.tensor([[0.3, 1]]))
    (site,) = counter.counts(samples=1).sites
    assert (site.edge_class, site.units, site.sites) == ("analog", None, 5 + 0 + 10 + 10)
    assert counter.counts(samples=1).of_class("analog") == 25
    counter.reset()
    assert counter.counts(samples=1).sites == ()
    with pytest.raises(ValueError, match="at least one"):
        counter.counts(samples=0)


@pytest.mark.parametrize(("change", "expected"), [("none", 3), ("in place", 6), ("not spiking", 6)])
def test_spikes_are_known_by_their_neuron_and_only_while_they_are_untouched(change, expected):
    """What a neuron gave is 0 or 1; written over, or without its threshold, it is looked at like anything."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            # Its own function: neurons share the default one.
            self.neuron = neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=change != "not spiking"))
            self.linear = nn.Linear(2, 3)

        def forward(self, x):
            y = self.neuron(x)
            if change == "in place":
                y += 0.5
            return self.linear(y)

    network = Net()
    with EventCounter(network) as counter, torch.no_grad():
        network(torch.tensor([[1.5, 0.2]]))
    (site,) = counter.counts(samples=1).sites
    assert site.sites == expected
    assert site.edge_class == ("binary" if change == "none" else "analog")


def test_training_is_left_as_it_is():
    """Gradients and outputs with and without the counter are the same numbers."""
    x = (torch.rand(3, 2, 2, 6, 6, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    found = []
    for watched in (False, True):
        network = student().train()
        if watched:
            with EventCounter(network):
                output = network(x)
        else:
            output = network(x)
        output.mean().backward()
        found.append((output.detach(), network[0].weight.grad))
    assert torch.equal(found[0][0], found[1][0])
    assert torch.equal(found[0][1], found[1][1])
