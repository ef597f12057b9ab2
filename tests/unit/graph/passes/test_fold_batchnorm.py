"""Batch norm folded into weights, against batch norm itself in float64."""

from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine, FoldBatchNorm
from snn_deploy.graph.readers.torch_modules.known import CONVERTERS
from snn_deploy.graph.semantics import Semantics
from snn_deploy.simulate.layers import stateless


def norm(channels: int, rank: int, seed: int, *, shift: bool = True) -> nn.Module:
    torch.manual_seed(seed)
    module = (nn.BatchNorm2d if rank == 2 else nn.BatchNorm1d)(channels).double().eval()
    nn.init.normal_(module.running_mean, 0, 0.5 if shift else 0.0)
    nn.init.uniform_(module.running_var, 0.2, 3.0)
    nn.init.uniform_(module.weight, -2.0, 2.0)
    if shift:
        nn.init.normal_(module.bias)
    return module


def convolution(out: int, per_group: int, groups: int, padding, rng) -> nir.Conv2d:
    weight = rng.normal(size=(out * groups, per_group, 3, 2)).astype(np.float32)
    return nir.Conv2d((5, 5), weight, (1, 2), padding, (1, 1), groups, rng.normal(size=out * groups))


def apply(node: nir.NIRNode, x: torch.Tensor) -> torch.Tensor:
    return stateless(node, Semantics(), torch.float64, torch.device("cpu"))(x)


def folded(*chain: tuple[str, nir.NIRNode]) -> dict[str, nir.NIRNode]:
    nodes = dict(chain)
    names = list(nodes)
    edges = [(a, b) for a, b in itertools.pairwise(names)]
    made = FoldBatchNorm().apply(nir.NIRGraph(nodes, edges, type_check=False))
    left, edges = made.subject.nodes, made.subject.edges
    folded_in = {origin for origins in made.origins.values() for origin in origins} - set(left)
    assert folded_in == {name for name in names if isinstance(nodes[name], ChannelAffine)}
    assert edges == list(zip(left, list(left)[1:], strict=False))
    return left


@settings(deadline=None, max_examples=40)
@given(out=st.integers(1, 3), per_group=st.integers(1, 3), groups=st.integers(1, 3), seed=st.integers(0, 999))
def test_behind_a_convolution(out, per_group, groups, seed):
    rng = np.random.default_rng(seed)
    conv = convolution(out, per_group, groups, (1, 1), rng)
    module = norm(out * groups, 2, seed)
    affine = CONVERTERS["torch.BatchNorm2d"](module, (out * groups, 5, 3), 1e-4)
    nodes = folded(("input", nir.Threshold(np.ones(1))), ("conv", conv), ("norm", affine))
    x = torch.from_numpy(rng.normal(size=(2, per_group * groups, 5, 5)))
    expected = module(apply(conv, x)).detach()
    assert torch.allclose(apply(nodes["conv"], x), expected, rtol=1e-5, atol=1e-5)
    assert nodes["conv"].weight.dtype == np.float32


@settings(deadline=None, max_examples=40)
@given(
    out=st.integers(1, 3),
    per_group=st.integers(1, 3),
    groups=st.integers(1, 3),
    padded=st.booleans(),
    seed=st.integers(0, 999),
)
def test_before_a_convolution(out, per_group, groups, padded, seed):
    """With padding only a batch norm without shift can move: padding is not normalised."""
    rng = np.random.default_rng(seed)
    conv = convolution(out, per_group, groups, (1, 1) if padded else "valid", rng)
    module = norm(per_group * groups, 2, seed, shift=not padded)
    affine = CONVERTERS["torch.BatchNorm2d"](module, (per_group * groups, 5, 5), 1e-4)
    source = ("pool", nir.SumPool2d(np.array([1, 1]), np.array([1, 1]), np.array([0, 0])))
    nodes = folded(source, ("norm", affine), ("conv", conv))
    x = torch.from_numpy(rng.normal(size=(2, per_group * groups, 5, 5)))
    expected = apply(conv, module(x).detach())
    assert torch.allclose(apply(nodes["conv"], x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("behind", [True, False])
def test_linear_layers(bias, behind):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4)).astype(np.float32)
    fc = nir.Affine(weight, rng.normal(size=3).astype(np.float32)) if bias else nir.Linear(weight)
    module = norm(3 if behind else 4, 1, 1)
    affine = CONVERTERS["torch.BatchNorm1d"](module, (3 if behind else 4,), 1e-4)
    source = ("source", nir.Threshold(np.ones(1)))
    chain = [("fc", fc), ("norm", affine)] if behind else [("norm", affine), ("fc", fc)]
    nodes = folded(source, *chain)
    x = torch.from_numpy(rng.normal(size=(6, 4)))
    expected = module(apply(fc, x)) if behind else apply(fc, module(x))
    assert isinstance(nodes["fc"], nir.Affine)
    assert torch.allclose(apply(nodes["fc"], x), expected.detach(), rtol=1e-5, atol=1e-5)


def test_two_in_a_row_fold_one_after_the_other():
    rng = np.random.default_rng(0)
    fc = nir.Linear(rng.normal(size=(3, 4)).astype(np.float32))
    first, second = norm(3, 1, 1), norm(3, 1, 2)
    affines = [CONVERTERS["torch.BatchNorm1d"](m, (3,), 1e-4) for m in (first, second)]
    nodes = folded(("source", nir.Threshold(np.ones(1))), ("fc", fc), ("n1", affines[0]), ("n2", affines[1]))
    x = torch.from_numpy(rng.normal(size=(6, 4)))
    assert torch.allclose(apply(nodes["fc"], x), second(first(apply(fc, x))).detach(), rtol=1e-5, atol=1e-5)


def test_what_cannot_fold_is_named():
    one = np.ones(2)
    nodes = {
        "neuron": nir.Threshold(np.ones((2, 5, 5))),
        "alone": ChannelAffine(one, one),
        "shared": convolution(2, 2, 1, (0, 0), np.random.default_rng(0)),
        "norm": ChannelAffine(one, one),
        "out": nir.Threshold(np.ones(1)),
        "padded": convolution(1, 2, 1, (1, 1), np.random.default_rng(0)),
        "before": ChannelAffine(one, one),
    }
    edges = [
        ("neuron", "alone"), ("alone", "out"), ("shared", "norm"), ("shared", "out"), ("norm", "out"),
        ("neuron", "before"), ("before", "padded"),
    ]  # fmt: skip
    with pytest.raises(UnsupportedError) as caught:
        FoldBatchNorm().apply(nir.NIRGraph(nodes, edges, type_check=False))
    text = str(caught.value)
    assert "alone: batch norm between neuron and out" in text
    assert "norm: batch norm between shared and out" in text
    assert "before: batch norm between neuron and padded" in text
    assert "try: put it right behind a convolution or linear layer" in text


def test_running_statistics_are_needed():
    with pytest.raises(ValueError, match="no running statistics"):
        CONVERTERS["torch.BatchNorm2d"](nn.BatchNorm2d(3, track_running_stats=False), (3, 4, 4), 1e-4)
