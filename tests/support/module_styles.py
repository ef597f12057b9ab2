"""A torch module beside the graph read from it: the same spikes in every layer, and nothing touched."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import ReadModule, read_module
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.module_executable import ModuleExecutable
from snn_deploy.simulate.reference import Reference

T, B, SHAPE = 4, 5, (2, 6, 6)
FEW, MANY = 3, 20
OFTEN = pytest.mark.parametrize("tries", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
"""How many random weights and inputs a style is held to: a few every time, many with the slow tests."""


def frames(seed: int = 1, shape: tuple[int, ...] = SHAPE, *, still: bool = False) -> torch.Tensor:
    """Random spikes ``[T, B, *shape]``; ``still``: the same in every step."""
    x = (torch.rand(T, B, *shape, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
    return x[:1].expand(T, *x.shape[1:]) if still else x


def weighted(net: nn.Module, seed: int, gain: float = 5.0) -> nn.Module:
    """``net`` in eval mode with random weights, statistics of batch norm included."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in net.state_dict().items():
        if ("weight" in name or name.endswith("bias")) and value.ndim:
            fan = value[0].numel() if value.ndim > 1 else value.numel()
            value.copy_((torch.rand(value.shape, generator=generator) * 2 - 0.8) * gain / fan**0.5)
        elif name.endswith("running_mean"):
            value.copy_(torch.rand(value.shape, generator=generator) - 0.5)
        elif name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
    return net.eval()


def equal(net: nn.Module, x: torch.Tensor, timesteps: int | None = T) -> tuple[ReadModule, torch.Tensor, set]:
    """Read ``net`` and compare: what was read, the output of every step, and the layers that are busy."""
    read = read_module(net, tuple(x.shape[2:]), semantics=Semantics(timesteps=timesteps))
    wanted = ModuleExecutable(net, read.calling, read.shapes).run(x, record=True)
    found = Reference(make_plan(read.graph)).run(x, record=True)
    assert tuple(wanted.records) == read.calling.layers
    for path, spikes in wanted.records.items():
        assert torch.equal(found.records[path], spikes), path
    assert torch.allclose(found.output, wanted.output, atol=1e-5)
    return read, found.output, {p for p, s in wanted.records.items() if 0.001 < s.mean() < 0.999}


def often_equal(
    make: Callable[[], nn.Module],
    tries: int,
    shape: tuple[int, ...] = SHAPE,
    *,
    still: bool = False,
    layers: int = 2,
    gain: float = 5.0,
) -> ReadModule:
    """Compare with random weights and inputs; of ``MANY``, every layer is busy in one."""
    busy: set[str] = set()
    for seed in range(tries):
        read, _, found = equal(weighted(make(), seed, gain), frames(seed, shape, still=still))
        busy |= found
    assert len(read.calling.layers) >= layers and busy
    assert tries < MANY or busy == set(read.calling.layers)
    return read


def refused_with_a_way_out(
    wrong: nn.Module, says: str, right: nn.Module, shape: tuple[int, ...] = SHAPE
) -> None:
    """``wrong`` is refused and told what to try, ``says`` among it; ``right``, which does that, is read."""
    semantics = Semantics(timesteps=T)
    with pytest.raises(UnsupportedError) as caught:
        read_module(wrong, shape, semantics=semantics)
    assert says in str(caught.value)
    assert all(problem.try_instead for problem in caught.value.problems)
    make_plan(read_module(right, shape, semantics=semantics).graph)


def kept(net: nn.Module) -> Callable[[], None]:
    """A check that weights, buffers, modes and random numbers are what they are now."""
    state = copy.deepcopy(net.state_dict())
    modes = [part.training for part in net.modules()]
    rng = torch.get_rng_state()
    names = [sorted(vars(part)) for part in net.modules()]

    def check() -> None:
        now = net.state_dict()
        assert now.keys() == state.keys() and all(torch.equal(now[name], state[name]) for name in state)
        assert modes == [part.training for part in net.modules()]
        assert names == [sorted(vars(part)) for part in net.modules()]
        assert torch.equal(rng, torch.get_rng_state())

    return check
