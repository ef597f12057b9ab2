"""What the chip rounds, and what needs no rounding."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import graph, lif
from support.limits import limit, limits

from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.changes import change_findings, leaks, on_grid
from snn_deploy.hardware.network import Network


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(-128, 127), min_size=1, max_size=40), st.floats(1e-3, 1e3))
def test_integers_times_a_step_are_on_the_grid(numbers, step):
    assert on_grid((np.array(numbers) * step).astype(np.float32), 8)


@pytest.mark.parametrize(
    ("weight", "bits", "wanted"),
    [
        ([0, 0], 4, True),
        ([-8, 7, 3], 4, True),
        ([-8, 8, 3], 4, False),  # +8 does not exist in four bits
        ([9, 7], 4, False),
        ([0.3, -0.3], 1, True),
        ([0.3, -0.2], 1, False),
        ([1.0, np.pi], 8, False),
        (np.linspace(0.1, 1, 300), 8, False),
        (np.random.default_rng(0).normal(size=(50, 50)), 8, False),
    ],
)
def test_on_the_grid(weight, bits, wanted):
    assert on_grid(np.array(weight), bits) is wanted


def network(weight=None, bias=None, tau=2e-4):
    weight = np.ones((3, 2), np.float32) if weight is None else np.asarray(weight, np.float32)
    neurons = lif((3,))
    neurons.tau = np.full(3, tau)
    layer = nir.Affine(weight, np.zeros(3, np.float32) if bias is None else np.asarray(bias, np.float32))
    nodes = {"w": layer, "n": neurons}
    return Network(make_plan(graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (2,), (3,))))


def changes(net, **values):
    return [(f.state, f.rule, f.where, f.found, f.limit) for f in change_findings(net, limits(**values))]


def test_weights():
    assert changes(network(), weight_bits=[8]) == []
    rounded = [("changed", "weight_bits", "w", "real weights", "4 bits")]
    assert changes(network(np.arange(6).reshape(3, 2) * np.pi + 1), weight_bits=[2, 4]) == rounded


def test_biases():
    net = network(bias=[0, 1, 2])
    assert changes(net, biases="every step") == []
    assert changes(net, biases="slow clock") == [("changed", "biases", "w", "2 biases", "slow clock")]
    assert changes(net, biases="none") == [("violated", "biases", "w", "2 biases", "none")]
    assert changes(network(), biases="none") == []


@pytest.mark.parametrize(("tau", "off"), [(2e-4, False), (8e-4, False), (3e-4, True)])
def test_leaks_of_bit_shifts(tau, off):
    found = changes(network(tau=tau), decays="power of two")
    wanted = [("changed", "decays", "n", "membrane leak 0.3333 per step", "1/2, 1/4, 1/8 ...")]
    assert found == (wanted if off else [])


def test_leaks_of_twelve_bits():
    assert changes(network(tau=1e-4 * 4096 / 5), decay_bits=12) == []
    assert changes(network(tau=3e-4), decay_bits=12)[0][4] == "12 bits"


def test_leaks_per_step():
    net = network(tau=4e-4)
    assert leaks(net, "n")["membrane"] == pytest.approx(0.25)


def test_classes():
    assert changes(network(), classes_max=3) == []
    assert changes(network(), classes_max=limit(2)) == [
        ("changed", "classes_max", "output", "3 outputs", "at most 2")
    ]
