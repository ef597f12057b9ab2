"""Our fixed-point simulator against Lava's own CPU simulation, per sample and step, same network and input.

    python benchmarks/loihi_sim.py [--threads N] [--device cuda] [--rounds N] [--networks NAME ...]
        [--markdown FILE]

Both run on this machine in turns, each in processes of its own. Ours takes 64 samples at once; Lava has no
batch, its samples follow each other. Lava uses as many processes as it likes, ours the threads that
``--threads`` says (all processors by default): compare processor time too. Lava's time per step is the slope
between a short and a long run, so neither its start nor its end counts, and of ours everything that ``run``
does. Every spike of every layer is compared on the samples that both have seen.

Ours at batch 1 stands beside its price in batches.
"""

from __future__ import annotations

import argparse
import itertools
import os
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from bench import Table, conditions, versions
from cells import COLUMNS, OURS, add_rows, reach, serve, take_turns

from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Flatten, Input, LavaNet, Layer
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import require_lava
from snn_deploy.simulate.loihi import Loihi

STEPS, BATCH = 8, 64
SHORT, LONG = 2, 34
"""Samples of the two Lava runs."""
IN_A_ROW = {64: 10, 1: 100}
"""Runs of ours of so many samples in one piece of work."""
AIM, BATCHED_AIM = 240, 1 / 1.3
"""Times as fast as Lava; batch 1 beside the batched price."""


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


NETWORKS = {
    "dense 512-512-512-10": dense,
    "conv 2-16-16, 16x16": lambda: conv(16, 16),
    "conv 2-32-32, 16x16": lambda: conv(32, 16),
    "conv 2-64-64, 16x16": lambda: conv(64, 16),
}


def cell(name: str, side: str, samples: int, device: str) -> None:
    """One side's work on one network; its digest is of the spikes that all sides saw."""
    net = NETWORKS[name]()
    torch.manual_seed(0)
    x = (torch.rand(STEPS, BATCH, *net.input_shape) < 0.15).float()[:, :samples].contiguous()
    if side == "lava":
        records = Lava(net, timeout=1800).run(x, record=True).records
        serve(lambda: Lava(net, timeout=1800).run(x), digest(net, records))
        return
    ours = Loihi(net, device=device)

    def several() -> None:
        for _ in range(IN_A_ROW[samples]):
            ours.run(x)

    serve(several, digest(net, ours.run(x, record=True).records) if samples >= SHORT else "")


def digest(net: LavaNet, records: dict[str, torch.Tensor]) -> str:
    """Of the spikes of every layer on the first samples."""
    spikes = (records[name][:, :SHORT].contiguous().to(torch.int8).cpu() for name in net.names)
    return sha256(b"".join(spike.numpy().tobytes() for spike in spikes)).hexdigest()


def compare(name: str, options: argparse.Namespace, table: Table) -> None:
    """Add the rows of one network."""
    sides = {"batch": ("ours", BATCH), "one": ("ours", 1), "short": ("lava", SHORT), "long": ("lava", LONG)}
    given = ("--threads", str(options.threads), "--device", options.device)
    cells = {key: ("--cell", name, side, str(samples), *given) for key, (side, samples) in sides.items()}
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    found = take_turns(Path(__file__), cells, options.rounds, environment)
    rows = {
        OURS: found["batch"].per(IN_A_ROW[BATCH] * STEPS * BATCH),
        "ours, batch 1": found["one"].per(IN_A_ROW[1] * STEPS),
        "Lava": found["long"].beyond(found["short"]).per(STEPS * (LONG - SHORT)),
    }
    add_rows(table, [name], rows, 1e6, floors=["ours, batch 1"])
    reach(table, f"Loihi simulator against Lava, {name}", rows["Lava"], rows[OURS], AIM)
    if name.startswith("conv"):
        what = f"Loihi simulator, the batched price beside that of batch 1, {name}"
        reach(table, what, rows[OURS], rows["ours, batch 1"], BATCHED_AIM)


def main() -> None:
    """Compare all networks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.cell:
        name, side, samples = options.cell
        cell(name, side, int(samples), options.device)
        return
    lava = versions(require_lava(), "lava-nc", "lava-dl")
    table = Table(
        "Fixed-point simulation against Lava",
        f"{conditions('torch', 'numpy', threads=options.threads)} {lava}. Ours on {options.device}, "
        f"batches of {BATCH}.\nMicroseconds per sample and step, {options.rounds} rounds by turns; every "
        f"spike of every layer was compared on {SHORT} samples and is the same.",
        *("network", "simulator", *COLUMNS),
    )
    for name in options.networks:
        compare(name, options, table)
    table.close(options.markdown)


if __name__ == "__main__":
    main()
