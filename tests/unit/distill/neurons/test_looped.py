"""Neurons of bfloat16 in compiled loops, against neurons written out."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.neurons import SURROGATES, answer, answers, apart, batch, options
from torch import nn

from snn_deploy.distill.neurons.choice import described, scanned, slow_paths
from snn_deploy.distill.neurons.dynamics import Dynamics, dynamics_of
from snn_deploy.distill.neurons.looped import looped
from snn_deploy.distill.neurons.written_out import written_out
from snn_deploy.distill.step import channels_last
from snn_deploy.models.neurons import make_neuron, make_surrogate
from snn_deploy.models.options import NeuronOptions, SurrogateOptions
from snn_deploy.models.started import StartedIF

FAST = [name for name in SURROGATES if name != "sigmoid"]


def started(surrogate: SurrogateOptions, detach: bool, seed: int, channels: int) -> StartedIF:
    generator = torch.Generator().manual_seed(seed)
    threshold, drop = (torch.rand(channels, 1, 1, generator=generator) + 0.3 for _ in range(2))
    return StartedIF(threshold, drop, make_surrogate(surrogate), detach)


surrogates = st.builds(SurrogateOptions, name=st.sampled_from(FAST), alpha=st.sampled_from([0.7, 1.0, 2.0]))


@settings(deadline=None, max_examples=100)
@given(
    options=options(surrogate=surrogates),
    steps=st.integers(1, 9),
    seed=st.integers(0, 10_000),
    size=st.sampled_from([(1, 1), (3, 5), (11, 60)]),
    last=st.booleans(),
)
def test_equals_written_out(options: NeuronOptions, steps: int, seed: int, size: tuple[int, int], last: bool):
    node = make_neuron(options)
    x, weight = (v.bfloat16() for v in batch(steps, seed, 2, 3, *size))
    x = channels_last(x) if last else x
    own, reference = (answers(node, scan, x, weight) for scan in (looped, written_out))
    assert own[0].stride() == x.stride()
    assert torch.equal(own[0], reference[0])
    assert apart(own[1], reference[1]) < 2**-8  # of rounding to the 8 bits of bfloat16
    assert apart(own[2], reference[2]) < 2**-8


@settings(deadline=None, max_examples=60)
@given(
    surrogate=surrogates,
    detach=st.booleans(),
    steps=st.integers(1, 6),
    samples=st.integers(1, 3),
    seed=st.integers(0, 10_000),
    last=st.booleans(),
)
def test_thresholds_per_channel(
    surrogate: SurrogateOptions, detach: bool, steps: int, samples: int, seed: int, last: bool
):
    node = started(surrogate, detach, seed, 5)
    x, weight = (v.bfloat16() for v in batch(steps, seed, samples, 5, 13, 17))
    x = channels_last(x) if last else x
    own, reference = (answers(node, scan, x, weight) for scan in (looped, written_out))
    assert torch.equal(own[0], reference[0])
    assert apart(own[1], reference[1]) < 2**-8


@settings(deadline=None, max_examples=60)
@given(surrogate=surrogates, detach=st.booleans(), steps=st.integers(1, 6), seed=st.integers(0, 10_000))
def test_thresholds_per_channel_equal_the_module(
    surrogate: SurrogateOptions, detach: bool, steps: int, seed: int
):
    node = started(surrogate, detach, seed, 5)
    x, weight = batch(steps, seed, 2, 5, 3, 4)
    theirs = answer(node, x, weight)
    with scanned(nn.Sequential(node, nn.Linear(1, 1))):
        assert "multi_step_forward" in vars(node)
        own = answer(node, x, weight)
    assert torch.equal(own.spikes, theirs.spikes)
    torch.testing.assert_close(own.gradient, theirs.gradient, rtol=1e-4, atol=1e-6)


def test_samples_that_do_not_lie_one_after_the_other():
    node = started(SurrogateOptions(), True, 0, 5)
    x, weight = (v.bfloat16() for v in batch(3, 0, 4, 5, 6, 7))
    mixed = x.transpose(1, 2).contiguous().transpose(1, 2)
    own, reference = (answers(node, looped, y, weight) for y in (mixed, x))
    assert torch.equal(own[0], reference[0])
    assert torch.equal(own[1], reference[1])


def test_threads_change_nothing():
    node = make_neuron(NeuronOptions(kind="plif"))
    x, weight = (v.bfloat16() for v in batch(4, 1, 8, 16, 1024))
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(answers(node, looped, x, weight))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_what_is_no_number_stays_none():
    x = torch.zeros(2, 1, 3, dtype=torch.bfloat16, requires_grad=True)
    looped(x, None, dynamics_of(make_neuron(NeuronOptions()))).backward(
        torch.tensor([[[float("nan"), 1.0, float("inf")]]] * 2, dtype=torch.bfloat16)
    )
    assert x.grad is not None
    assert x.grad.isnan()[:, 0, 0].all()
    assert x.grad.isinf()[:, 0, 2].all()
    assert x.grad.isfinite()[:, 0, 1].all()


@pytest.mark.parametrize("instructions", [True, False])
def test_what_is_said_of_it(instructions: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: instructions)
    assert described(torch.device("cpu"), bfloat16=True) == "compiled loops"
    said = slow_paths(nn.Sequential(), torch.device("cpu"), bfloat16=True)
    assert [line.partition(":")[2] for line in said] == ([] if instructions else [" train.amp=off is faster"])


@pytest.mark.parametrize("scan", [looped, written_out])
def test_the_state_is_float32(scan):
    """257 steps of 1/256 reach the threshold 1 only where the sum has more than bfloat16's 8 bits."""
    dynamics = Dynamics(None, False, 1.0, 1.0, 0.0, True, "rectangle", 1.0)
    spikes = scan(torch.full((257, 1), 1 / 256, dtype=torch.bfloat16), None, dynamics)
    assert spikes.nonzero()[:, 0].tolist() == [255]
