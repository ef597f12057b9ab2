"""The exported C code against ONNX Runtime's step model and snnTorch, batch 1, one thread; and its two loops.

    python benchmarks/c_speed.py BUNDLE [BUNDLE ...] [--results FOLDER]

A BUNDLE holds the formats nir, onnx and c. All take the frames of `example.npz` one by one with their states,
as a device would. The C program is the kit's, compiled with -O2; ONNX Runtime runs `model.step.onnx` by the
functions of `run_onnx.py`; snnTorch steps the network that its own importer makes of `model.nir`. A figure is
the least CPU time per step of all rounds. The loops are timed on random spikes, on layers of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import nir
import numpy as np
import torch
from bench import Table, by_turns, conditions

from snn_deploy.core.assets import asset_dir
from snn_deploy.export.c.compiler import build
from snn_deploy.export.c.program import program
from snn_deploy.export.c.source import header, source
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Input, LavaNet, conv_shape

ROUNDS = 15
REPEATS = 200
RATES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
TIMER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "model.h"
static model_t m;
static model_input_t in[8][MODEL_INPUTS];
static int32_t out[MODEL_OUTPUTS];
int main(int argc, char **argv)
{
    const double rate = argc > 2 ? atof(argv[2]) : 0.1;
    const int repeats = atoi(argv[1]);
    FILE *frames = argc > 3 ? fopen(argv[3], "rb") : NULL;
    for (int k = 0; k < 8; k++)
        for (int i = 0; i < MODEL_INPUTS; i++)
            in[k][i] = (model_input_t)(frames ? getc(frames) : rand() < rate * RAND_MAX);
    model_init(&m);
    double best = 1e9;
    for (int round = 0; round < 25; round++) {
        const clock_t start = clock();
        for (int k = 0; k < repeats; k++)
            model_step(&m, in[k % 8], out);
        const double each = (double)(clock() - start) / CLOCKS_PER_SEC / repeats;
        best = each < best ? each : best;
    }
    printf("%.9f\n", best);
    return 0;
}
"""


def timer(folder: Path, include: Path, *flags: str) -> Path:
    """A program that times the model in ``include``."""
    (folder / "timer.c").write_text(TIMER)
    made = folder / f"timer{len(list(folder.glob('timer*')))}"
    build([folder / "timer.c", include / "model.c"], include, made, flags)
    return made


def seconds_of(program_file: Path, *arguments: str) -> float:
    """What a timer prints."""
    command = [str(program_file), *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout)


def kit() -> ModuleType:
    """`run_onnx.py` as every bundle holds it."""
    spec = importlib.util.spec_from_file_location("run_onnx", asset_dir("export") / "run_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def onnx_work(bundle: Path, frames: np.ndarray) -> Callable[[], object]:
    """All frames through the step model."""
    functions = kit()
    session, info = functions.open_model(bundle / "model.step.onnx")
    return lambda: functions.run_step(session, info, frames)


def snntorch_work(bundle: Path, frames: np.ndarray) -> Callable[[], object]:
    """All frames through snnTorch's reading of the NIR file."""
    from snntorch.import_nir import import_from_nir

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        network = import_from_nir(nir.read(bundle / "model.nir"))
    sequence = torch.from_numpy(frames)

    @torch.no_grad()
    def work() -> None:
        state = None
        for frame in sequence:
            _, state = network(frame) if state is None else network(frame, state)

    return work


def compare(bundle: Path, table: Table) -> None:
    """A row: microseconds a step of the three."""
    with np.load(bundle / "example.npz") as example:
        frames = example["x"][:8, :1].astype(np.float32)
    steps = len(frames)
    works = {"onnx": onnx_work(bundle, frames), "snntorch": snntorch_work(bundle, frames)}
    for work in works.values():
        work()
    least = {name: s.cpu / steps for name, s in by_turns(works, ROUNDS).items()}
    with tempfile.TemporaryDirectory() as name:
        frames_file = Path(name) / "frames"
        (np.resize(frames[:, 0], (8, *frames.shape[2:])) != 0).astype(np.uint8).tofile(frames_file)
        ours = seconds_of(timer(Path(name), bundle), str(REPEATS), "0", str(frames_file))
    table.add(
        bundle.resolve().parent.name,
        *(f"{1e6 * t:.1f}" for t in (ours, least["onnx"], least["snntorch"])),
        *(f"{least[peer] / ours:.1f}" for peer in ("onnx", "snntorch")),
    )


def layers() -> dict[str, LavaNet]:
    """Single layers that are visited by both loops."""
    rng = np.random.default_rng(0)
    neuron = Cuba.of(4096, 1024, 100_000)

    def conv(inputs: int, outputs: int, size: int, stride: int) -> LavaNet:
        weight = 2 * rng.integers(-60, 60, (outputs, inputs, 3, 3))
        layer = Conv((outputs, 1, 1), weight, neuron, None, (stride, stride), (1, 1))
        shaped = Conv(conv_shape(layer, size, size), weight, neuron, None, (stride, stride), (1, 1))
        return LavaNet((Input((inputs, size, size)), shaped), ("layer",))

    def dense(inputs: int, outputs: int) -> LavaNet:
        weight = 2 * rng.integers(-60, 60, (outputs, inputs))
        return LavaNet((Input((inputs,)), Dense(weight, neuron)), ("layer",))

    return {
        "conv 32 to 64, 8x8": conv(32, 64, 8, 1),
        "conv 64 to 64, 4x4": conv(64, 64, 4, 1),
        "conv 2 to 32, 16x16, stride 2": conv(2, 32, 16, 2),
        "dense 1024 to 10": dense(1024, 10),
        "dense 1024 to 256": dense(1024, 256),
    }


def loops(table: Table) -> dict[str, dict[bool, list[float]]]:
    """Microseconds a step by firing rate, of the loop over spikes and the one over all synapses."""
    found: dict[str, dict[bool, list[float]]] = {}
    for name, net in layers().items():
        found[name] = {}
        for events in (True, False):
            with tempfile.TemporaryDirectory() as folder_name:
                folder = Path(folder_name)
                made = program(net, loops={"layer": events})
                (folder / "model.h").write_text(header(made))
                (folder / "model.c").write_text(source(made))
                run = timer(folder, folder)
                found[name][events] = [1e6 * seconds_of(run, "40", str(rate)) for rate in RATES]
            kind = "spikes" if events else "all synapses"
            table.add(name, kind, *(f"{t:.1f}" for t in found[name][events]))
    return found


def draw(found: dict[str, dict[bool, list[float]]], file: Path) -> None:
    """A picture of the loops' times over the firing rate."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(found), figsize=(3 * len(found), 3), layout="constrained")
    for axis, (name, times) in zip(axes, found.items(), strict=True):
        for events, label in ((True, "spikes only"), (False, "all synapses")):
            axis.plot(RATES, times[events], label=label, marker="o", markersize=3)
        axis.set(title=name, xlabel="firing rate of the inputs", ylim=(0, None))
        axis.title.set_fontsize(9)
    axes[0].set_ylabel("microseconds a step")
    axes[0].legend(frameon=False)
    figure.savefig(file)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="+", type=Path)
    parser.add_argument("--results", type=Path, help="folder for two tables and a picture")
    options = parser.parse_args()
    torch.set_num_threads(1)
    notes = conditions("torch", "onnxruntime", "snntorch", threads=1)
    columns = ("run", "C, us a step", "ONNX Runtime", "snnTorch", "ONNX Runtime / C", "snnTorch / C")
    speed = Table("Exported C code, batch 1", notes, *columns)
    for bundle in options.bundles:
        compare(bundle, speed)
    print()
    at_rates = (f"{rate:g}" for rate in RATES)
    rates = Table("The two loops of the C code", notes, "layer", "loop, us at a rate of", *at_rates)
    found = loops(rates)
    if options.results:
        day = datetime.now(UTC).date()
        speed.keep(options.results / f"{day}-c-speed.md")
        rates.keep(options.results / f"{day}-c-loops.md")
        draw(found, options.results / f"{day}-c-loops.svg")


if __name__ == "__main__":
    main()
