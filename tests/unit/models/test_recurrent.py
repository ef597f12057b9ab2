from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import base, functional
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.chip_draft import draft
from snn_deploy.models.neurons import make_neuron, spiking_layers
from snn_deploy.models.options import NeuronOptions, RsnnOptions
from snn_deploy.models.recurrent import AxonalDelay, make_recurrent
from snn_deploy.models.rsnn import rsnn
from snn_deploy.simulate.reference import Reference

STEPS, UNITS = 12, 7
KINDS = ("if", "lif", "plif")


def build(**options):
    torch.manual_seed(0)
    content = {"hidden": [9, 8], "longest_delay": 4, "neuron": {"v_threshold": 0.4}, **options}
    return rsnn(RsnnOptions.model_validate(content), in_shape=(1, 1, 5), classes=3, timesteps=STEPS)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("v_reset", [0.0, None])
def test_spikes_come_back_a_step_later(kind, v_reset):
    """Written out with a plain neuron, one step after the other."""
    options = NeuronOptions(kind=kind, v_reset=v_reset, v_threshold=0.5)
    torch.manual_seed(1)
    layer, plain = make_recurrent(options, UNITS), make_neuron(options)
    plain.step_mode = "s"
    x, fired, expected = 2 * torch.rand(STEPS, 3, UNITS), None, []
    for step in x:
        came = step if fired is None else step + fired @ layer.recurrent.weight.T
        fired = plain(came)
        expected.append(fired)
    assert torch.equal(layer(x), torch.stack(expected))
    assert 0 < torch.stack(expected).mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_without_weights_it_is_the_plain_neuron(kind):
    options = NeuronOptions(kind=kind)
    layer, plain = make_recurrent(options, UNITS), make_neuron(options)
    nn.init.zeros_(layer.recurrent.weight)
    x = 2 * torch.rand(STEPS, 3, UNITS)
    assert torch.equal(layer(x), plain(x))


def test_steps_and_sequence_are_one_run_and_a_reset_begins_anew():
    layer = make_recurrent(NeuronOptions(v_threshold=0.5), UNITS)
    x = 2 * torch.rand(STEPS, 3, UNITS)
    whole = layer(x)
    assert not torch.equal(layer(x), whole)
    functional.reset_net(layer)
    layer.step_mode = "s"
    assert torch.equal(torch.stack([layer(step) for step in x]), whole)


def test_weights_learn_through_time():
    layer = make_recurrent(NeuronOptions(v_threshold=0.5), UNITS)
    layer(2 * torch.rand(STEPS, 3, UNITS))[-1].sum().backward()
    assert layer.recurrent.weight.grad.abs().sum() > 0


def delays(*shares, longest=4):
    module = AxonalDelay(len(shares), longest)
    module.share.data = torch.tensor(shares)
    return module


def test_delays_shift_each_neuron_by_whole_steps():
    module = delays(-0.3, 0.0, 0.26, 0.6, 1.0, 7.0)
    assert module.steps.tolist() == [0, 0, 1, 2, 4, 4]
    x = (torch.rand(STEPS, 3, 6) < 0.5).float()
    y = module(x)
    for unit, steps in enumerate(module.steps.tolist()):
        assert torch.equal(y[steps:, :, unit], x[: STEPS - steps, :, unit])
        assert not y[:steps, :, unit].any()


def test_gradient_of_spikes_is_that_of_a_shift_and_of_delays_that_of_the_text():
    module = delays(0.0, 0.25, 1.0)
    x = (torch.rand(STEPS, 2, 3) < 0.5).float().requires_grad_()
    g = torch.randn(STEPS, 2, 3)
    y = module(x)
    y.backward(g)
    shifted, slope = torch.zeros_like(g), torch.zeros(3)
    for unit, steps in enumerate(module.steps.tolist()):
        for t in range(STEPS):
            if t + steps < STEPS:
                shifted[t, :, unit] = g[t + steps, :, unit]
            before = y[t - 1, :, unit] if t else 0 * y[0, :, unit]
            slope[unit] -= 4 * (g[t, :, unit] * (y[t, :, unit] - before)).sum().detach()
    assert torch.equal(x.grad, shifted)
    torch.testing.assert_close(module.share.grad, slope)


def test_a_delay_moves_toward_the_spike_that_is_wanted():
    """A spike at step 2 is wanted at step 5: descent on the squared error of smoothed spikes finds 3."""
    module = delays(0.0, longest=8)
    x, wanted = torch.zeros(STEPS, 1, 1), torch.zeros(STEPS, 1, 1)
    x[2], wanted[5] = 1, 1
    smooth = torch.exp(-((torch.arange(STEPS)[:, None] - torch.arange(STEPS)) ** 2) / 8.0)
    optimizer = torch.optim.SGD(module.parameters(), lr=2e-3)
    for _ in range(200):
        optimizer.zero_grad()
        error = smooth @ (module(x) - wanted)[:, 0]
        error.square().sum().backward()
        optimizer.step()
    assert module.steps.tolist() == [3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("v_reset", [0.0, None])
@pytest.mark.parametrize("readout", ["linear", "spiking"])
def test_the_hub_fires_as_the_student(kind, v_reset, readout):
    network = build(neuron={"kind": kind, "v_reset": v_reset, "v_threshold": 0.3}, readout=readout).eval()
    with torch.no_grad():
        for weight in (p for p in network.parameters() if p.ndim == 2):
            weight *= 2
    x = torch.randn(STEPS, 4, 1, 1, 5)
    seen: dict[str, torch.Tensor] = {}
    for path, module in network.named_modules():
        if path:
            module.register_forward_hook(lambda m, i, y, path=path: seen.update({path: y.detach()}))
    plan = make_plan(from_torch(network, (1, 1, 5), semantics=Semantics(timesteps=STEPS)))
    network(x)
    records = Reference(plan).run(x, record="all").records
    for path in (*spiking_layers(network), "hidden1.delay", "hidden2.delay"):
        assert torch.equal(records[path], seen[path]), path
        assert 0 < seen[path].mean() < 1, path


def test_module_paths_are_the_layer_names_of_reports():
    assert spiking_layers(build(readout="spiking")) == ("hidden1.neuron", "hidden2.neuron", "readout.neuron")
    plain = build(recurrent=False, longest_delay=0)
    assert [path for path, module in plain.named_modules() if isinstance(module, base.StepModule)] == [
        "flatten", "hidden1.linear", "hidden1.neuron", "hidden2.linear", "hidden2.neuron", "readout.linear",
    ]  # fmt: skip


def test_delays_that_never_arrive_are_not_learned():
    assert build(longest_delay=100).hidden1.delay.longest == STEPS - 1


def test_chip_training_says_that_it_knows_no_loops_and_delays():
    with pytest.raises(UnsupportedError) as caught:
        draft(build(), (1, 1, 5), Semantics(timesteps=STEPS))
    found = {problem.where for problem in caught.value.problems}
    assert {"hidden1.neuron", "hidden1.delay", "hidden2.neuron", "hidden2.delay"} <= found
