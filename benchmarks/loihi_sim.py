"""Our fixed-point simulator against Lava's own CPU simulation, per sample and step, same network and input.

    PYTHONPATH=tests python benchmarks/loihi_sim.py [--device cuda]

Both run in this one process tree, one after the other, one torch thread for ours; Lava uses as many processes
as it likes. Lava's time is the slope between two runs of different length, so its start-up does not count.
Every spike of every layer is compared on the samples that both have seen.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from snn_deploy.graph.lava_net import Conv, Cuba, Dense, Flatten, Input, LavaNet, Layer
from snn_deploy.simulate.lava import Lava
from snn_deploy.simulate.loihi import Loihi

STEPS, BATCH = 8, 64
SHORT, LONG = 2, 12
"""Samples of the two Lava runs."""


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


def seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """Median time of ``run``."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def compare(name: str, net: LavaNet, device: str) -> None:
    """Print one line of the table."""
    torch.manual_seed(0)
    x = (torch.rand(STEPS, BATCH, *net.input_shape) < 0.15).float()
    ours = Loihi(net, device=device)
    expected = ours.run(x, record=True)
    found = Lava(net, timeout=1800).run(x[:, :SHORT], record=True)
    differing = sum(int((found.records[n] != expected.records[n][:, :SHORT]).sum()) for n in net.names)
    rates = [float(expected.records[n].mean()) for n in net.names]
    own = seconds(lambda: ours.run(x), 5) / (STEPS * BATCH)
    times = [
        seconds(lambda count=count: Lava(net, timeout=1800).run(x[:, :count])) for count in (SHORT, LONG)
    ]
    lava = (times[1] - times[0]) / (STEPS * (LONG - SHORT))
    print(
        f"{name:22} {1e3 * lava:10.2f} {1e3 * own:10.4f} {lava / own:8.0f}x {differing:10d}"
        f"   {', '.join(f'{rate:.3f}' for rate in rates)}",
        flush=True,
    )


def main() -> None:
    """Compare all networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, torch {torch.__version__}, ours on {device}")
    print(f"{'network':22} {'Lava ms':>10} {'ours ms':>10} {'ratio':>9} {'differing':>10}   rates per layer")
    compare("dense 512-512-512-10", dense(), device)
    for channels in (16, 32, 64):
        compare(f"conv 2-{channels}-{channels}, 16x16", conv(channels, 16), device)


if __name__ == "__main__":
    main()
