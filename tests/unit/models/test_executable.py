from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.models import executable
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions

KINDS = [
    NeuronOptions(kind="if", v_reset=None),
    NeuronOptions(kind="lif", v_reset=0.0),
    NeuronOptions(kind="lif", v_reset=None, decay_input=False),
    NeuronOptions(kind="plif", v_reset=-0.3),
]


def student(options: NeuronOptions) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(7, 12), make_neuron(options), nn.Linear(12, 3), make_neuron(options)
    ).eval()


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("options", KINDS)
def test_blocks_of_time_change_nothing(
    options: NeuronOptions, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = student(options)
    x = 9 * torch.rand(7, 5, 7)
    kept: dict[str, torch.Tensor] = {}
    for name in ("1", "3"):
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, y, name=name: kept.setdefault(name, y)
        )
    with torch.no_grad():
        expected = network(x)
    functional.reset_net(network)
    monkeypatch.setattr(executable, "BLOCK", 60 * steps)
    for _ in range(2):
        found = StudentExecutable(network).run(x, record=True)
        assert torch.equal(found.output, expected)
        assert {name: torch.equal(y, kept[name]) for name, y in found.records.items()} == {
            "1": True,
            "3": True,
        }
    assert 0 < kept["1"].mean() < 1


def test_neurons_are_as_they_were_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    network = student(KINDS[1])
    monkeypatch.setattr(executable, "BLOCK", 1)
    with pytest.raises(RuntimeError):
        StudentExecutable(network).run(torch.rand(2, 3, 4))
    assert all("forward" not in vars(module) for module in network.modules())
