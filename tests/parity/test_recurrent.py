"""A recurrent network: spikingjelly's own container, a brute-force walk, our NIR file and all ONNX models."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from oracles.nir_loops import simulate
from spikingjelly.activation_based import layer, neuron

from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import OnnxOptions
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import Comparison, Semantics, write_semantics
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

INPUTS, HIDDEN, CLASSES, STEPS, BATCH, DT = 12, 8, 4, 9, 5, 1e-4
FEEDBACK = frozenset({("hidden", "back"), ("context", "hidden")})


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    """On a grid of 1/8, so that every sum is exact."""
    return (np.random.default_rng(seed).integers(-6, 9, shape) / 8).astype(np.float32)


def lif(width: int) -> nir.LIF:
    """tau = 2 dt with decay of the input."""
    one = np.ones(width, np.float32)
    return nir.LIF(tau=2 * DT * one, r=one, v_leak=0 * one, v_threshold=one, v_reset=0 * one)


def network(*, context: bool = False, fires_at: Comparison = ">=") -> nir.NIRGraph:
    """input -> fc -> hidden -> readout -> spikes, hidden feeding back to itself through `back`.

    With ``context`` a second population joins the loop: hidden -> up -> context -> hidden.
    """
    nodes = {
        "input": nir.Input({"input": np.array([INPUTS])}),
        "fc": nir.Linear(weights(HIDDEN, INPUTS)),
        "hidden": lif(HIDDEN),
        "back": nir.Linear(weights(HIDDEN, HIDDEN, seed=1)),
        "readout": nir.Linear(weights(CLASSES, HIDDEN, seed=2)),
        "spikes": lif(CLASSES),
        "output": nir.Output({"output": np.array([CLASSES])}),
    }
    edges = [("input", "fc"), ("fc", "hidden"), ("hidden", "back"), ("back", "hidden")]
    edges += [("hidden", "readout"), ("readout", "spikes"), ("spikes", "output")]
    if context:
        nodes |= {"up": nir.Linear(weights(HIDDEN, HIDDEN, seed=3)), "context": lif(HIDDEN)}
        edges += [("hidden", "up"), ("up", "context"), ("context", "hidden")]
    graph = nir.NIRGraph(nodes, edges, metadata={}, type_check=False)
    write_semantics(graph, Semantics(dt=DT, timesteps=STEPS, fires_at=fires_at))
    return graph


def spikes() -> torch.Tensor:
    return (torch.rand(STEPS, BATCH, INPUTS) < 0.4).float()


@torch.no_grad()
def in_spikingjelly(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """`LinearRecurrentContainer` applies one matrix to [x(t), y(t-1)]: here [1, back]."""
    fc, back, readout = (torch.from_numpy(graph.nodes[name].weight) for name in ("fc", "back", "readout"))
    hidden = layer.LinearRecurrentContainer(neuron.LIFNode(), HIDDEN, HIDDEN, bias=False)
    hidden.rc.weight.copy_(torch.cat([torch.eye(HIDDEN), back], 1))
    last = neuron.LIFNode()
    return torch.stack([last(hidden(frame @ fc.T) @ readout.T) for frame in x])


def assert_equal_in_files(graph: nir.NIRGraph, x: torch.Tensor, expected: torch.Tensor, folder: Path) -> None:
    assert 0.05 < expected.mean() < 0.95
    NirWriter().write(graph, folder, Calibration(x))
    again = read_nir(folder / "model.nir")
    assert torch.equal(Reference(again).run(x).output, expected)
    every = OnnxOptions(models=("step", "scan", "unrolled"))
    for kind, file in OnnxWriter(every).write(again, folder, Calibration(x)).files.items():
        assert torch.equal(OnnxRuntime(folder / file).run(x).output, expected), kind


def test_spikingjellys_container_is_the_same_in_every_file(tmp_path):
    graph, x = network(), spikes()
    assert_equal_in_files(graph, x, in_spikingjelly(graph, x), tmp_path)


@pytest.mark.parametrize("context", [False, True], ids=["one population", "two populations"])
def test_a_walk_by_hand_is_the_same_in_every_file(context, tmp_path):
    graph, x = network(context=context, fires_at=">"), spikes()
    loop = FEEDBACK.intersection(graph.edges)
    walked = simulate(graph, x.numpy(), dt=DT, reset="zero", feedback=loop)
    assert_equal_in_files(graph, x, torch.from_numpy(walked).float(), tmp_path)


def test_the_loop_matters():
    x = spikes()
    whole, cut = network(), network()
    cut.nodes["back"].weight = 0 * cut.nodes["back"].weight
    assert not torch.equal(Reference(whole).run(x).output, Reference(cut).run(x).output)
