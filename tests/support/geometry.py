"""Random layer geometries for property tests."""

from __future__ import annotations

from dataclasses import dataclass

import nir
import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from oracles.synapses import conv_connections, linear_connections


@dataclass(frozen=True)
class Layer:
    """A weight node with its shapes and the list of its connections, enumerated by brute force."""

    node: nir.NIRNode
    source: tuple[int, ...]
    target: tuple[int, ...]
    connections: tuple


@st.composite
def linear_layers(draw) -> Layer:
    outputs, inputs = draw(st.integers(1, 6)), draw(st.integers(1, 7))
    weight = _weights(draw, (outputs, inputs))
    with_bias = draw(st.booleans())
    node = nir.Affine(weight, np.ones(outputs, np.float32)) if with_bias else nir.Linear(weight)
    return Layer(node, (inputs,), (outputs,), tuple(linear_connections(weight)))


@st.composite
def conv_layers(draw, ranks=(1, 2)) -> Layer:
    rank = draw(st.sampled_from(ranks))
    groups = draw(st.integers(1, 3))
    weight_shape = [groups * draw(st.integers(1, 2)), draw(st.integers(1, 2))]
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(rank))
    dilation = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    padding = draw(st.sampled_from(["same", "valid", "numbers"]))
    stride = tuple(1 if padding == "same" else draw(st.integers(1, 3)) for _ in range(rank))
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        before, total = tuple(s // 2 for s in spans), tuple(spans)
    else:
        before = tuple(0 if padding == "valid" else draw(st.integers(0, 3)) for _ in range(rank))
        total = tuple(2 * b for b in before)
    sizes = tuple(draw(st.integers(1, 7)) for _ in range(rank))
    room = [n + t - s - 1 for n, t, s in zip(sizes, total, spans, strict=True)]
    assume(min(room) >= 0)
    weight = _weights(draw, (*weight_shape, *kernel))
    given = padding if padding != "numbers" else before
    arguments = (stride, given, dilation) if rank == 2 else (stride[0], _first(given), dilation[0])
    conv = nir.Conv2d if rank == 2 else nir.Conv1d
    shape = sizes if rank == 2 else sizes[0]
    node = conv(shape, weight, *arguments, groups, np.zeros(weight.shape[0], np.float32))
    source = (weight.shape[1] * groups, *sizes)
    target = (weight.shape[0], *(r // s + 1 for r, s in zip(room, stride, strict=True)))
    pairs = conv_connections(weight, source, target, stride, before, dilation, groups)
    return Layer(node, source, target, tuple(pairs))


def layers() -> st.SearchStrategy[Layer]:
    return st.one_of(linear_layers(), conv_layers())


def _first(padding):
    return padding if isinstance(padding, str) else padding[0]


def _weights(draw, shape) -> np.ndarray:
    """Small weights; about half of the cases are pruned."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    weight = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    if draw(st.booleans()):
        weight[rng.random(shape) < 0.5] = 0.0
    return weight
