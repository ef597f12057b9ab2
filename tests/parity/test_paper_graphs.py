"""The graphs published with the NIR paper (Pedersen et al., Nature Communications 15, 2024), rebuilt here.

One LIF neuron, written by Norse; a CNN for N-MNIST, written by sinabs; a recurrent network for Braille
letters, written by snnTorch in several forms. Weights are random; types, shapes, names and quirks are theirs.
"""

from __future__ import annotations

import itertools

import h5py
import nir
import numpy as np
import pytest
import torch
from support.graphs import graph

from snn_deploy.core.errors import DataError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference


def write_old(net: nir.NIRGraph, path) -> None:
    """As a NIR library before 1.0.6 wrote it: without v_reset."""
    nir.write(path, net)
    with h5py.File(path, "r+") as file:
        groups = [file["node/nodes"]]
        while groups:
            for node in groups.pop().values():
                if "nodes" in node:
                    groups.append(node["nodes"])
                elif "v_reset" in node:
                    del node["v_reset"]


def random(*shape: int, seed: int = 0) -> np.ndarray:
    scale = 2.0 / np.sqrt(np.prod(shape[1:]))
    return (np.random.default_rng(seed).normal(size=shape) * scale).astype(np.float32)


def test_the_single_lif_neuron_spikes_as_in_norse(tmp_path):
    """tau = 2.5 ms, threshold 0.1, simulated at dt = 0.1 ms, which the file does not state."""
    lif_box = pytest.importorskip("norse.torch.module.lif_box")
    one = np.ones(1, np.float32)
    neuron = nir.LIF(tau=one / 400, r=one, v_leak=0 * one, v_threshold=one / 10)
    net = graph(
        {"0": nir.Linear(np.ones((1, 1), np.float32)), "1": neuron},
        [("input", "0"), ("0", "1"), ("1", "output")],
        (1,),
        (1,),
    )
    write_old(net, tmp_path / "lif.nir")
    plan, notes = read_plan(tmp_path / "lif.nir")
    assert notes == ()
    semantics = read_semantics(plan.graph)
    assert (semantics.dt, semantics.assumed) == (1e-4, ("dt", "integrator", "fires_at", "reset"))
    x = (torch.rand(1000, 1, 1, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    trace = Reference(plan).run(x)
    parameters = lif_box.LIFBoxParameters(tau_mem_inv=torch.tensor([400.0]), v_th=torch.tensor([0.1]))
    cell, state, expected = lif_box.LIFBoxCell(parameters, dt=1e-4), None, []
    with torch.no_grad():
        for x_t in x:
            z, state = cell(x_t, state)
            expected.append(z)
    assert 20 < trace.output.sum() < 900
    assert torch.equal(trace.output, torch.stack(expected))


def cnn(start_dim: int = 0) -> nir.NIRGraph:
    """As sinabs 1 wrote it: no biases, IF with r = 1, sum pooling, nodes named by number."""

    def conv(out, inputs, size, kernel, stride, seed, lift):
        weight = random(out, inputs, kernel, kernel, seed=seed) / 2 + lift
        return nir.Conv2d(
            (size, size), weight, (stride, stride), (1, 1), (1, 1), 1, np.zeros(out, np.float32)
        )

    def fire(*shape):
        return nir.IF(r=np.ones(shape, np.float32), v_threshold=np.ones(shape, np.float32))

    def pool():
        return nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))

    layers = [
        conv(16, 2, 34, 5, 2, 1, 0.02), fire(16, 16, 16), conv(16, 16, 16, 3, 1, 2, 0.0), fire(16, 16, 16),
        pool(),
        conv(8, 16, 8, 3, 1, 3, -0.01), fire(8, 8, 8), pool(),
        nir.Flatten({"input": np.array([8, 4, 4])}, start_dim, -1),
        nir.Affine(random(256, 128, seed=4) / 2, np.zeros(256, np.float32)), fire(256),
        nir.Affine(random(10, 256, seed=5) / 2, np.zeros(10, np.float32)), fire(10),
    ]  # fmt: skip
    names = [str(i) for i in range(len(layers))]
    path = ["input", *names, "output"]
    return graph(dict(zip(names, layers, strict=True)), list(itertools.pairwise(path)), (2, 34, 34), (10,))


@pytest.mark.parametrize("start_dim", [0, 1])
def test_the_cnn_is_read_with_its_step_of_one(start_dim, tmp_path):
    """An IF with r = 1 adds its input unscaled at dt = 1 s only; Flatten may count the batch."""
    write_old(cnn(start_dim), tmp_path / "cnn.nir")
    plan, notes = read_plan(tmp_path / "cnn.nir", Reading(reset="subtract"))
    semantics = read_semantics(plan.graph)
    assert (semantics.dt, semantics.assumed) == (1.0, ("fires_at",))
    assert [note.split(" ")[0] for note in notes] == ["The"] * (1 + start_dim)
    assert plan.shapes["7"] == (8, 4, 4)
    assert plan.shapes["12"] == (10,)
    x = (torch.rand(30, 2, 2, 34, 34, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    trace = Reference(plan).run(x, record=True)
    assert all(0.001 < trace.records[name].mean() < 0.999 for name in plan.of_type(nir.IF))


ALPHA, BETA = 0.6, 0.8
DT = 1e-4


def cuba(size: int) -> nir.CubaLIF:
    full = np.full(size, 1.0)
    syn, mem = DT / (1 - ALPHA), DT / (1 - BETA)
    return nir.CubaLIF(
        tau_syn=syn * full,
        tau_mem=mem * full,
        r=mem / DT * full,
        v_leak=0 * full,
        v_threshold=full,
        w_in=syn / DT * full,
    )


WEIGHTS = {
    "fc1": nir.Affine(3 * random(38, 12, seed=1), 0.1 * random(38, 1, seed=2)[:, 0]),
    "w_rec": nir.Affine(random(38, 38, seed=3), 0.1 * random(38, 1, seed=4)[:, 0]),
    "fc2": nir.Affine(2 * random(7, 38, seed=5), 0.1 * random(7, 1, seed=6)[:, 0]),
}


def braille(form: str) -> nir.NIRGraph:
    """``nested``: lif1 is a graph; ``flat``: its nodes are named lif1.lif and lif1.w_rec."""
    doors = {"input": nir.Input({"input": np.array([1, 12] if form == "with batch" else [12])})}
    if form == "nested":
        inner = {
            "input": nir.Input({"input": np.array([38])}),
            "lif": cuba(38),
            "w_rec": WEIGHTS["w_rec"],
            "output": nir.Output({"output": np.array([38])}),
        }
        edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
        hidden = {"lif1": nir.NIRGraph(inner, edges, metadata={}, type_check=False)}
        joined = [("fc1", "lif1"), ("lif1", "fc2")]
    else:
        hidden = {"lif1.lif": cuba(38), "lif1.w_rec": WEIGHTS["w_rec"]}
        joined = [
            ("fc1", "lif1.lif"), ("lif1.lif", "lif1.w_rec"), ("lif1.w_rec", "lif1.lif"), ("lif1.lif", "fc2"),
        ]  # fmt: skip
    nodes = {
        **doors,
        "fc1": WEIGHTS["fc1"],
        **hidden,
        "fc2": WEIGHTS["fc2"],
        "lif2": cuba(7),
        "output": nir.Output({"output": np.array([7])}),
    }
    edges = [("input", "fc1"), *joined, ("fc2", "lif2"), ("lif2", "output")]
    if form == "repeated edge":
        edges.append(("fc2", "lif2"))
    return nir.NIRGraph(nodes, edges, metadata={}, type_check=False)


def snntorch_spikes(x: torch.Tensor) -> torch.Tensor:
    """The network as snnTorch's neurons, its recurrent weights applied to the spikes of the step before.

    RSynaptic itself does not reset in snnTorch 1.0 (reset_delay=False changes a copy of the membrane).
    """
    snn = pytest.importorskip("snntorch")
    options = {"alpha": ALPHA, "beta": BETA, "reset_mechanism": "zero", "reset_delay": False}
    hidden, last = snn.Synaptic(**options), snn.Synaptic(**options)

    def weighted(name: str, spikes: torch.Tensor) -> torch.Tensor:
        weight, bias = (torch.from_numpy(values) for values in (WEIGHTS[name].weight, WEIGHTS[name].bias))
        return torch.nn.functional.linear(spikes, weight, bias)

    spk = syn = mem = torch.zeros(x.shape[1], 38)
    syn2 = mem2 = torch.zeros(x.shape[1], 7)
    outputs = []
    with torch.no_grad():
        for x_t in x:
            spk, syn, mem = hidden(weighted("fc1", x_t) + weighted("w_rec", spk), syn, mem)
            out, syn2, mem2 = last(weighted("fc2", spk), syn2, mem2)
            outputs.append(out)
    return torch.stack(outputs)


@pytest.mark.parametrize("form", ["nested", "flat", "with batch"])
def test_the_recurrent_network_spikes_as_in_snntorch(form, tmp_path):
    write_old(braille(form), tmp_path / "braille.nir")
    plan, notes = read_plan(tmp_path / "braille.nir")
    assert read_semantics(plan.graph).dt == DT
    assert any("step is 0.0001 s" in note for note in notes)
    assert any("count a batch" in note for note in notes) == (form == "with batch")
    x = (torch.rand(60, 8, 12, generator=torch.Generator().manual_seed(1)) < 0.3).float()
    expected = snntorch_spikes(x)
    assert 0.02 < expected.mean() < 0.9
    assert torch.equal(Reference(plan).run(x).output, expected)


def test_a_repeated_edge_is_the_reason_for_refusal(tmp_path):
    """Some of the published recurrent graphs list an edge twice; NIR's own check refuses them, too."""
    nir.write(tmp_path / "braille.nir", braille("repeated edge"))
    with pytest.raises(DataError, match="fc2 -> lif2: occurs 2 times"):
        read_plan(tmp_path / "braille.nir")
    with pytest.raises(ValueError, match="Duplicate edge"):
        nir.read(tmp_path / "braille.nir")
