"""Fan-out maps equal an enumeration of every connection."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from oracles.synapses import fan_out_maps
from support.geometry import conv_layers, layers

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.energy.fanout import fan_out


@settings(max_examples=150, deadline=None)
@given(layers())
def test_equals_brute_force(layer):
    every, used = fan_out_maps(layer.connections, layer.source)
    fan = fan_out(layer.node, layer.source, layer.target)
    np.testing.assert_array_equal(fan.connections.numpy(), every)
    np.testing.assert_array_equal(fan.nonzero.numpy(), used)
    assert fan.dense == len(layer.connections)
    assert fan.dense_nonzero == sum(nonzero for *_, nonzero in layer.connections)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=60, deadline=None)
@given(conv_layers(ranks=(2,)))
def test_geometry_is_that_of_torch(layer):
    """The enumerator itself agrees with torch: a convolution of ones with ones sums the connections."""
    node = layer.node
    out = torch.nn.functional.conv2d(
        torch.ones(1, *layer.source),
        torch.from_numpy((node.weight != 0).astype(np.float32)),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
    )
    assert tuple(out.shape[1:]) == layer.target
    assert int(out.sum()) == sum(nonzero for *_, nonzero in layer.connections)


def test_by_hand():
    """3x3, stride 2, no padding on 4x4: one window; the last row and column are read by nobody."""
    conv = nir.Conv2d((4, 4), np.ones((2, 1, 3, 3), np.float32), 2, 0, 1, 1, np.zeros(2, np.float32))
    fan = fan_out(conv, (1, 4, 4), (2, 1, 1))
    expected = np.zeros((1, 4, 4))
    expected[0, :3, :3] = 2
    np.testing.assert_array_equal(fan.connections.numpy(), expected)
    assert fan.dense == 18


def test_geometry_excess_of_the_dense_formula():
    """Dense 3x3 padding 1: taps x positions exceeds the true connections by 19 % at 8 px, 125 % at 2 px."""
    for size, excess in ((8, 0.19), (4, 0.44), (2, 1.25)):
        conv = nir.Conv2d(
            (size, size), np.ones((4, 4, 3, 3), np.float32), 1, 1, 1, 1, np.zeros(4, np.float32)
        )
        formula = 9 * 4 * 4 * size * size
        assert formula / fan_out(conv, (4, size, size), (4, size, size)).dense - 1 == pytest.approx(
            excess, abs=0.005
        )


def test_other_nodes_have_no_connections():
    with pytest.raises(UnsupportedError, match="Flatten"):
        fan_out(nir.Flatten({"input": np.array([2, 2])}, 0), (2, 2), (4,))
