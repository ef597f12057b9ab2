"""Shapes and steps of traced values, against torch itself."""

from __future__ import annotations

import itertools

import pytest
import torch
from spikingjelly.activation_based import neuron
from support.module_styles import OFTEN, often_equal
from torch import nn
from torch.nn.utils import spectral_norm, weight_norm
from torch.nn.utils.parametrizations import weight_norm as parametrized

from snn_deploy.graph.readers.forms import merged, picked, repeated

BASE = torch.arange(30.0).reshape(3, 2, 5)


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 1, 1), (1, 5), (4,), (2, 2, 2, 2)])
def test_merged_axes_are_those_that_flatten_merges(shape):
    x = torch.arange(float(torch.Size(shape).numel())).reshape(shape)
    for start, end in itertools.combinations(range(len(shape)), 2):
        flat = x.flatten(start, end)
        assert torch.equal(x.flatten(*merged(shape, tuple(flat.shape))), flat)
    assert merged(shape, (*shape, 7)) is None and merged(shape, (*shape[::-1], 2)) is None


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (BASE.unsqueeze(0).repeat(4, 1, 1, 1), ("sequence", 4)),
        (BASE.expand(4, 3, 2, 5), ("sequence", 4)),
        (BASE.unsqueeze(1).repeat(1, 4, 1, 1), ("samples", 4)),
        (BASE.repeat(4, 1, 1), ("folded", 4)),
        (BASE.repeat_interleave(4, 0), ("rows", 4)),
        (BASE.repeat(1, 1, 4), None),
        (BASE.repeat_interleave(4, 0).reshape(4, 3, 2, 5), None),
        (torch.stack([BASE, BASE + 1]), None),
    ],
)
def test_repetitions_are_told_apart(given, found):
    assert repeated(given, BASE) == found


def test_steps_are_picked_from_the_axis_of_time():
    every = slice(None)
    assert [picked("sequence", 2), picked("sequence", (2, Ellipsis)), picked("sequence", (-1, every))] == [
        2,
        2,
        -1,
    ]
    assert [picked("samples", (every, 2)), picked("samples", (every, 2, every, every))] == [2, 2]
    for form, index in (
        ("sequence", (every, 2)),
        ("sequence", slice(0, 1)),
        ("sequence", (2, 0)),
        ("samples", 2),
        ("samples", (slice(1, None), 2)),
        ("folded", 2),
        ("step", 0),
    ):
        assert picked(form, index) is None


class Squeezes(nn.Module):
    """A global pool whose axes of one are dropped one by one."""

    def __init__(self):
        super().__init__()
        self.conv, self.n1, self.fc, self.n2 = (
            nn.Conv2d(2, 3, 3),
            neuron.LIFNode(),
            nn.Linear(3, 4),
            neuron.IFNode(),
        )

    def forward(self, x):
        return torch.stack([self.n2(self.fc(self.pooled(x_t).squeeze(-1).squeeze(-1))) for x_t in x])

    def pooled(self, x):
        return nn.functional.adaptive_avg_pool2d(self.n1(self.conv(x)), 1)


class Normed(nn.Module):
    """Weights that are made of others in every call."""

    def __init__(self, *norms):
        super().__init__()
        self.fc1, self.fc2 = (
            norm(layer) for norm, layer in zip(norms, (nn.Linear(12, 16), nn.Linear(16, 4)), strict=True)
        )
        self.n1, self.n2 = neuron.LIFNode(), neuron.IFNode()

    def forward(self, x):
        return torch.stack([self.n2(self.fc2(self.n1(self.fc1(x_t)))) for x_t in x])


@OFTEN
def test_axes_of_one_are_dropped(tries):
    often_equal(Squeezes, tries)


@OFTEN
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning", "ignore:.*spectral_norm:FutureWarning")
@pytest.mark.parametrize(
    "norms", [(weight_norm, spectral_norm), (parametrized, nn.utils.parametrizations.spectral_norm)]
)
def test_weights_are_those_of_the_call(norms, tries):
    """Random values go into what the weights are made of, so that the stored weights are stale."""
    often_equal(lambda: Normed(*norms), tries, (12,), gain=3.0)
