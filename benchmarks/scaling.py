"""How time and memory of export, simulate, count and report grow with samples, T, depth and width.

    python benchmarks/scaling.py [--rounds N] [--only OPERATION ...] [--results FOLDER]

The network is a chain of ``depth`` convolutions 3 x 3 of ``width`` channels on pictures of 12 x 12, each
followed by LIF neurons, and a dense layer of 10 neurons. Weights are random and normalised, and neurons leak
all within a step, so that 6 to 20 % of the neurons of every layer fire in every step, however deep and long.
One of the four sizes is varied, the others are those of ``BASE``. What is measured is what the commands do,
from the opening of the ``.nir`` file on, in one thread:

    export     write, prove, count and report a NIR bundle (``snn_deploy.api.export_bundle``)
    simulate   the reference simulator, with the spikes of all layers (``simulate_network``)
    count      synaptic events (``count_source``)
    report     count, price and write the report (``write_report``)

Each cell is a process of its own, forked once the libraries are imported, which first does the same with a
tiny network. Time is the least of its CPU seconds, so that other load hardly enters; memory is the growth of
its peak in the first round. Exponents are slopes in log-log: of a line through all sizes, which fixed costs
flatten, and between the last two, which shows what large sizes do.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import nir
import numpy as np
import torch
from bench import Table, conditions, pyplot, seconds

from snn_deploy.api import export_bundle, simulate_network, write_report
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.report import count_source
from snn_deploy.tasks.samples import load_samples

SIDE, CHANNELS, CLASSES, DT, RATE = 12, 2, 10, 1e-3, 0.2
THRESHOLD = 0.84
"""In standard deviations of a sum when a fifth of the inputs fire: a fifth of the sums exceed it."""


class Size(NamedTuple):
    """Of one cell."""

    samples: int
    steps: int
    depth: int
    width: int


BASE = Size(samples=32, steps=8, depth=4, width=16)
TINY = Size(samples=2, steps=2, depth=1, width=4)
AXES: dict[str, tuple[int, ...]] = {
    "samples": (32, 128, 512, 2048),
    "steps": (4, 16, 64, 256),
    "depth": (1, 4, 16, 64),
    "width": (8, 32, 128, 256),
}
NAMES = {"samples": "samples", "steps": "T", "depth": "depth", "width": "width"}


class Cost(NamedTuple):
    """CPU seconds, and MiB of memory."""

    seconds: float
    mebibytes: float


def make_graph(size: Size) -> nir.NIRGraph:
    """The chain of the module's text."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(0, (RATE * math.prod(shape[1:])) ** -0.5, shape).astype(np.float32)

    def neurons(*shape: int) -> nir.LIF:
        one = np.ones(shape, np.float32)
        return nir.LIF(tau=DT * one, r=one, v_leak=0 * one, v_threshold=THRESHOLD * one, v_reset=0 * one)

    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([CHANNELS, SIDE, SIDE])})}
    for layer in range(size.depth):
        shape = (size.width, size.width if layer else CHANNELS, 3, 3)
        bias = np.zeros(size.width, np.float32)
        nodes[f"conv{layer}"] = nir.Conv2d((SIDE, SIDE), weight(*shape), 1, 1, 1, 1, bias)
        nodes[f"lif{layer}"] = neurons(size.width, SIDE, SIDE)
    flat = size.width * SIDE * SIDE
    nodes["flatten"] = nir.Flatten({"input": np.array([size.width, SIDE, SIDE])}, start_dim=0, end_dim=-1)
    nodes["fc"] = nir.Linear(weight(CLASSES, flat))
    nodes["out"] = neurons(CLASSES)
    nodes["output"] = nir.Output({"output": np.array([CLASSES])})
    graph = nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)
    write_semantics(graph, Semantics(dt=DT, fires_at=">="))
    return graph


def prepare(size: Size, folder: Path) -> tuple[Path, Path]:
    """The network and its samples as files."""
    folder.mkdir()
    network, data = folder / "net.nir", folder / "samples.npz"
    nir.write(network, make_graph(size))
    rng = np.random.default_rng(1)
    x = rng.random((size.steps, size.samples, CHANNELS, SIDE, SIDE), np.float32) < RATE
    np.savez(data, x=x, y=rng.integers(0, CLASSES, size.samples))
    return network, data


def export(network: Path, data: Path, out: Path) -> None:
    """Write and prove a bundle."""
    export_bundle(network, out / "bundle", formats=("nir",), data=str(data), samples=None)


def simulate(network: Path, data: Path, _out: Path) -> None:
    """All layers and decisions."""
    simulate_network(network, "reference", data=str(data), samples=None)


def count(network: Path, data: Path, _out: Path) -> None:
    """Events of every edge, step and sample."""
    source = open_source(network)
    count_source(source, load_samples(source, str(data), None).test)


def report(network: Path, data: Path, out: Path) -> None:
    """The page and its tables."""
    write_report(network, out / "report", data=str(data), samples=None)


Operation = Callable[[Path, Path, Path], None]
OPERATIONS: dict[str, Operation] = {
    "export": export, "simulate": simulate, "count": count, "report": report,
}  # fmt: skip


def _peak() -> float:
    """Largest resident size in MiB since it was last reset."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


def _cell(name: str, size: Size, rounds: int, answer: multiprocessing.SimpleQueue[Cost]) -> None:
    work = OPERATIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        work(*prepare(TINY, home / "tiny"), home / "tiny")
        files, times, growth = prepare(size, home / "files"), [], 0.0
        for turn in range(rounds):
            (out := home / str(turn)).mkdir()
            if not turn:
                Path("/proc/self/clear_refs").write_text("5")
                growth = -_peak()
            times.append(seconds(lambda out=out: work(*files, out)).cpu)
            if not turn:
                growth += _peak()
    answer.put(Cost(min(times), growth))


def measure(name: str, size: Size, rounds: int) -> Cost:
    """One cell, in a process of its own."""
    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    process = context.Process(target=_cell, args=(name, size, rounds, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{name} at {size} ended with {process.exitcode}.")
    found: Cost = answer.get()
    return found


def slope(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent of a power law through the points: least squares in log-log."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(costs, 1e-3)), 1)[0])


Curves = Mapping[tuple[str, str], Sequence[Cost]]


def draw(file: Path, curves: Curves) -> None:
    """Seconds above, memory below; a column for each size."""
    figure, grid = pyplot("scaling").subplots(2, len(AXES), figsize=(12, 5.6), sharey="row", sharex="col")
    for column, (axis, sizes) in enumerate(AXES.items()):
        for row, label in enumerate(("CPU seconds", "more memory, MiB")):
            axes = grid[row][column]
            for name, costs in ((name, costs) for (name, varied), costs in curves.items() if varied == axis):
                axes.plot(sizes, [max(cost[row], 1e-2) for cost in costs], "o-", label=name, markersize=4)
            axes.set(xscale="log", yscale="log")
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            if not column:
                axes.set_ylabel(label)
        axes.set_xlabel(NAMES[axis])
    grid[1][0].set_yticks([20, 50, 100, 200, 500, 1000], ["20", "50", "100", "200", "500", "1000"])
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="upper center", ncols=len(OPERATIONS))
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--only", nargs="*", choices=list(OPERATIONS), default=list(OPERATIONS))
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    base = ", ".join(f"{getattr(BASE, axis)} {NAMES[axis]}" for axis in AXES)
    table = Table(
        "How cost grows",
        f"`python benchmarks/scaling.py`; {conditions('torch', 'numba', 'nir', threads=1)} Least of "
        f"{options.rounds} rounds, CPU seconds; memory is what the work adds to the libraries. Sizes that "
        f"are not varied: {base}.",
        *("work", "against", "sizes", "CPU seconds", "exponent", "last two"),
        *("more MiB", "exponent", "last two"),
    )
    known: dict[tuple[str, Size], Cost] = {}
    curves: dict[tuple[str, str], list[Cost]] = {}
    for name, (axis, sizes) in itertools.product(options.only, AXES.items()):
        for value in sizes:
            size = BASE._replace(**{axis: value})
            if (name, size) not in known:
                known[name, size] = measure(name, size, options.rounds)
            curves.setdefault((name, axis), []).append(known[name, size])
        cells = [name, NAMES[axis], ", ".join(map(str, sizes))]
        for costs, form in zip(zip(*curves[name, axis], strict=True), (".3f", ".0f"), strict=True):
            ends = slope(sizes, costs), slope(sizes[-2:], costs[-2:])
            cells += [", ".join(f"{cost:{form}}" for cost in costs), *(f"{end:.2f}" for end in ends)]
        table.add(*cells)
    if options.results is not None:
        stem = f"{datetime.now(UTC).date()}-scaling"
        table.say(f"![Curves]({stem}.svg)")
        table.keep(options.results / f"{stem}.md")
        draw(options.results / f"{stem}.svg", curves)


if __name__ == "__main__":
    main()
