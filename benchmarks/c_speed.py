"""The exported C code against ONNX Runtime's step model and snnTorch, batch 1, one thread; and its two loops.

    python benchmarks/c_speed.py BUNDLE [BUNDLE ...] [--rounds N] [--markdown FILE] [--loops FOLDER]

A BUNDLE holds the formats nir, onnx and c. All take the frames of `example.npz` one by one with their states,
as a device would. The C program is the kit's, compiled with -O2; ONNX Runtime runs `model.step.onnx` by the
functions of `run_onnx.py`; snnTorch steps the network that its own importer makes of `model.nir`. Each is a
process of its own and takes turns. With ``--loops`` the loops of the C code are timed instead, on random
spikes, on layers of their own: a table and a picture in FOLDER.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import subprocess
import tempfile
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import nir
import numpy as np
import torch
from bench import Table, conditions, onnx_kit
from cells import COLUMNS, OURS, add_rows, reach, serve, take_turns

from snn_deploy.export.c.compiler import build
from snn_deploy.export.c.program import program
from snn_deploy.export.c.source import header, source
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Input, LavaNet, conv_shape

REPEATS, TIMED_ROUNDS = 200, 25
"""Steps of a round of the timer, and its rounds."""
AIMS = {"ONNX Runtime": 1, "snnTorch": 10}
"""How many times as fast as whom."""
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
    for (int round = 0; round < ROUNDS; round++) {
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
    rounds = f"-DROUNDS={TIMED_ROUNDS}"
    build([folder / "timer.c", include / "model.c"], include, made, (rounds, *flags))
    return made


def seconds_of(program_file: Path, *arguments: str) -> float:
    """What a timer prints."""
    command = [str(program_file), *arguments]
    return float(subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout)


def onnx_work(bundle: Path, frames: np.ndarray) -> Callable[[], object]:
    """All frames through the step model."""
    functions = onnx_kit()
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


def c_work(bundle: Path, frames: np.ndarray, folder: Path) -> Callable[[], object]:
    """All of the timer's steps through the compiled program."""
    kept = folder / "frames"
    (np.resize(frames[:, 0], (8, *frames.shape[2:])) != 0).astype(np.uint8).tofile(kept)
    made = timer(folder, bundle)
    return lambda: seconds_of(made, str(REPEATS), "0", str(kept))


def cell(side: str, bundle: Path) -> None:
    """Serve one side's work."""
    with np.load(bundle / "example.npz") as example:
        frames = example["x"][:8, :1].astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        if side == OURS:
            work = c_work(bundle, frames, Path(folder))
        else:
            work = {"ONNX Runtime": onnx_work, "snnTorch": snntorch_work}[side](bundle, frames)
        work()
        serve(work, f"{len(frames)}" if side != OURS else f"{TIMED_ROUNDS * REPEATS}")


def compare(bundle: Path, rounds: int, table: Table) -> None:
    """Rows: microseconds a step of the three."""
    cells = {side: ("--cell", side, str(bundle)) for side in (OURS, *AIMS)}
    found = take_turns(Path(__file__), cells, rounds, os.environ | {"OMP_NUM_THREADS": "1"})
    each = {side: row.per(int(row.digest))._replace(digest="") for side, row in found.items()}
    name = bundle.resolve().parent.name
    add_rows(table, [name], each, 1e6)
    for peer, aim in AIMS.items():
        reach(table, f"C code against {peer}, {name}", each[peer], each[OURS], aim)


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundles", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--loops", type=Path, help="folder for a table and a picture of the loops")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.cell:
        cell(options.cell[0], Path(options.cell[1]))
        return
    notes = conditions("torch", "onnxruntime", "snntorch", threads=1)
    if options.loops:
        at_rates = (f"{rate:g}" for rate in RATES)
        rates = Table("The two loops of the C code", notes, "layer", "loop, us at a rate of", *at_rates)
        draw(loops(rates), options.loops / f"{datetime.now(UTC).date()}-c-loops.svg")
        rates.keep(options.loops / f"{datetime.now(UTC).date()}-c-loops.md")
        return
    speed = Table(
        "Exported C code, batch 1",
        f"{notes}\nMicroseconds a step, {options.rounds} rounds by turns.",
        *("run", "side", *COLUMNS),
    )
    for bundle in options.bundles:
        compare(bundle, options.rounds, speed)
    speed.close(options.markdown)


if __name__ == "__main__":
    main()
