"""Our fixed-point simulator against itself before, at firing rates of 1, 3 and 10 %.

    PYTHONPATH=. python benchmarks/loihi_before.py CHECKOUT [--markdown FILE]

CHECKOUT is a folder with the version before (``git worktree add CHECKOUT COMMIT``). Every figure comes from
processes of one thread that take turns, one per version and round; each runs the same network on the same
input and its least time counts. The thresholds are chosen so that both convolutions fire at the rate of the
input. "Products" is the time within ``synapse.currents``: what the sums of synapses alone cost.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from bench import Table, conditions
from loihi_sim import STEPS, conv

from snn_deploy.graph.lava.net import Conv, Cuba, LavaNet
from snn_deploy.simulate import synapse
from snn_deploy.simulate.loihi import Loihi

ROUNDS, REPEATS = 2, 4
RATES = (0.01, 0.03, 0.1)
BATCHES = (1, 64)
SAMPLE_STEPS = 512
"""At least so many sample-steps are in one timed piece of work."""


def at_rate(net: LavaNet, x: torch.Tensor, rate: float) -> LavaNet:
    """The network with thresholds at which its convolutions fire about so often on ``x``."""
    layers = list(net.layers)
    for position, name in enumerate(net.names, start=1):
        layer = layers[position]
        if isinstance(layer, Conv):
            low, high = 1, 1 << 13
            while high - low > 1:
                middle = (low + high) // 2
                layers[position] = replace(layer, neuron=Cuba.of(4096, 2048, middle))
                trial = replace(net, layers=tuple(layers))
                fires_more = float(Loihi(trial).run(x, record=True).records[name].mean()) > rate
                low, high = (middle, high) if fires_more else (low, middle)
    return replace(net, layers=tuple(layers))


def cell(channels: int, rate: float, batch: int) -> dict[str, Any]:
    """Microseconds per sample and step of the version that is imported, and what it computed."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x = (torch.rand(STEPS, 64, 2, 16, 16) < rate).float()
    net = at_rate(conv(channels, 16), x[:, :8], rate)
    ours = Loihi(net)
    records = ours.run(x, record=True).records
    inside = [0.0]
    plain = synapse.currents

    def timed(synapses: synapse.Synapses, x: torch.Tensor) -> torch.Tensor:
        start = time.process_time()
        found = plain(synapses, x)
        inside[0] += time.process_time() - start
        return found

    synapse.currents = timed
    part = x[:, :batch].contiguous()
    runs = max(1, SAMPLE_STEPS // (STEPS * batch))
    found: list[tuple[float, float, float]] = []
    for _ in range(REPEATS):
        inside[0], wall, cpu = 0.0, time.perf_counter(), time.process_time()
        for _ in range(runs):
            ours.run(part)
        found.append((time.perf_counter() - wall, time.process_time() - cpu, inside[0]))
    units = 1e6 / (runs * STEPS * batch)
    least = [units * min(times) for times in zip(*found, strict=True)]
    return {
        "times": least,
        "rates": [float(records[name].mean()) for name in net.names],
        "spikes": sha256(b"".join(records[name].numpy().tobytes() for name in net.names)).hexdigest(),
    }


def elsewhere(checkout: Path, *numbers: float) -> dict[str, Any]:
    """One cell, in a process of its own that imports the package from ``checkout``."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, str(checkout), "--cell", *map(str, numbers)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def compare(before: Path, channels: int, rate: float, batch: int, table: Table) -> None:
    """Add one row to the table."""
    checkouts = {"before": before, "now": Path(__file__).parents[1]}
    found = [
        {name: elsewhere(checkout, channels, rate, batch) for name, checkout in checkouts.items()}
        for _ in range(ROUNDS)
    ]
    assert len({cell["spikes"] for cells in found for cell in cells.values()}) == 1, "spikes differ"
    least = {
        name: [min(times) for times in zip(*(cells[name]["times"] for cells in found), strict=True)]
        for name in checkouts
    }
    (wall, cpu, products), (new_wall, new_cpu, new_products) = least["before"], least["now"]
    table.add(
        *(f"conv 2-{channels}-{channels}, 16x16", f"{rate:.0%}", str(batch)),
        *(f"{wall:.1f}", f"{new_wall:.1f}", f"{wall / new_wall:.1f}"),
        *(f"{cpu:.1f}", f"{new_cpu:.1f}", f"{cpu / new_cpu:.1f}"),
        *(f"{products:.1f}", f"{new_products:.1f}"),
        ", ".join(f"{value:.3f}" for value in found[0]["now"]["rates"]),
    )


def main() -> None:
    """Compare all networks, or time one cell."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("--cell", nargs=3, type=float, help=argparse.SUPPRESS)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    if options.cell:
        channels, rate, batch = options.cell
        print(json.dumps(cell(int(channels), rate, int(batch))))
        return
    table = Table(
        "Fixed-point simulation against the version before",
        f"{conditions('torch', 'numpy', threads=1)} Microseconds per sample and step, least of {ROUNDS} "
        f"processes of {REPEATS} runs in turns.\nThe spikes of every layer were compared and are the same.",
        *("network", "firing", "batch", "before, wall", "now, wall", "ratio", "before, CPU", "now, CPU"),
        *("ratio", "products before, CPU", "products now, CPU", "rate per layer"),
    )
    for channels in (32, 64):
        for batch in BATCHES:
            for rate in RATES:
                compare(options.before, channels, rate, batch, table)
    table.keep(options.markdown)


if __name__ == "__main__":
    main()
