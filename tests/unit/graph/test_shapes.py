"""Shape inference against the operations themselves."""

from __future__ import annotations

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.geometry import conv_layers
from torch.nn import functional

from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.shapes import ShapeError, output_shape
from snn_deploy.simulate.layers import stateless

SEMANTICS = Semantics()


@settings(deadline=None, max_examples=150)
@given(layer=conv_layers())
def test_convolution_shapes_are_those_of_the_enumerated_connections(layer):
    assert output_shape(layer.node, layer.source) == layer.target


@settings(deadline=None, max_examples=80)
@given(layer=conv_layers(), seed=st.integers(0, 999))
def test_convolution_is_the_sum_over_its_connections(layer, seed):
    """The brute-force list names (source, target, weight); the simulator's function must do the same."""
    function = stateless(layer.node, SEMANTICS, torch.float64, torch.device("cpu"))
    x = np.random.default_rng(seed).normal(size=layer.source)
    y = function(torch.from_numpy(x)[None])[0].numpy()
    assert y.shape == layer.target
    weight = np.asarray(layer.node.weight, dtype=np.float64)
    expected = _convolve(x, weight, layer.node, layer.target)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-9)


def _convolve(x, weight, node, target):
    """A convolution by loops over output positions and kernel taps."""
    rank = weight.ndim - 2
    stride, dilation = (np.broadcast_to(v, rank) for v in (node.stride, node.dilation))
    span = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    if isinstance(node.padding, str):
        before = [s // 2 if node.padding == "same" else 0 for s in span]
    else:
        before = np.broadcast_to(node.padding, rank)
    per_group = weight.shape[0] // node.groups
    out = np.zeros(target)
    for index in np.ndindex(*target):
        first = (index[0] // per_group) * weight.shape[1]
        for tap in np.ndindex(*weight.shape[1:]):
            place = [index[1 + a] * stride[a] + tap[1 + a] * dilation[a] - before[a] for a in range(rank)]
            if all(0 <= p < n for p, n in zip(place, x.shape[1:], strict=True)):
                out[index] += weight[(index[0], *tap)] * x[(first + tap[0], *place)]
    return out


@settings(deadline=None, max_examples=80)
@given(
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    half=st.booleans(),
    average=st.booleans(),
)
def test_pools_are_those_of_torch(kernel, stride, size, half, average):
    padding = tuple(k // 2 for k in kernel) if half else (0, 0)
    kind = nir.AvgPool2d if average else nir.SumPool2d
    node = kind(np.array(kernel), np.array(stride), np.array(padding))
    x = torch.rand(1, 2, *size, dtype=torch.float64)
    try:
        expected = functional.avg_pool2d(x, kernel, stride, padding)
    except RuntimeError:
        with pytest.raises(ShapeError, match="does not fit"):
            output_shape(node, (2, *size))
        return
    assert output_shape(node, (2, *size)) == tuple(expected.shape[1:])
    y = stateless(node, SEMANTICS, torch.float64, torch.device("cpu"))(x)
    assert torch.allclose(y, expected if average else expected * kernel[0] * kernel[1])


@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple),
    start=st.integers(-5, 5),
    end=st.integers(-5, 5),
)
def test_flatten_is_that_of_torch(shape, start, end):
    node = nir.Flatten({"input": None}, start, end)
    try:
        expected = tuple(torch.zeros(shape).flatten(start, end).shape)
    except (RuntimeError, IndexError):
        with pytest.raises(ShapeError):
            output_shape(node, shape)
        return
    assert output_shape(node, shape) == expected
    x = torch.rand(2, *shape)
    y = stateless(node, SEMANTICS, torch.float32, torch.device("cpu"))(x)
    assert torch.equal(y, x.reshape(2, *expected))


def conv(weight_shape, **changes) -> nir.Conv2d:
    given_ = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **changes}
    bias = given_.pop("bias", np.zeros(weight_shape[0]))
    return nir.Conv2d(input_shape=None, weight=np.zeros(weight_shape), bias=bias, **given_)


@pytest.mark.parametrize(
    ("node", "shape", "says"),
    [
        (conv((4, 3, 3, 3)), (2, 8, 8), r"expect 3 input channels, the input \(2, 8, 8\) has 2"),
        (conv((4, 3, 3, 3), groups=2), (6, 2, 2), r"window of 3 does not fit an input of 2"),
        (conv((5, 3, 1, 1), groups=2), (6, 8, 8), "5 output channels do not divide into 2 groups"),
        (conv((4, 3, 3)), (3, 8, 8), "weight has 3 axes; Conv2d needs 4"),
        (conv((4, 3, 1, 1)), (3, 8), "has 2 axes; Conv2d needs 3"),
        (conv((4, 3, 1, 1), bias=np.zeros(3)), (3, 8, 8), r"bias has shape \(3,\); expected \(4,\)"),
        (conv((4, 3, 1, 1), stride=0), (3, 8, 8), "must be >= 0, the others >= 1"),
        (conv((4, 3, 1, 1), padding=(-1, 0)), (3, 8, 8), "must be >= 0"),
        (conv((4, 3, 1, 1), stride=(1, 2, 3)), (3, 8, 8), "1 or 2 integers"),
        (conv((4, 3, 1, 1), dilation=1.5), (3, 8, 8), "integers"),
        (conv((4, 3, 3, 3), padding="same", stride=2), (3, 8, 8), "'same' needs stride 1"),
        (conv((4, 3, 1, 1), padding=10**6), (3, 8, 8), "more than 67108864 elements"),
        (nir.Affine(np.zeros((4, 3)), np.zeros(4)), (4,), r"expect an input of \(3,\), found \(4,\)"),
        (nir.Affine(np.zeros((4, 3)), np.zeros(3)), (3,), r"bias has shape \(3,\)"),
        (nir.Linear(np.zeros((2, 4, 3))), (2, 3), r"only \(out, in\) is supported"),
        (nir.Threshold(np.zeros(3)), (4,), r"'threshold' has shape \(3,\); it does not broadcast"),
        (nir.IF(np.ones((2, 4)), np.ones((2, 4))), (4,), "does not broadcast"),
        (nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([2, 0])), (1, 8, 8), "more than half"),
        (nir.AvgPool2d(np.array(2), np.array(2), np.array(0)), (8, 8), r"needs \(C, H, W\)"),
    ],
)
def test_says_with_numbers_why_a_node_cannot_take_its_input(node, shape, says):
    with pytest.raises(ShapeError, match=says):
        output_shape(node, shape)


def test_scalar_neuron_parameters_broadcast():
    node = nir.LIF(*(np.float32(v) for v in (2e-4, 1.0, 0.0, 1.0, 0.0)))
    assert output_shape(node, (3, 5, 7)) == (3, 5, 7)
    per_channel = nir.Scale(np.ones((3, 1, 1)))
    assert output_shape(per_channel, (3, 5, 7)) == (3, 5, 7)
