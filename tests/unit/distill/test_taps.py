from __future__ import annotations

import pytest
import torch
from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.distill.taps import tap


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.block2 = nn.Linear(4, 2)
        self.recurrent = nn.GRU(2, 2)
        self.unused = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.block2(self.block1(x))
        self.recurrent(y)
        return y


def test_outputs_are_seen_and_hooks_removed() -> None:
    net, x = Net(), torch.randn(5, 3)
    with tap(net, ("block1.1", "block2")) as outputs:
        y = net(x)
    assert torch.equal(outputs["block2"], y)
    assert torch.equal(outputs["block1.1"], net.block1(x))
    assert not any(module._forward_hooks for module in net.modules())
    outputs.clear()
    net(x)
    assert outputs == {}


def test_gradients_flow_through_a_tap() -> None:
    net = Net()
    with tap(net, ("block1.0",)) as outputs:
        net(torch.randn(5, 3))
    outputs["block1.0"].sum().backward()
    assert net.block1[0].weight.grad is not None


def test_hooks_are_removed_after_a_failure() -> None:
    net = Net()
    with pytest.raises(RuntimeError), tap(net, ("block2",)):
        net(torch.randn(5, 9))
    assert not any(module._forward_hooks for module in net.modules())


def test_unknown_paths_are_all_named_with_suggestions() -> None:
    with pytest.raises(ConfigError, match="Cannot tap 2 modules") as failure, tap(Net(), ("blok2", "x.y")):
        pass
    assert [problem.where for problem in failure.value.problems] == ["blok2", "x.y"]
    assert "Did you mean 'block2'?" in failure.value.problems[0].what
    assert failure.value.exit_code == 2


def test_a_module_that_does_not_run_or_gives_no_tensor_is_refused() -> None:
    net = Net()
    with pytest.raises(ConfigError, match="does not run: unused"), tap(net, ("block2", "unused")):
        net(torch.randn(5, 3))
    with pytest.raises(ConfigError, match="'recurrent' returns a tuple"), tap(net, ("recurrent",)):
        net(torch.randn(5, 3))
