"""The reference simulator against every other way to run one convolutional IF graph over 300 steps.

    python benchmarks/nir_throughput.py [--threads N] [--rounds N] [--markdown FILE]

The graph has the layers of the NIR paper's N-MNIST network (Pedersen et al. 2024): 2x34x34 - 16 convolution
5, stride 2 - 16 convolution 3 - sum pool 2 - 8 convolution 3 - sum pool 2 - 256 - 10, an IF neuron after each
weight. The peers:

    layer-wise torch   the whole sequence through each layer, channels last, neurons step by step in place:
                       the strongest we could write with torch alone
    our scan.onnx      our exported file in ONNX Runtime
    dense products     torch's convolutions, pools and matrix products of the same spikes alone: what whoever
                       does not use their silence pays at least
    Norse              imports the NIR graph, stepped with its state
    snnTorch           its importer makes a leaky, subtractive neuron of IF: its layers are stepped by hand,
                       torch's convolutions and ``snntorch.Leaky(beta=1, reset_mechanism="zero")``

Weights are random multiples of 1/64, so that every sum is exact in whatever order it is taken: all must give
the same spikes, and what they give is compared before anything is timed. Each cell of the table is a process
of its own; all take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import onnxruntime
import torch
from bench import Table, conditions
from cells import COLUMNS, add_rows, reach, serve, take_turns
from torch.nn import functional

from snn_deploy.export.base import Calibration
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import OnnxOptions
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.reference import Reference

DT = 1e-4
STEPS = 300
BATCHES = (1, 16)
RATE = 0.02
THRESHOLDS = (1.0, 2.0, 4.0, 6.0, 4.0)

Run = Callable[[torch.Tensor], torch.Tensor]


def weights() -> list[np.ndarray]:
    """Of all layers, multiples of 1/64."""
    rng = np.random.default_rng(0)
    shapes = [(16, 2, 5, 5), (16, 16, 3, 3), (8, 16, 3, 3), (256, 128), (10, 256)]
    return [(rng.integers(-20, 24, shape) / 64).astype(np.float32) for shape in shapes]


def make_graph() -> nir.NIRGraph:
    """The graph in NIR."""

    def neuron(position: int, *shape: int) -> nir.IF:
        one = np.ones(shape, np.float32)
        return nir.IF(r=one / DT, v_threshold=THRESHOLDS[position] * one, v_reset=0 * one)

    def conv(size: int, weight: np.ndarray, stride: int) -> nir.Conv2d:
        return nir.Conv2d((size, size), weight, stride, 1, 1, 1, np.zeros(len(weight), np.float32))

    pair = np.array([2, 2])
    w = weights()
    nodes: dict[str, nir.NIRNode] = {
        "input": nir.Input({"input": np.array([2, 34, 34])}),
        "conv1": conv(34, w[0], 2),
        "if1": neuron(0, 16, 16, 16),
        "conv2": conv(16, w[1], 1),
        "if2": neuron(1, 16, 16, 16),
        "pool1": nir.SumPool2d(pair, pair, np.array([0, 0])),
        "conv3": conv(8, w[2], 1),
        "if3": neuron(2, 8, 8, 8),
        "pool2": nir.SumPool2d(pair, pair, np.array([0, 0])),
        "flatten": nir.Flatten({"input": np.array([8, 4, 4])}, start_dim=-3, end_dim=-1),
        "fc1": nir.Linear(w[3]),
        "if4": neuron(3, 256),
        "fc2": nir.Linear(w[4]),
        "if5": neuron(4, 10),
        "output": nir.Output({"output": np.array([10])}),
    }
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)
    write_semantics(graph, Semantics(dt=DT, fires_at=">"))
    return graph


def ours() -> Run:
    """The reference simulator."""
    simulator = Reference(make_graph())
    return lambda x: simulator.run(x).output


def channels_last_weights() -> list[torch.Tensor]:
    """The weights as torch's convolutions take them fastest."""
    return [
        weight.contiguous(memory_format=torch.channels_last) if weight.ndim == 4 else weight
        for weight in map(torch.from_numpy, weights())
    ]


def layer_wise() -> Run:
    """Each layer over the whole sequence at once, channels last, neurons in place."""
    w = channels_last_weights()

    def fire(position: int, frames: torch.Tensor, batch: int) -> torch.Tensor:
        x = frames.unflatten(0, (-1, batch))
        v, y = torch.zeros_like(x[0]), torch.empty_like(x)
        for x_t, y_t in zip(x, y, strict=True):
            v.add_(x_t)
            torch.gt(v, THRESHOLDS[position], out=y_t)
            v.addcmul_(v, y_t, value=-1)
        return y.flatten(0, 1)

    def run(x: torch.Tensor) -> torch.Tensor:
        batch = x.shape[1]
        y = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        y = fire(0, functional.conv2d(y, w[0], stride=2, padding=1), batch)
        y = fire(1, functional.conv2d(y, w[1], padding=1), batch)
        y = functional.conv2d(functional.avg_pool2d(y, 2, divisor_override=1), w[2], padding=1)
        y = functional.avg_pool2d(fire(2, y, batch), 2, divisor_override=1).flatten(1)
        y = fire(4, functional.linear(fire(3, functional.linear(y, w[3]), batch), w[4]), batch)
        return y.unflatten(0, (-1, batch))

    return run


def products() -> Run:
    """Convolutions, pools and matrix products of the spikes, and nothing else; gives what the graph gives."""
    w = channels_last_weights()
    simulator, kept = Reference(make_graph()), {}

    def run(x: torch.Tensor) -> torch.Tensor:
        if not kept:
            kept.update(simulator.run(x, record=True).records)
        spikes = {name: y.flatten(0, 1) for name, y in kept.items()}
        functional.conv2d(spikes["input"], w[0], stride=2, padding=1)
        functional.conv2d(spikes["if1"], w[1], padding=1)
        functional.conv2d(functional.avg_pool2d(spikes["if2"], 2, divisor_override=1), w[2], padding=1)
        pooled = functional.avg_pool2d(spikes["if3"], 2, divisor_override=1).flatten(1)
        functional.linear(pooled, w[3])
        functional.linear(spikes["if4"], w[4])
        return kept["if5"]

    return run


def scan_file() -> Run:
    """Our exported file in ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        writer = OnnxWriter(OnnxOptions(models=("scan",)))
        writer.write(make_graph(), Path(folder), Calibration(torch.zeros(STEPS, 1, 2, 34, 34)))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(
            Path(folder, "model.scan.onnx").read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def norse() -> Run:
    """Norse's importer, stepped with its state."""
    from norse.torch import from_nir

    graph = make_graph()
    logging.getLogger().setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = from_nir(graph, ignore_warnings=True, dt=DT)

    def run(x: torch.Tensor) -> torch.Tensor:
        state, outputs = None, []
        for x_t in x:
            y, state = module(x_t) if state is None else module(x_t, state)
            outputs.append(y)
        return torch.stack(outputs)

    return run


def snn_torch() -> Run:
    """The layers in snnTorch, stepped by hand."""
    import snntorch

    w = [torch.from_numpy(weight) for weight in weights()]

    def run(x: torch.Tensor) -> torch.Tensor:
        neurons = [snntorch.Leaky(beta=1.0, threshold=t, reset_mechanism="zero") for t in THRESHOLDS]
        membranes = [neuron.init_leaky() for neuron in neurons]
        outputs = []

        def fire(position: int, current: torch.Tensor) -> torch.Tensor:
            spikes, membranes[position] = neurons[position](current, membranes[position])
            return spikes

        for x_t in x:
            y = fire(0, functional.conv2d(x_t, w[0], stride=2, padding=1))
            y = fire(1, functional.conv2d(y, w[1], padding=1))
            y = fire(2, functional.conv2d(functional.avg_pool2d(y, 2, divisor_override=1), w[2], padding=1))
            y = fire(3, functional.linear(functional.avg_pool2d(y, 2, divisor_override=1).flatten(1), w[3]))
            outputs.append(fire(4, functional.linear(y, w[4])))
        return torch.stack(outputs)

    return run


PEERS: dict[str, Callable[[], Run]] = {
    "ours": ours,
    "layer-wise torch": layer_wise,
    "our scan.onnx": scan_file,
    "dense products": products,
    "Norse": norse,
    "snnTorch": snn_torch,
}
PACKAGES = ("torch", "onnxruntime", "numba", "norse", "snntorch", "nir")
NO_EXECUTOR = "dense products"
AIMS = {"layer-wise torch": 3, "our scan.onnx": 1}
"""How many times as fast as whom."""


def cell(name: str, batch: int) -> None:
    """One cell: prepare, say what comes out, and run when asked."""
    x = (torch.rand(STEPS, batch, 2, 34, 34, generator=torch.Generator().manual_seed(0)) < RATE).float()
    run = PEERS[name]()
    serve(lambda: run(x), hashlib.sha256(run(x).contiguous().numpy().tobytes()).hexdigest())


@torch.no_grad()
def main() -> None:
    """Compare at all batch sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cell", choices=PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cell:
        cell(options.cell, options.batch)
        return
    table = Table(
        "Reference simulator against other ways to run a graph",
        f"{conditions(*PACKAGES, threads=options.threads)}\n"
        f"{STEPS} steps, all with the same spikes. Each cell is a process of its own; {options.rounds} "
        "rounds by turns; milliseconds per batch.",
        *("what", "executor", *COLUMNS),
    )
    threads = str(options.threads)
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    for batch in BATCHES:
        cells = {n: ("--cell", n, "--batch", str(batch), "--threads", threads) for n in PEERS}
        found = take_turns(Path(__file__), cells, options.rounds, environment)
        what = f"batch {batch}"
        add_rows(table, [what], found, floors=[NO_EXECUTOR])
        for peer, aim in AIMS.items():
            reach(table, f"reference simulator against {peer}, {what}", found[peer], found["ours"], aim)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
