"""Exported ONNX models in ONNX Runtime against OpenVINO and torch, batch 1, one thread.

    OPENVINO=FOLDER python benchmarks/onnx_latency.py [--rounds 30] [--markdown FILE]

``OPENVINO`` is a virtual environment with openvino and numpy (``pip install openvino``); without it OpenVINO
is left out. The models run as a user of a bundle runs them, with the functions of its `run_onnx.py`: `step`
once per frame, `scan` and `unrolled` once per sequence. Beside each:

    OpenVINO         the same file, compiled for one thread, latency and float32, its request kept
    torch student    as trained: whole sequences, batch norms folded as they are in the files
    torch.compile    the same layers as plain functions of torch in one compiled graph, at T = 4 only
    our reference    our simulator of the same graph

Each is a process of its own and takes turns with the others. Every spike of every layer of the files is
compared with the student's before, as in a bundle; where a peer's outputs are others, by a tie, it is said.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from bench import Table, conditions, onnx_kit, versions
from cells import COLUMNS, OURS, add_rows, reach, serve, take_turns

ROOT = Path(__file__).resolve().parents[1]
STEPS = (4, 16)
FILES = ("step", "scan", "unrolled")
ELSEWHERE = "OpenVINO"
PEERS = ("torch student", "torch.compile", "our reference")
AIMS = {ELSEWHERE: 1 / 1.1, "torch student": 2, "torch.compile": 1}
"""Times as fast as whom."""
COMPILED_STEPS = 4
"""Up to which torch.compile takes part: it writes all steps out, and compiling 16 takes it minutes."""
IN_A_ROW = 5
"""Sequences of one piece of work."""

Work = Callable[[np.ndarray], Any]


def runtime(folder: Path, model: str) -> Work:
    """A file in ONNX Runtime."""
    functions = onnx_kit()
    session, info = functions.open_model(folder / f"model.{model}.onnx")
    return lambda x: functions.run(session, info, x)


def openvino(folder: Path, model: str) -> Work:
    """A file in OpenVINO, its shapes fixed to batch 1."""
    from openvino import Core

    opened = Core().read_model(folder / f"model.{model}.onnx")
    shapes = {port.get_any_name(): port.get_partial_shape() for port in opened.inputs}
    steps = len(np.load(folder / "x.npy", mmap_mode="r"))
    free = {
        name: [1 if size.is_dynamic else size.get_length() for size in shape]
        for name, shape in shapes.items()
    }
    name, *states = free
    if model == "scan":
        free[name][0] = steps
    opened.reshape(free)
    options = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = Core().compile_model(opened, "CPU", options).create_infer_request()
    zeros = {state: np.zeros(free[state], np.float32) for state in states}

    def run(x: np.ndarray) -> Any:
        if not states:
            return next(iter(request.infer({name: x}, share_inputs=True).values()))
        held, outputs = zeros, []
        for frame in x:
            y, *after = request.infer({name: frame, **held}, share_inputs=True).values()
            outputs.append(y)
            held = dict(zip(states, after, strict=True))
        return np.stack(outputs)

    return run


def in_torch(side: str, name: str) -> Work:
    """A peer that has no file."""
    import onnx_networks
    import torch

    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    makers = (onnx_networks.student, onnx_networks.compiled, onnx_networks.reference)
    run = dict(zip(PEERS, makers, strict=True))[side](name)
    return lambda x: run(torch.from_numpy(x)).numpy()


def cell(side: str, model: str, name: str, folder: Path) -> None:
    """Serve one side's work."""
    sides = {OURS: lambda: runtime(folder, model), ELSEWHERE: lambda: openvino(folder, model)}
    work = sides.get(side, lambda: in_torch(side, name))()
    sequences = [np.ascontiguousarray(x[:, None]) for x in np.load(folder / "x.npy").swapaxes(0, 1)]
    spikes = b"".join((np.asarray(work(x)) != 0).tobytes() for x in sequences)

    def several() -> None:
        for x in sequences[:IN_A_ROW]:
            work(x)

    serve(several, sha256(spikes).hexdigest())


def prove(name: str, steps: int, folder: Path) -> str:
    """Write and prove the files; a sentence."""
    import onnx_networks
    import torch

    torch.set_num_threads(1)
    whole, rounded = onnx_networks.write(name, steps, folder)
    return (
        f"{name}, T = {steps}: {whole.differing} spikes of all layers differ from the student's, "
        f"{whole.ties} ties; step-int8: {100 * rounded.agreement:.2f} % are equal."
    )


def compare(name: str, steps: int, folder: Path, rounds: int, judge: Path | None, table: Table) -> None:
    """Add the rows of one network."""
    cells = {f"{OURS}, {model}": (OURS, model) for model in (*FILES, "step-int8")}
    if judge is not None:
        cells |= {f"{ELSEWHERE}, {model}": (ELSEWHERE, model) for model in FILES}
    peers = [peer for peer in PEERS if peer != "torch.compile" or steps <= COMPILED_STEPS]
    cells |= {peer: (peer, "") for peer in peers}
    arguments = {cell: ("--cell", *which, name, str(folder)) for cell, which in cells.items()}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    elsewhere = {cell: judge for cell in cells if judge is not None and cell.startswith(ELSEWHERE)}
    found = take_turns(Path(__file__), arguments, rounds, environment, elsewhere)
    each = {side: measured.per(IN_A_ROW) for side, measured in found.items()}
    own = each[f"{OURS}, {FILES[0]}"].digest
    for side, row in each.items():
        if row.digest != own and side not in {f"{OURS}, {model}" for model in FILES}:
            each[side] = row._replace(digest="")
            table.say(f"{name}, T = {steps}: outputs of {side} are not those of our files.")
    for model in FILES:
        own = each[f"{OURS}, {model}"]
        rows = {side: measured for side, measured in each.items() if side.endswith(f", {model}")}
        rows = {OURS: own} | {side: row for side, row in rows.items() if row is not own}
        rows |= {peer: each[peer] for peer in peers}
        if model == "step":
            rows[f"{OURS}, int8"] = each[f"{OURS}, step-int8"]
        what = f"{name}, T = {steps}, {model}"
        add_rows(table, [what], rows)
        for peer, aim in AIMS.items():
            if (row := rows.get(f"{ELSEWHERE}, {model}" if peer == ELSEWHERE else peer)) is not None:
                reach(table, f"ONNX file against {peer}, {what}", row, own, aim)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    import onnx_networks

    judge = Path(os.environ["OPENVINO"]) / "bin" / "python" if "OPENVINO" in os.environ else None
    peer = versions(judge, "openvino") if judge is not None else "openvino: not here (OPENVINO names none)"
    table = Table(
        "Exported ONNX against OpenVINO and torch",
        f"{conditions('torch', 'spikingjelly', 'onnxruntime', 'numba', 'numpy', threads=1)} {peer}.\n"
        f"Random spikes at rate {onnx_networks.RATE}, random weights. Milliseconds per sequence at batch 1, "
        f"{options.rounds} rounds of {IN_A_ROW} by turns.",
        *("network and file", "side", *COLUMNS),
    )
    for name in onnx_networks.NETWORKS:
        for steps in STEPS:
            with tempfile.TemporaryDirectory() as folder:
                proof = prove(name, steps, Path(folder))
                compare(name, steps, Path(folder), options.rounds, judge, table)
                table.say(proof)
    table.close(options.markdown)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cell"]:
        cell(*sys.argv[2:5], Path(sys.argv[5]))
    else:
        main()
