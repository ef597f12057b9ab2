"""Which form of the neurons is taken, and what is said where it is not the fastest."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import neuron
from torch import nn

from snn_deploy.distill.neurons import choice as module
from snn_deploy.distill.neurons.choice import choice, described, slow_paths
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def no_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    def trial(device: torch.device) -> module.Choice:
        raise RuntimeError("no C compiler\nmore")

    monkeypatch.setattr(module, "_trial", trial)
    monkeypatch.setattr(module, "choice", choice.__wrapped__)


def test_a_cpu_has_neurons_written_out() -> None:
    assert choice(CPU) == ("written", "")
    assert slow_paths(nn.Sequential(make_neuron(NeuronOptions())), CPU) == []


def test_without_triton_a_gpu_says_why(no_triton: None) -> None:
    assert described(GPU) == "written out in torch"
    assert slow_paths(nn.Sequential(), GPU) == [
        "neurons are written out in torch: Triton does not run here (RuntimeError: no C compiler)"
    ]


def test_layers_of_other_kinds_are_named() -> None:
    network = nn.Sequential(make_neuron(NeuronOptions()), neuron.QIFNode(), neuron.QIFNode())
    (said,) = slow_paths(network, CPU)
    assert said.startswith(
        "2 of 3 layers of neurons run by their own code, which is slower (QIFNode; first 1)"
    )
