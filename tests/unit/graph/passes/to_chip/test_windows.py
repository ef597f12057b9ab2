"""Merged linear maps against torch applying them one after the other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from snn_deploy.graph.passes.to_chip.windows import (
    Matrix,
    MergeError,
    Window,
    merge,
    merge_into_matrix,
    pooling,
    with_groups,
)


def _apply(window: Window, x: torch.Tensor) -> torch.Tensor:
    return functional.conv2d(
        x,
        torch.from_numpy(window.weight),
        torch.from_numpy(window.bias),
        window.stride,
        window.padding,
        window.dilation,
        window.groups,
    )


def _pair(draw: st.DrawFn, low: int, high: int) -> tuple[int, int]:
    return draw(st.integers(low, high)), draw(st.integers(low, high))


@st.composite
def pools(draw: st.DrawFn, channels: int, size: tuple[int, int]) -> Window:
    kernel, stride = _pair(draw, 1, 3), _pair(draw, 1, 3)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return pooling(channels, kernel, stride, padding, size, draw(st.sampled_from([1.0, 0.25])))


@st.composite
def convolutions(draw: st.DrawFn, channels: int, size: tuple[int, int]) -> Window:
    groups = draw(st.sampled_from([g for g in range(1, channels + 1) if channels % g == 0]))
    outputs = groups * draw(st.integers(1, 2))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    weight = rng.standard_normal((outputs, channels // groups, *_pair(draw, 1, 3)))
    bias = rng.standard_normal(outputs) * draw(st.booleans())
    return Window(weight, bias, _pair(draw, 1, 2), _pair(draw, 0, 2), _pair(draw, 1, 2), groups, size)


def _fits(window: Window) -> bool:
    return min(window.size_out) >= 1


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_merged_maps_equal_the_two_maps_or_are_refused(data: st.DataObject) -> None:
    channels, size = data.draw(st.integers(1, 3)), _pair(data.draw, 3, 9)
    pool_first = data.draw(st.booleans())
    inner = data.draw((pools if pool_first else convolutions)(channels, size))
    assume(_fits(inner))
    outer = data.draw((convolutions if pool_first else pools)(len(inner.weight), inner.size_out))
    assume(_fits(outer))
    x = torch.randn(2, channels, *size, dtype=torch.float64)
    expected = _apply(outer, _apply(inner, x))
    try:
        merged = merge(inner, outer)
    except MergeError:
        return
    assert merged.size_out == outer.size_out
    torch.testing.assert_close(_apply(merged, x), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pooling_that_divides_the_image_is_always_merged(data: st.DataObject) -> None:
    """The case that networks are made of: k x k pooling without overlap, then any padded convolution."""
    k = data.draw(st.integers(2, 3))
    size = (k * data.draw(st.integers(2, 4)), k * data.draw(st.integers(2, 4)))
    inner = pooling(2, (k, k), (k, k), (0, 0), size, 1 / k**2)
    outer = data.draw(convolutions(2, inner.size_out))
    assume(_fits(outer))
    merged = merge(inner, outer)
    x = torch.randn(1, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(_apply(merged, x), _apply(outer, _apply(inner, x)), rtol=1e-12, atol=1e-12)


def test_rest_of_an_image_that_padding_would_show_is_refused() -> None:
    pool = pooling(1, (2, 2), (2, 2), (0, 0), (5, 4), 0.25)
    outer = Window(np.ones((1, 1, 3, 3)), np.zeros(1), (1, 1), (1, 1), (1, 1), 1, pool.size_out)
    with pytest.raises(MergeError, match="input size 5 is not covered by windows of 2"):
        merge(pool, outer)


def test_two_layers_of_weights_are_refused() -> None:
    one = Window(np.ones((1, 1, 1, 1)), np.zeros(1), (1, 1), (0, 0), (1, 1), 1, (3, 3))
    with pytest.raises(MergeError, match="without neurons between them"):
        merge(one, one)


def test_bias_before_a_padded_pooling_is_refused() -> None:
    first = Window(np.ones((1, 1, 1, 1)), np.ones(1), (1, 1), (0, 0), (1, 1), 1, (4, 4))
    with pytest.raises(MergeError, match="hides the bias"):
        merge(first, pooling(1, (2, 2), (2, 2), (1, 1), (4, 4), 0.25))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_pooling_before_a_matrix_is_exact_at_every_border(data: st.DataObject) -> None:
    size = _pair(data.draw, 2, 7)
    pool = data.draw(pools(2, size))
    assume(_fits(pool))
    inputs = 2 * pool.size_out[0] * pool.size_out[1]
    weight, bias = np.random.default_rng(0).standard_normal((3, inputs)), np.arange(3.0)
    merged = merge_into_matrix(pool, Matrix(weight, bias))
    x = torch.randn(4, 2, *size, dtype=torch.float64)
    expected = functional.linear(_apply(pool, x).flatten(1), torch.from_numpy(weight), torch.from_numpy(bias))
    found = functional.linear(x.flatten(1), torch.from_numpy(merged.weight), torch.from_numpy(merged.bias))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("groups", "limit", "expected"), [(6, 6, 6), (6, 5, 3), (6, 2, 2), (5, 4, 1)])
def test_fewer_groups_compute_the_same(groups: int, limit: int, expected: int) -> None:
    weight = np.random.default_rng(0).standard_normal((2 * groups, 2, 2, 2))
    window = Window(weight, np.zeros(2 * groups), (1, 1), (0, 0), (1, 1), groups, (4, 4))
    fewer = with_groups(window, limit)
    assert fewer.groups == expected
    x = torch.randn(1, 2 * groups, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(_apply(fewer, x), _apply(window, x), rtol=1e-12, atol=1e-12)
