"""The reference simulator against Norse and snnTorch: samples per second on one convolutional IF graph.

    python benchmarks/nir_throughput.py [--threads N] [--markdown FILE]

The graph has the layers of the NIR paper's N-MNIST network (Pedersen et al. 2024): 2x34x34 - 16 convolution
5, stride 2 - 16 convolution 3 - sum pool 2 - 8 convolution 3 - sum pool 2 - 256 - 10, an IF neuron after each
weight, 300 steps. Norse imports the NIR graph. snnTorch's importer makes a leaky, subtractive neuron of IF:
its layers are stepped by hand, torch's convolutions and ``snntorch.Leaky(beta=1, reset_mechanism="zero")``.

Weights are random multiples of 1/64, so that every sum is exact in whatever order it is taken: all three must
give the same spikes, and the output is compared before anything is timed.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import snntorch
import torch
from bench import Table, by_turns, conditions
from norse.torch import from_nir
from torch.nn import functional

from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.reference import Reference

DT = 1e-4
STEPS = 300
BATCHES = (1, 50)
RATE = 0.02
ROUNDS = 4
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


def norse(graph: nir.NIRGraph) -> Run:
    """Norse's importer, stepped with its state."""
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


def compare(batch: int, runs: dict[str, Run], rates: Callable[[torch.Tensor], str], table: Table) -> None:
    """Add the row of one batch size."""
    x = (torch.rand(STEPS, batch, 2, 34, 34, generator=torch.Generator().manual_seed(0)) < RATE).float()
    outputs = {name: run(x) for name, run in runs.items()}
    differing = [int((y != outputs["ours"]).sum()) for y in outputs.values()]
    times = by_turns({name: lambda run=run: run(x) for name, run in runs.items()}, ROUNDS)  # type: ignore[misc]
    best = min(times[name].wall for name in runs if name != "ours")
    lowest = min(times[name].cpu for name in runs if name != "ours")
    table.add(
        str(batch),
        *(f"{batch / times[name].wall:.1f}" for name in runs),
        f"{best / times['ours'].wall:.1f}",
        f"{lowest / times['ours'].cpu:.1f}",
        str(sum(differing)),
        rates(x),
    )


@torch.no_grad()
def main() -> None:
    """Compare both batch sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    graph = make_graph()
    ours = Reference(graph)
    runs = {"ours": lambda x: ours.run(x).output, "norse": norse(graph), "snntorch": snn_torch()}

    def rates(x: torch.Tensor) -> str:
        records = ours.run(x, record=True).records
        return ", ".join(f"{float(records[name].mean()):.3f}" for name in ours.layers)

    table = Table(
        "Reference simulator against Norse and snnTorch",
        f"{conditions('torch', 'norse', 'snntorch', 'nir', threads=options.threads)}\n"
        f"Samples per second, {STEPS} steps each; best of {ROUNDS} rounds by turns. The ratio is to the "
        "faster of the two others.",
        *("batch", "ours", "Norse", "snnTorch", "ratio, wall", "ratio, CPU"),
        *("differing spikes", "firing rate per layer"),
    )
    for batch in BATCHES:
        compare(batch, runs, rates, table)
    table.keep(options.markdown)


if __name__ == "__main__":
    main()
