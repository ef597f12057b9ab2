"""Our fixed-point simulator against Lava's own CPU simulation, per sample and step, same network and input.

    PYTHONPATH=tests python benchmarks/loihi_sim.py [--threads N] [--device cuda] [--markdown FILE]

Both run on this machine in turns. Ours takes 64 samples at once; Lava has no batch, its samples follow each
other. Lava uses as many processes as it likes, ours the threads that ``--threads`` says (all processors by
default), so there are two ratios: of the time on the wall, and of the processor time of all processes and
threads together. Lava's time per step is the slope between a short and a long run, so neither its start nor
its end counts, and of ours everything that ``run`` does. Every spike of every layer is compared on the
samples that both have seen.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

import numpy as np
import torch
from bench import Seconds, Table, by_turns, conditions

from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, LavaNet, Layer
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.loihi import Loihi

STEPS, BATCH = 8, 64
SHORT, LONG = 2, 34
"""Samples of the two Lava runs."""
ROUNDS = 3


def dense() -> LavaNet:
    """512 - 512 - 512 - 10."""
    rng = np.random.default_rng(0)
    sizes = (512, 512, 512, 10)
    layers = [
        Dense(2 * rng.integers(-40, 44, (b, a)), Cuba.of(4096, 2048, 600))
        for a, b in itertools.pairwise(sizes)
    ]
    return LavaNet((Input((512,)), *layers), ("dense1", "dense2", "dense3"))


def conv(channels: int, size: int) -> LavaNet:
    """2 - C - C channels of 3 x 3, then 10 neurons."""
    rng = np.random.default_rng(0)
    layers: list[Layer] = [Input((2, size, size))]
    width = 2
    for threshold in (100, 200):
        weight = 2 * rng.integers(-30, 36, (channels, width, 3, 3))
        neuron = Cuba.of(4096, 2048, threshold)
        layers.append(Conv((channels, size, size), weight, neuron, padding=(1, 1)))
        width = channels
    inputs = channels * size**2
    layers += [Flatten((inputs,)), Dense(2 * rng.integers(-20, 22, (10, inputs)), Cuba.of(4096, 0, 400))]
    return LavaNet(tuple(layers), ("conv1", "conv2", "dense"))


def compare(name: str, net: LavaNet, device: str, table: Table) -> None:
    """Add one row to the table."""
    torch.manual_seed(0)
    x = (torch.rand(STEPS, BATCH, *net.input_shape) < 0.15).float()
    ours = Loihi(net, device=device)
    expected = ours.run(x, record=True)
    found = Lava(net, timeout=1800).run(x[:, :SHORT], record=True)
    differing = sum(int((found.records[n] != expected.records[n][:, :SHORT]).sum()) for n in net.names)
    rates = ", ".join(f"{float(expected.records[n].mean()):.3f}" for n in net.names)

    def several() -> None:
        for _ in range(10):
            ours.run(x)

    times = by_turns(
        {
            "ours": several,
            "short": lambda: Lava(net, timeout=1800).run(x[:, :SHORT]),
            "long": lambda: Lava(net, timeout=1800).run(x[:, :LONG]),
        },
        ROUNDS,
    )
    own = Seconds(*(1e3 * t / (10 * STEPS * BATCH) for t in times["ours"]))
    spans = zip(times["long"], times["short"], strict=True)
    lava = Seconds(*(1e3 * (long - short) / (STEPS * (LONG - SHORT)) for long, short in spans))
    walls = f"{lava.wall:.2f}", f"{own.wall:.4f}", f"{lava.wall / own.wall:.0f}"
    processors = f"{lava.cpu:.2f}", f"{own.cpu:.4f}", f"{lava.cpu / own.cpu:.0f}"
    table.add(name, *walls, *processors, str(differing), rates)


def main() -> None:
    """Compare all networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    table = Table(
        "Fixed-point simulation against Lava",
        f"{conditions('torch', 'numpy', threads=options.threads)} Ours on {options.device}, "
        f"batches of {BATCH}.\nMilliseconds per sample and step, least of {ROUNDS} rounds.",
        *("network", "Lava, wall", "ours, wall", "ratio", "Lava, CPU", "ours, CPU", "ratio"),
        *("differing spikes", "firing rate per layer"),
    )
    compare("dense 512-512-512-10", dense(), options.device, table)
    for channels in (16, 32, 64):
        compare(f"conv 2-{channels}-{channels}, 16x16", conv(channels, 16), options.device, table)
    table.keep(options.markdown)


if __name__ == "__main__":
    main()
