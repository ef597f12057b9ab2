"""The compiled loops of the simulator against torch's operations, to the last bit, and against each other."""

from __future__ import annotations

import itertools
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from snn_deploy.core import compiled
from snn_deploy.graph.dynamics import Fire, Leak, Membrane, Neuron, Synaptic
from snn_deploy.graph.semantics import Reset
from snn_deploy.simulate import neurons, silence, threads
from snn_deploy.simulate.neurons import NeuronLayer
from snn_deploy.simulate.silence import SilentConvolution, pool

STEPS, BATCH = 9, 3
CPU = torch.device("cpu")
SHAPES = [(1,), (21,), (3, 7), (5, 3, 2), (8, 4, 4)]
RESETS = [(reset, "one") for reset in get_args(Reset)]
RESETS += [(reset, spikes) for reset in ("zero", "subtract") for spikes in ("many", "rounded")]
CHARGES = ["integrate", "gain", "leak", "leak beside", "division", "current", "current alone"]

# size, kernel, stride, padding, dilation, channels in, channels out
GEOMETRIES = [
    ((6, 5), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 4, 5),
    ((9, 8), (5, 3), (2, 2), ((2, 2), (1, 1)), (1, 1), 2, 16),
    ((7, 7), (2, 2), (1, 1), ((0, 1), (0, 1)), (1, 1), 3, 8),
    ((10, 9), (3, 2), (3, 1), ((0, 0), (2, 2)), (2, 3), 1, 7),
    ((9, 9), (3, 3), (4, 5), ((0, 0), (0, 0)), (1, 1), 33, 1),
    ((4, 4), (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 40, 24),
    ((3, 3), (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 64, 64),
    ((5, 5), (4, 4), (2, 2), ((3, 3), (3, 3)), (1, 1), 2, 50),
]


def values(shape, seed: int, *, uniform: bool) -> np.ndarray:
    """Positive numbers that are exact in float32, one or of each neuron."""
    drawn = np.random.default_rng(seed).uniform(0.3, 0.9, () if uniform else shape)
    return drawn.astype(np.float32).astype(np.float64)


def charge(name: str, shape, *, uniform: bool) -> Membrane | Synaptic:
    def some(seed: int) -> np.ndarray:
        return values(shape, seed, uniform=uniform)

    known = {
        "integrate": Membrane(None),
        "gain": Membrane(some(1)),
        "leak": Membrane(some(1), Leak(some(2), divides=False), some(3), input_decays=True),
        "leak beside": Membrane(None, Leak(some(2), divides=False), None),
        "division": Membrane(None, Leak(1 / some(2), divides=True), some(3), input_decays=True),
        "current": Synaptic(some(1), some(2), some(3), some(4), some(5) / 4),
        "current alone": Synaptic(some(1), None, some(3), None, None),
    }
    return known[name]


def fire(reset: str, spikes: str, shape, *, uniform: bool, strict: bool, v_min: float | None) -> Fire:
    v_reset = np.zeros(()) if spikes != "one" else -0.3 * values(shape, 7, uniform=uniform)
    threshold = values(shape, 6, uniform=uniform)
    return Fire(
        threshold, v_reset, ">" if strict else ">=", reset, spikes, v_min, 3 if spikes == "rounded" else None
    )


def both(neuron: Neuron, shape, x: torch.Tensor, monkeypatch) -> tuple:
    """What torch makes of ``x``, and what the compiled loop makes of it in two parts, the second in place."""
    with monkeypatch.context() as patch:
        patch.setattr(neurons, "runs_compiled", lambda *_: False)
        plain = NeuronLayer(neuron, shape, torch.float32, CPU)
    fast = NeuronLayer(neuron, shape, torch.float32, CPU)
    wanted, after = plain.run(x, plain.start(BATCH))
    begun, state = fast.run(x[:4], fast.start(BATCH))
    rest, state = fast.run(x[4:].clone(), state, overwrite=True)
    return wanted, torch.cat([begun, rest]), after, state


COMBINATIONS = [(name, *reset) for name in CHARGES for reset in (("zero", "one"), ("subtract", "one"))]
COMBINATIONS += [("leak", *reset) for reset in RESETS]


@pytest.mark.parametrize(("name", "reset", "spikes"), COMBINATIONS)
def test_neurons_do_what_torch_does(name, reset, spikes, monkeypatch):
    draw = torch.Generator().manual_seed(len(name))
    bounded = itertools.cycle((None, -0.2) if name == "leak" else (None,))
    for shape, uniform in itertools.product(SHAPES, (True, False)):
        firing = fire(reset, spikes, shape, uniform=uniform, strict=uniform, v_min=next(bounded))
        neuron = Neuron(charge(name, shape, uniform=uniform), firing, firing.v_reset)
        x = 2 * torch.rand(STEPS, BATCH, *shape, generator=draw) - 0.5
        x = x.movedim(2, -1).contiguous().movedim(-1, 2) if uniform else x
        wanted, found, after, state = both(neuron, shape, x, monkeypatch)
        assert torch.equal(found, wanted), (shape, uniform)
        assert all(map(torch.equal, state, after)), (shape, uniform)
        assert wanted.any() or shape == (1,)


@pytest.mark.parametrize("name", CHARGES)
def test_integrators_give_their_membrane(name, monkeypatch):
    neuron = Neuron(charge(name, (21,), uniform=False), None, np.zeros(()))
    x = torch.randn(STEPS, BATCH, 21, generator=torch.Generator().manual_seed(0))
    wanted, found, after, state = both(neuron, (21,), x, monkeypatch)
    assert torch.equal(found, wanted)
    assert all(map(torch.equal, state, after))


def test_a_threshold_that_is_hit_exactly_decides_by_the_comparison():
    for strict in (True, False):
        firing = Fire(np.full((), 0.3), np.zeros(()), ">" if strict else ">=", "zero")
        layer = NeuronLayer(Neuron(Membrane(None), firing, np.zeros(())), (9,), torch.float32, CPU)
        y, _ = layer.run(torch.full((1, 2, 9), 0.3), layer.start(2))
        assert bool(y.all()) is not strict
        assert bool(y.any()) is not strict


def drawn(geometry) -> tuple[torch.Tensor, ...]:
    """Frames of every share of silence, weights and biases."""
    size, kernel, _, _, _, channels, outputs = geometry
    draw = torch.Generator().manual_seed(outputs)
    shares = torch.linspace(0, 1, 13).view(-1, 1, 1, 1)
    frames = (torch.rand(13, channels, *size, generator=draw) < shares).float()
    frames *= torch.randint(1, 4, frames.shape, generator=draw)
    weight = torch.randn(outputs, channels, *kernel, generator=draw)
    return frames, weight, torch.randn(outputs, generator=draw)


def convolution(geometry, *, exact: bool, busy: float, monkeypatch):
    """Frames, the convolution that uses silence, and a dense one."""
    _, _, stride, padding, dilation, _, _ = geometry
    frames, weight, bias = drawn(geometry)
    if exact:
        weight, bias = (weight * 16).round() / 64, (bias * 16).round() / 64

    def dense(x: torch.Tensor) -> torch.Tensor:
        uneven = [p for pair in reversed(padding) for p in pair]
        padded = functional.pad(x, uneven).contiguous(memory_format=torch.channels_last)
        w = weight.contiguous(memory_format=torch.channels_last)
        return functional.conv2d(padded, w, bias, stride, 0, dilation)

    monkeypatch.setattr(silence, "BUSY", busy)
    return frames, SilentConvolution(weight, bias, stride, padding, dilation, dense), dense


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions_of_exact_sums_equal_the_dense_ones(geometry, monkeypatch):
    for busy in (1.0, 0.3, -1.0):
        frames, silent, dense = convolution(geometry, exact=True, busy=busy, monkeypatch=monkeypatch)
        assert torch.equal(silent(frames), dense(frames))
        channels_last = frames.contiguous(memory_format=torch.channels_last)
        assert torch.equal(silent(channels_last), dense(frames))


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_sums_are_taken_row_by_row_and_rounded_once_with_each_product(geometry, monkeypatch):
    """In float64 a product of float32 is exact and a sum is all but exact before it is rounded to float32."""
    frames, silent, _ = convolution(geometry, exact=False, busy=1.0, monkeypatch=monkeypatch)
    _, kernel, stride, padding, dilation, channels, outputs = geometry
    weight, bias = drawn(geometry)[1:]
    windows = functional.pad(frames, [p for pair in reversed(padding) for p in pair])
    windows = functional.unfold(windows, kernel, dilation, 0, stride)
    windows = windows.view(13, channels, kernel[0] * kernel[1], -1).transpose(1, 2).flatten(1, 2)
    row = weight.flatten(2).transpose(1, 2).flatten(1)
    total = torch.zeros(13, outputs, windows.shape[-1])
    for k in range(row.shape[1]):
        product = row[:, k].double()[None, :, None] * windows[:, k].double()[:, None]
        total = (total.double() + product).float()
    wanted = total + bias[:, None]
    assert torch.equal(silent(frames).flatten(2), wanted)


def test_a_silent_frame_depends_on_nothing_beside_it(monkeypatch):
    frames, silent, _ = convolution(GEOMETRIES[0], exact=False, busy=0.3, monkeypatch=monkeypatch)
    kept = (frames != 0).flatten(1).float().mean(1) <= 0.3
    assert 0 < kept.sum() < len(kept)
    alone = torch.cat([silent(frame[None]) for frame in frames[kept]])
    assert torch.equal(silent(frames)[kept], alone)


@pytest.mark.parametrize("divisor", [1, 6])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [((2, 3), (2, 2), (0, 1)), ((3, 2), (1, 3), (1, 0))]
)
def test_pools_do_what_torch_does(kernel, stride, padding, divisor):
    x = torch.randn(5, 11, 8, 9, generator=torch.Generator().manual_seed(0))
    wanted = functional.avg_pool2d(x, kernel, stride, padding, divisor_override=divisor)
    assert torch.equal(pool(kernel, stride, padding, divisor)(x), wanted)
    assert torch.equal(
        pool(kernel, stride, padding, divisor)(x.to(memory_format=torch.channels_last)), wanted
    )


def test_threads_share_the_work_and_errors_come_back(monkeypatch):
    monkeypatch.setattr(threads, "SHARE", 10)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    seen = []
    threads.in_parts(10, 35, lambda begin, end: seen.append((begin, end)))
    assert sorted(seen) == [(0, 3), (3, 6), (6, 10)]
    seen.clear()
    threads.in_parts(1, 1000, lambda begin, end: seen.append((begin, end)))
    assert seen == [(0, 1)]
    with pytest.raises(ZeroDivisionError):
        threads.in_parts(10, 1000, lambda begin, _: begin // 0 if begin else None)


def test_where_no_folder_can_be_written_loops_are_compiled_all_the_same(monkeypatch):
    built = compiled.njit

    def unwritable(**options):
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return built(**options)

    monkeypatch.setattr(compiled, "njit", unwritable)
    assert compiled.compiled(lambda x: x + 1)(2) == 3
