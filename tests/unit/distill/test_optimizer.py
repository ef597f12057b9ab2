from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from snn_deploy.distill.optimizer import learning_rate, make_optimizer, restore_optimizer
from snn_deploy.recipes.recipe import TrainSpec


def test_warm_up_then_cosine_by_hand() -> None:
    spec = TrainSpec(epochs=3, lr=0.8, warmup_epochs=1)
    rates = [learning_rate(spec, step, 2) for step in range(6)]
    # warm-up over 2 steps, then (1 + cos(pi k / 4)) / 2 for k = 0 .. 3
    cosine = [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2]
    assert rates == pytest.approx([0.4, 0.8, *(0.8 * c for c in cosine)])


@given(
    epochs=st.integers(1, 20),
    per_epoch=st.integers(1, 20),
    warmup=st.floats(0, 25),
    schedule=st.sampled_from(["cosine", "constant"]),
)
def test_the_rate_is_positive_and_peaks_at_lr(
    epochs: int, per_epoch: int, warmup: float, schedule: str
) -> None:
    spec = TrainSpec(epochs=epochs, lr=0.1, warmup_epochs=warmup, schedule=schedule)
    rates = [learning_rate(spec, step, per_epoch) for step in range(epochs * per_epoch)]
    assert all(0 < rate <= 0.1 + 1e-12 for rate in rates)
    assert max(rates) == pytest.approx(0.1)
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


NET = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def decay_of(optimizer: torch.optim.Optimizer) -> dict[int, float]:
    return {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}


def test_norms_and_biases_are_not_decayed_unless_asked() -> None:
    spec = TrainSpec(epochs=1, weight_decay=0.1)
    decays = decay_of(make_optimizer(spec, [NET]))
    assert [decays[id(p)] for p in NET.parameters()] == [0.1, 0, 0, 0]
    asked = decay_of(make_optimizer(spec.model_copy(update={"decay_norm_and_bias": True}), [NET]))
    assert list(asked.values()) == [0.1] * 4


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_optimisers_by_name(name: str, kind: type) -> None:
    optimizer = make_optimizer(TrainSpec(epochs=1, optimizer=name, momentum=0.7), [NET])
    assert type(optimizer).__base__ is kind
    if name == "sgd":
        assert optimizer.param_groups[0]["momentum"] == 0.7


def test_frozen_parameters_are_left_out() -> None:
    frozen = nn.Linear(2, 2).requires_grad_(False)
    optimizer = make_optimizer(TrainSpec(epochs=1), [frozen, nn.Linear(2, 3)])
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_steps_are_those_of_torch_to_the_last_bit(name: str) -> None:
    spec = TrainSpec(epochs=1, optimizer=name, lr=0.1, weight_decay=0.01, decay_norm_and_bias=True)
    theirs = {"sgd": partial(torch.optim.SGD, momentum=spec.momentum), "adam": torch.optim.Adam}
    nets = [nn.Linear(4, 3), nn.Linear(4, 3)]
    nets[1].load_state_dict(nets[0].state_dict())
    ours = make_optimizer(spec, nets[:1])
    other = theirs.get(name, torch.optim.AdamW)(nets[1].parameters(), lr=0.1, weight_decay=0.01)
    for step in range(6):
        for net, optimizer in zip(nets, (ours, other), strict=True):
            optimizer.zero_grad()
            net(torch.full((2, 4), float(step))).square().sum().backward()
            optimizer.step()
        ours.load_state_dict(ours.state_dict())
        assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in nets), strict=True))
    assert not any(parameter.grad_fn for parameter in nets[0].parameters())


def test_the_compiler_stays_unloaded() -> None:
    code = """
import sys, torch
from snn_deploy.distill.optimizer import make_optimizer
from snn_deploy.recipes.recipe import TrainSpec
for name in ("sgd", "adam", "adamw"):
    net = torch.nn.Linear(3, 2)
    optimizer = make_optimizer(TrainSpec(epochs=1, optimizer=name), [net])
    optimizer.zero_grad()
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
def test_a_state_of_another_device_does_not_say_how_the_update_is_computed(kind: str) -> None:
    """A checkpoint of a GPU, whose updates are fused, goes on here as one of this machine."""
    here, there = (make_optimizer(TrainSpec(epochs=1, optimizer=kind), [NET]) for _ in range(2))
    state = there.state_dict()
    for group in state["param_groups"]:
        group.update(fused=True, lr=0.25)
    restore_optimizer(here, state)
    assert all(group["fused"] is None and group["lr"] == 0.25 for group in here.param_groups)
