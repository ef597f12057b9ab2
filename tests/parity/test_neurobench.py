"""NeuroBench 2.3 counts the same effective and dense operations on a network of ours, in one environment.

Needs `make interop`, or `PYTHONPATH=tests python tests/support/other_counters.py`.
"""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from support import other_counters
from torch import nn

from snn_deploy.energy.count import Counter
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.report.neurobench import neurobench
from snn_deploy.simulate.reference import Reference

T, B = 6, 5


class Branch(nn.Module):
    """An added residual: what follows it is graded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.neuron = layer.Conv2d(8, 8, 3, padding=1, groups=8, bias=False), neuron.LIFNode()

    def forward(self, x):
        return x + self.neuron(self.conv(x))


def student(residual: bool) -> nn.Module:
    torch.manual_seed(3)
    body = [
        layer.Conv2d(2, 8, 3, padding=1, bias=False),
        neuron.LIFNode(),
        *([Branch()] if residual else []),
        layer.Conv2d(8, 6, 3, stride=2, bias=False),
        neuron.LIFNode(),
        layer.Flatten(),
        layer.Linear(6 * 9, 5, bias=False),
        neuron.LIFNode(),
    ]
    network = nn.Sequential(*body)
    with torch.no_grad():
        for part in network.modules():
            if hasattr(part, "weight"):
                part.weight.mul_(6)
                part.weight[torch.rand(part.weight.shape) < 0.3] = 0
    functional.set_step_mode(network, "m")
    return network.eval()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("residual", [False, True])
def test_effective_and_dense_operations(residual):
    try:
        models = other_counters.load("neurobench.models")
        workload = other_counters.load("neurobench.metrics.workload")
        static = other_counters.load("neurobench.metrics.static")
    except ModuleNotFoundError as missing:
        pytest.skip(f"NeuroBench is not installed ({missing}); make interop")
    network = student(residual)
    x = (torch.rand(T, B, 2, 8, 8, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    model = models.TorchModel(network)
    model.add_activation_module(neuron.BaseNode)
    model.register_hooks()
    with torch.no_grad():
        predictions = model(x)
        data = (x.transpose(0, 1), None)
        theirs = workload.SynapticOperations()(model, predictions, data)
        sparsity = workload.ActivationSparsity()(model, predictions, data)
    connections = static.ConnectionSparsity()(model)
    model.cleanup_hooks()

    plan = make_plan(from_torch(student(residual), (2, 8, 8), semantics=Semantics()))
    ours = neurobench(Counter(plan).run(Reference(plan), x), plan, None)
    assert ours.SynapticOperations.model_dump() == theirs
    assert theirs["Effective_ACs"] > 0
    assert (theirs["Effective_MACs"] > 0) == residual
    assert ours.ActivationSparsity == pytest.approx(sparsity, abs=1e-12)
    assert ours.ConnectionSparsity == pytest.approx(connections, abs=1e-4)
