"""A recurrent layer is quantised as one matrix over its inputs and its own spikes, at one scale."""

from __future__ import annotations

import itertools

import nir
import numpy as np
import pytest
import torch
from support.graphs import graph

from snn_deploy.graph.lava.net import Dense, layer_bound
from snn_deploy.graph.lava.rules import SUM_MAX, simulation_problems
from snn_deploy.graph.passes.quantize.quantize import Quantize, Quantized
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.reference import Reference

DT, INPUTS, NEURONS = 1e-4, 12, 16


def network(kind: str, seed: int) -> nir.NIRGraph:
    rng = np.random.default_rng(seed)
    one = np.ones(NEURONS)
    weight = rng.normal(0.1, 0.3, (NEURONS, INPUTS)).astype(np.float32)
    back = rng.normal(0, 0.2, (NEURONS, NEURONS)).astype(np.float32)
    if kind == "lateral inhibition":
        back = (-0.25 * (1 - np.eye(NEURONS))).astype(np.float32)
    elif kind == "one sign each":
        weight, back = np.abs(weight), -np.abs(back)
    elif kind == "tiny loop":
        back *= 1e-4
    elif kind == "strong loop":
        back *= 50
    nodes = {
        "fc": nir.Linear(weight),
        "n": nir.LIF(2.7 * DT * one, 2.7 * one, 0 * one, one, 0 * one),
        "back": nir.Linear(back),
    }
    edges = [*itertools.pairwise(["input", "fc", "n", "output"]), ("n", "back"), ("back", "n")]
    made = graph(nodes, edges, (INPUTS,), (NEURONS,))
    write_semantics(made, Semantics(dt=DT, timesteps=20))
    return made


def quantized(net: nir.NIRGraph, x: torch.Tensor, **options) -> Quantized:
    spikes = Reference(net).run(x, record=True).records
    return Quantize(x, spikes, **options)(Lower()(make_plan(net).graph))


def frames(seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy((rng.random((20, 8, INPUTS)) < 0.4).astype(np.float32))


@pytest.mark.parametrize("options", [{}, {"scales": "channel"}, {"bits": 4}, {"nearest": True}])
@pytest.mark.parametrize("kind", ["mixed", "lateral inhibition", "one sign each", "tiny loop", "strong loop"])
def test_one_scale_holds_for_both_matrices_and_all_limits_are_kept(kind, options):
    net = network(kind, 3)
    made = quantized(net, frames(3), **options)
    (layer,), (scale,) = made.net.populations, made.scales
    assert isinstance(layer, Dense) and layer.recurrent is not None
    assert simulation_problems(made.net) == []
    assert layer_bound(layer, (0, 1)) <= SUM_MAX
    assert (np.abs(layer.neuron.threshold - scale) <= 1).all()
    if kind.endswith("loop"):  # one of the two is mostly rounded away, or clipped
        return
    for weight, real in ((layer.weight, net.nodes["fc"].weight), (layer.recurrent, net.nodes["back"].weight)):
        rows = real * np.reshape(scale, (-1, 1))
        fitting = (weight * rows).sum() / np.square(rows).sum()
        assert fitting == pytest.approx(1, abs=0.15 if "bits" in options else 0.02)


def test_the_error_counts_what_returns():
    """The currents of both matrices, against plain sums over the spikes of the step before."""
    net, x = network("mixed", 1), frames(1)
    made = quantized(net, x, nearest=True)
    (layer,), (scale,) = made.net.populations, made.scales
    fired = Reference(net).run(x, record=True).records["n"].numpy()
    before = np.concatenate([np.zeros_like(fired[:1]), fired[:-1]])
    off = layer.weight / scale - net.nodes["fc"].weight, layer.recurrent / scale - net.nodes["back"].weight
    currents = x.numpy() @ off[0].T + before @ off[1].T
    judged = np.linspace(0, 20 * 8 - 1, 48).round().astype(int)
    squares = np.square(currents.reshape(-1, NEURONS)[judged]).mean()
    threshold = abs(float(layer.neuron.threshold) / float(scale) - 1)
    found = made.table[0]["current error / threshold"]
    assert found == pytest.approx(np.sqrt(squares + threshold**2), rel=1e-4)


def test_a_layer_that_sees_nothing_in_calibration_clips_no_weight():
    net = network("mixed", 2)
    made = quantized(net, torch.zeros(20, 2, INPUTS))
    (layer,), (scale,) = made.net.populations, made.scales
    assert made.table[0]["chosen by"] == "unseen"
    assert np.abs(layer.weight - net.nodes["fc"].weight * scale).max() <= 1
    assert max(layer.weight.max(), layer.recurrent.max()) == 254 or layer.weight.min() == -256
