"""Memory of DYNAP-CNN cores: the vendor's own example, cases worked by hand, and the matching."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from support.graphs import conv, graph, lif

from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.network import Network
from snn_deploy.hardware.placement.dynapcnn import memory, place
from snn_deploy.hardware.profile import load_profile

SPECK = load_profile("speck2f")


def spiking(shape):
    one = np.ones(shape, np.float32)
    return nir.IF(r=1e4 * one, v_threshold=one, v_reset=0 * one)


def network(*layers, source):
    """Layers ``(weights, output shape)``, each followed by IF neurons; a Flatten before the first dense."""
    nodes, previous, edges, rank = {}, "input", [], len(source)

    def add(name, node):
        nonlocal previous
        nodes[name] = node
        edges.append((previous, name))
        previous = name

    for i, (weights, shape) in enumerate(layers):
        if rank == 3 and len(shape) == 1:
            add(f"flat{i}", nir.Flatten({"input": None}, 0, -1))
        rank = len(shape)
        add(f"w{i}", weights)
        add(f"n{i}", spiking(shape))
    edges.append((previous, "output"))
    return Network(make_plan(graph(nodes, edges, source, layers[-1][1])))


def dense(outputs, inputs):
    return nir.Linear(np.ones((outputs, inputs), np.float32))


def test_the_example_of_the_vendor():
    """sinabs documentation, Speck overview: 16 to 32 channels, kernel 3 x 3, 64 x 64: 8 Ki and 128 Ki."""
    net = network((conv(32, 16, 64), (32, 64, 64)), source=(16, 64, 64))
    assert memory(net.layers[0]) == {"kernel": 8 * 1024, "neuron": 128 * 1024, "bias": 0}
    (finding,) = place(net, SPECK.limits).findings
    assert finding.where == "w0"
    assert finding.found == "neuron memory 131,072"
    assert finding.limit == "neuron at most 65,536 entries"
    assert "sinabs 3.1.3" in finding.source


@pytest.mark.parametrize(
    ("layer", "source", "want"),
    [
        # 3 channels x 2^(4 + 3): 9 taps round up to 16, 5 filters to 8; map 6 x 10 to 8 x 16
        ((conv(5, 3, 6, kernel=3), (5, 6, 10)), (3, 6, 10), (3 * 2**7, 5 * 2**7)),
        # a 1 x 1 kernel rounds to 1; one filter
        ((conv(1, 7, 4, kernel=1, padding=0), (1, 4, 4)), (7, 4, 4), (7, 16)),
        # dense after a 4 x 4 map of 2 channels: a kernel of 16 taps, 10 neurons round to 16 filters
        ((dense(10, 32), (10,)), (2, 4, 4), (2 * 2**8, 10)),
        # dense after 24 neurons: 24 channels of 1 x 1
        ((dense(10, 24), (10,)), (24,), (24 * 2**4, 10)),
    ],
)
def test_hand_worked(layer, source, want):
    found = memory(network(layer, source=source).layers[0])
    assert (found["kernel"], found["neuron"], found["bias"]) == (*want, 0)


def test_biases_take_memory_only_where_there_are_some():
    weights = conv(5, 3, 6)
    weights.bias = np.array([0, 0, 1, 0, 0], np.float32)
    assert memory(network((weights, (5, 6, 6)), source=(3, 6, 6)).layers[0])["bias"] == 5


def test_the_shipped_memories_are_those_of_the_chip():
    """327,680 neurons (0.32 million in the documentation) and 272 Ki of weights in nine cores."""
    assert sum(SPECK.limits.neuron_memory_per_core.value) == 327_680
    assert sum(SPECK.limits.kernel_memory_per_core.value) == 272 * 1024
    assert SPECK.limits.cores.value == (9, 9)


def test_layers_that_only_few_cores_hold_are_placed_there():
    """64 Ki of neurons fit cores 0 to 2 only, 64 Ki of weights cores 5 and 6 only."""
    wide = (conv(16, 2, 64), (16, 64, 64))
    deep = (conv(32, 16, 64, stride=8), (32, 8, 8))
    heavy = (dense(32, 32 * 64), (32,))
    net = network(wide, deep, heavy, source=(2, 64, 64))
    assert memory(net.layers[2])["kernel"] == 64 * 1024
    placement = place(net, SPECK.limits)
    assert not placement.findings
    cores = [int(row.cores.removeprefix("core ")) for row in placement.rows]
    assert cores[0] in {0, 1, 2}
    assert cores[2] in {5, 6}
    assert len(set(cores)) == 3
    assert placement.cores == (3, 3)
    assert placement.utilisation == pytest.approx(3 / 9)
    first = placement.rows[0].uses
    assert (first["neuron entries"].amount, first["neuron entries"].available) == (65536, 65536)


def test_too_many_layers_for_the_cores_that_could_take_them():
    """Four layers with 64 Ki of neurons, three cores with that much."""
    same = (conv(16, 16, 64), (16, 64, 64))
    net = network((conv(16, 2, 64), (16, 64, 64)), same, same, same, source=(2, 64, 64))
    (finding,) = place(net, SPECK.limits).findings
    assert finding.where == "w0, w1, w2, w3"
    assert finding.found == "4 layers"
    assert finding.limit == "3 (cores 0, 1, 2)"


def test_more_layers_than_cores():
    layer = (dense(8, 8), (8,))
    (finding,) = place(network(*[layer] * 11, source=(8,)), SPECK.limits).findings
    assert finding.found == "10 layers"
    assert finding.limit == "9 (9 cores)"


def test_memories_that_no_core_has_together():
    """64 Ki of weights (cores 5, 6) and 32 Ki of neurons (cores 0 to 4)."""
    net = network((conv(128, 32, 16), (128, 16, 16)), source=(32, 16, 16))
    assert memory(net.layers[0]) == {"kernel": 65536, "neuron": 32768, "bias": 0}
    (finding,) = place(net, SPECK.limits).findings
    assert finding.found == "kernel memory 65,536 and neuron memory 32,768"
    assert finding.limit == "neuron at most 16,384 on cores with that much kernel memory"


def test_a_dense_layer_behind_an_oblong_or_large_map():
    oblong = network((dense(4, 2 * 3 * 5), (4,)), source=(2, 3, 5))
    assert [f.found for f in place(oblong, SPECK.limits).findings] == ["dense after a 3x5 map: kernel 3x5"]
    large = network((dense(4, 20 * 20), (4,)), source=(1, 20, 20))
    finding = next(f for f in place(large, SPECK.limits).findings if f.rule == "kernel_max")
    assert finding.limit == "at most 15 or 16; sources differ"


def test_an_if_network_fits_and_a_leaky_one_does_not():
    layers = ((conv(8, 2, 12, stride=2), (8, 6, 6)), (dense(10, 288), (10,)))
    good = fit(network(*layers, source=(2, 12, 12)).plan, SPECK)
    assert good.verdict == "fits", (good.problems, good.unknowns)
    assert good.remarks
    nodes = {"w": dense(10, 4), "n": lif((10,))}
    leaky = make_plan(graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (4,), (10,)))
    bad = fit(leaky, SPECK)
    assert bad.verdict == "does not fit"
    assert [(f.rule, f.found, f.limit) for f in bad.problems] == [("neurons", "LIF neurons", "IF")]
    assert "student.neuron.kind: if" in bad.problems[0].try_instead
