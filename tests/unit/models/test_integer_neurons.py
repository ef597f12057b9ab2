"""Neurons that fire whole numbers: against plain loops, their gradient by hand, the graph that is read."""

from __future__ import annotations

import itertools

import pytest
import torch
from oracles.neuron_firing import fire
from pydantic import ValidationError
from spikingjelly.activation_based import functional, layer
from torch import nn

from snn_deploy.distill.activity import ActivityMeter
from snn_deploy.energy.count import Counter
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.models.integer_neurons import IntegerNode
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions
from snn_deploy.simulate.reference import Reference

LEVELS = 3


@pytest.mark.parametrize(("tau", "threshold"), [(None, 1.0), (2.0, 1.0), (4.0, 0.5)])
def test_spikes_are_those_of_a_plain_loop(tau, threshold):
    options = NeuronOptions(
        kind="ilif", levels=LEVELS, tau=tau, decay_input=False, v_threshold=threshold, v_reset=None
    )
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-8, 30, (12, 2, 5), generator=generator).double() / 8  # meets thresholds exactly
    found = make_neuron(options)(x)
    for b, n in itertools.product(range(2), range(5)):
        wanted, _ = fire(
            x[:, b, n].tolist(),
            reset="subtract",
            threshold=threshold,
            v_reset=0.0,
            beta=1.0 if tau is None else 1 - 1 / tau,
            strict=False,
            levels=LEVELS,
        )
        assert found[:, b, n].tolist() == wanted
    assert found.max() == LEVELS


def test_the_gradient_passes_inside_of_the_clip():
    """theta 2, D = 3: it passes from 0 to 6 with slope 1/2; two steps carry it through the membrane."""
    h = torch.tensor([-0.1, 0.0, 0.9, 6.0, 6.1], requires_grad=True)
    neuron = IntegerNode(3, None, v_threshold=2.0)
    neuron(h).sum().backward()
    assert h.grad.tolist() == [0.0, 0.5, 0.5, 0.5, 0.0]
    for detach, wanted in ((True, 0.5 + 0.5), (False, 0.5)):
        x = torch.tensor([[1.5], [1.0]], requires_grad=True)
        held = IntegerNode(3, None, v_threshold=2.0, detach_reset=detach, step_mode="m")
        held(x).sum().backward()
        assert x.grad.flatten().tolist() == [wanted, 0.5]


class _Net(nn.Sequential):
    def __init__(self, **options):
        super().__init__(
            layer.Conv2d(2, 4, 3, stride=2, padding=1, step_mode="m"),
            IntegerNode(LEVELS, step_mode="m", **options),
            layer.Flatten(step_mode="m"),
            layer.Linear(4 * 3 * 3, 5, step_mode="m"),
            IntegerNode(LEVELS, step_mode="m", **options),
        )


@pytest.mark.parametrize("options", [{"tau": None}, {"tau": 2.0}, {"tau": 4 / 3}, {"decay_input": True}])
def test_a_network_is_read_as_it_computes_and_counted_both_ways(options):
    torch.manual_seed(0)
    net = _Net(**options).eval()
    x = torch.rand(4, 6, 2, 5, 5) * 4
    with torch.no_grad(), ActivityMeter(net) as meter:
        wanted = net(x)
    functional.reset_net(net)
    plan = make_plan(from_torch(net, (2, 5, 5), semantics=Semantics(timesteps=4)))
    semantics = read_semantics(plan.graph)
    assert (semantics.spikes, semantics.levels, semantics.fires_at) == ("rounded", LEVELS, ">=")
    reference = Reference(plan)
    trace = reference.run(x, record=True)
    assert torch.equal(trace.output, wanted)
    hidden = trace.records["1"]
    assert hidden.max() > 1
    counts = Counter(plan).run(reference, x)
    (edge,) = (edge for edge in counts.edges if edge.name == "3")
    assert edge.edge_class == "graded"
    assert edge.sites.sum() == 5 * int((hidden > 0).sum())
    assert edge.units.sum() == 5 * int(hidden.sum())
    assert meter.rates["1"] == pytest.approx(float(hidden.mean()))
    assert meter.sops == counts.sops().sum()


def test_the_graph_of_many_spikes_is_not_counted_as_one():
    """Two spikes in a step are two units at one site."""
    net = nn.Sequential(IntegerNode(3, None, step_mode="m"), layer.Linear(2, 3, step_mode="m"))
    plan = make_plan(from_torch(net.eval(), (2,), semantics=Semantics(timesteps=1)))
    (edge,) = Counter(plan).run(Reference(plan), torch.tensor([[[2.0, 0.0]]])).edges
    assert (edge.sites.item(), edge.units.item()) == (3, 6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"kind": "ilif", "v_reset": None}, "levels go with kind ilif"),
        ({"kind": "lif", "levels": 4}, "levels go with kind ilif"),
        ({"kind": "ilif", "levels": 4}, "v_reset must be null"),
        ({"kind": "lif", "tau": None}, "tau null"),
        ({"kind": "ilif", "levels": 256, "v_reset": None}, "255"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, text):
    with pytest.raises(ValidationError, match=text):
        NeuronOptions(**options)
