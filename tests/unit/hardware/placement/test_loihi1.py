"""Loihi 1: memory of an axon worked by hand, and tiles that really keep what they promise (brute force)."""

from __future__ import annotations

import itertools
from collections import defaultdict

import nir
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles.synapses import conv_connections
from support.graphs import conv, graph, lif

from snn_deploy.graph.passes.to_chip.windows import Window
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.types import Plan
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.placement.loihi1 import Core, dense_tiles, index_bits, synapse_bits, window_tiles
from snn_deploy.hardware.profile import load_profile

LOIHI = load_profile("loihi1-davies")
CHIP = Core(1024, 4096, 4096, 1 << 20, 8)


def chain(nodes, source, target):
    names = ["input", *nodes, "output"]
    return make_plan(graph(nodes, list(itertools.pairwise(names)), source, target))


@pytest.mark.parametrize(
    ("synapses", "bits", "want"),
    [
        (0, 8, 0),
        (1, 8, 64),  # 18 bits, one unit
        (6, 8, 64),  # 58 bits
        (7, 8, 128),  # 66 bits
        (64, 8, 576),  # 522 bits, nine units
        (65, 8, 576 + 64),
        (64, 18, 1216),  # with a 10-bit index: 1162 bits
        (1024, 8, 16 * 576),
    ],
)
def test_memory_of_one_axon(synapses, bits, want):
    assert int(synapse_bits(np.array(synapses), bits)) == want


def test_widths_of_an_index():
    sizes = np.array([1, 2, 64, 65, 128, 129, 1024, 1025, 4096])
    assert index_bits(sizes).tolist() == [0, 6, 6, 7, 7, 8, 10, 11, 12]


def test_dense_by_hand():
    """4096 axons of 2^20 / 4096 = 256 bits each: 30 synapses (250 bits) fit, 31 (258) do not."""
    tiles = dense_tiles(4096, 100, 1, CHIP)
    assert (tiles.cores, tiles.box, tiles.synapse_bits) == (4, (25,), 4096 * 256)
    assert dense_tiles(4096, 90, 1, CHIP).cores == 3
    assert dense_tiles(4097, 10, 1, CHIP) is None, "one axon too many"


def test_output_axons_limit_the_neurons_of_a_core():
    """A neuron that reaches 41 cores spends 41 axons: 4096 / 41 = 99 neurons."""
    assert dense_tiles(10, 1000, 41, CHIP).cores == -(-1000 // 99)
    assert dense_tiles(10, 10, 5000, CHIP) is None


@st.composite
def windows(draw) -> Window:
    groups = draw(st.integers(1, 3))
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high)))  # noqa: E731
    kernel, stride, dilation, padding, size = pair(1, 3), pair(1, 3), pair(1, 2), pair(0, 2), pair(1, 7)
    for k, d, p, n in zip(kernel, dilation, padding, size, strict=True):
        assume(n + 2 * p - d * (k - 1) - 1 >= 0)
    weight = np.ones((groups * draw(st.integers(1, 3)), draw(st.integers(1, 2)), *kernel))
    return Window(weight, np.zeros(len(weight)), stride, padding, dilation, groups, size)


@settings(max_examples=250, deadline=None)
@given(windows(), st.integers(1, 4), st.integers(4, 64), st.integers(8, 40), st.integers(2000, 40000))
def test_tiles_of_a_convolution_keep_every_limit(window, fan_out, compartments, axons, memory):
    core = Core(compartments, axons, 64, memory, 8)
    tiles = window_tiles(window, fan_out, core)
    assume(tiles is not None)
    source = (window.weight.shape[1] * window.groups, *window.size_in)
    target = (len(window.weight), *window.size_out)
    geometry = (window.stride, window.padding, window.dilation, window.groups)
    inputs, reached = defaultdict(lambda: defaultdict(int)), defaultdict(set)
    for pre, post, _ in conv_connections(window.weight, source, target, *geometry):
        tile = tuple(x // size for x, size in zip(post, tiles.box, strict=True))
        inputs[tile][pre] += 1
        reached[pre].add(tile)
    filled = defaultdict(int)
    for post in itertools.product(*map(range, target)):
        filled[tuple(x // size for x, size in zip(post, tiles.box, strict=True))] += 1
    assert len(filled) == tiles.cores
    assert max(filled.values()) <= tiles.compartments <= compartments
    assert tiles.compartments * fan_out == tiles.output_axons <= core.output_axons
    for tile, axon in inputs.items():
        width = 8 + int(index_bits(np.array(filled[tile])))
        used = sum(int(synapse_bits(np.array(count), width)) for count in axon.values())
        assert len(axon) <= tiles.input_axons <= axons
        assert used <= tiles.synapse_bits <= memory
    assert max((len(found) for found in reached.values()), default=0) <= tiles.reached


def test_a_small_network_fits_with_proof():
    nodes = {
        "c": conv(8, 2, 12, stride=2),
        "n": lif((8, 6, 6)),
        "f": nir.Flatten({"input": None}, 0, -1),
        "w": nir.Linear(np.ones((10, 288), np.float32)),
        "m": lif((10,)),
    }
    found = fit(chain(nodes, (2, 12, 12), (10,)), LOIHI)
    assert found.verdict == "fits"
    assert found.placement.cores == (1, 2)
    conv_row, dense_row = found.placement.rows
    assert conv_row.uses["compartments"].amount == 288
    assert conv_row.uses["input axons"].amount == 2 * 12 * 12
    assert dense_row.uses["input axons"].amount == 288
    # 288 axons of 10 synapses: 90 bits, two units of 64
    assert dense_row.uses["synapse bits"].amount == 288 * 128


def test_more_neurons_than_the_chip_has():
    """64 channels of 48 x 48 are 147,456 compartments: 144 cores at least."""
    found = fit(chain({"c": conv(64, 2, 48), "n": lif((64, 48, 48))}, (2, 48, 48), (64, 48, 48)), LOIHI)
    assert found.verdict == "does not fit"
    (problem,) = found.problems
    assert (problem.found, problem.limit) == ("at least 144 cores", "at most 128")
    assert problem.try_instead == "a smaller network, or 2 chips"


def test_between_the_bounds_nobody_can_tell():
    """112 cores of compartments, but without shared weights far more of synapses."""
    found = fit(chain({"c": conv(112, 64, 32), "n": lif((112, 32, 32))}, (64, 32, 32), (112, 32, 32)), LOIHI)
    assert found.verdict == "cannot tell"
    low, high = found.placement.cores
    assert low == 112
    assert high > 128
    assert "by how weights are shared" in found.unknowns[0].found


def test_too_many_inputs_of_a_dense_layer():
    """The question of users: 4096 axons per core. Axons that share weights might do with fewer."""
    nodes = {"w": nir.Linear(np.ones((10, 5000), np.float32)), "n": lif((10,))}
    found = fit(chain(nodes, (5000,), (10,)), LOIHI)
    assert found.verdict == "cannot tell"
    (unknown,) = found.unknowns
    assert "5,000 input axons" in unknown.found
    assert unknown.limit == "at most 4,096"
    assert found.placement.cores == (1, None)


def looped(*through: str) -> Plan:
    """Three inputs, four neurons ``n`` that see themselves through ``b``, and the nodes of ``through``."""
    nodes = {
        "a": nir.Linear(np.ones((4, 3), np.float32)),
        "n": lif((4,)),
        "m": lif((4,)),
        "b": nir.Linear(np.ones((4, 4), np.float32)),
    }
    back = list(itertools.pairwise(["n", *through, "b", "n"]))
    left = {name: node for name, node in nodes.items() if name != "m" or name in through}
    return make_plan(graph(left, [("input", "a"), ("a", "n"), *back, ("n", "output")], (3,), (4,)))


def test_a_recurrent_layer_is_its_own_source():
    """3 + 4 axons of 4 synapses: 4 * 8 + 10 bits are one unit of 64 each. Each neuron has an axon to the host
    and one to its own core."""
    found = fit(looped(), LOIHI)
    assert found.verdict == "fits"
    (row,) = found.placement.rows
    used = {name: use.amount for name, use in row.uses.items()}
    assert used == {"compartments": 4, "input axons": 7, "output axons": 8, "synapse bits": 7 * 64}


@pytest.mark.parametrize("neurons", [1, 7, 1000, 5000])
def test_tiles_of_a_recurrent_layer_keep_every_limit(neurons):
    """Every neuron has an axon to every tile, its own among them, and two to other layers."""
    tiles = dense_tiles(30, neurons, 2, CHIP, recurrent=True)
    if tiles is None:
        assert 30 + neurons > CHIP.input_axons
        return
    (size,) = tiles.box
    assert tiles.cores == -(-neurons // size)
    assert tiles.input_axons == 30 + neurons <= CHIP.input_axons
    assert tiles.output_axons == size * (2 + tiles.cores) <= CHIP.output_axons
    per_axon = int(synapse_bits(np.array(size), CHIP.weight_bits))
    assert tiles.synapse_bits == (30 + neurons) * per_axon <= CHIP.synapse_bits


def test_bits_of_delays_are_unknown():
    nodes = {"z": nir.Delay(np.full(3, 2e-4)), "a": nir.Linear(np.ones((4, 3), np.float32)), "n": lif((4,))}
    found = fit(chain(nodes, (3,), (4,)), LOIHI)
    assert found.verdict == "cannot tell"
    assert "delays of synapses" in found.unknowns[0].found


def test_what_cannot_be_lowered_is_only_counted():
    found = fit(looped("m"), LOIHI)
    assert found.verdict == "cannot tell"
    assert found.placement.cores == (1, None)
    assert "cannot be lowered" in found.unknowns[0].found
