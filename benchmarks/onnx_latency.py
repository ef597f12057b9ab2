"""Exported ONNX models in ONNX Runtime against the student in torch, batch 1, one thread.

    python benchmarks/onnx_latency.py [--repeats 20] [--markdown FILE]

torch runs the spikingjelly student as it was trained, in eval mode without gradients: frame by frame
(single-step) and whole sequences (multi-step), the latter also with its batch norms folded, as they are in
the ONNX models. The models run as a user of a bundle runs them, with the functions of its `run_onnx.py`:
`step` once per frame, `scan` and `unrolled` once per sequence. All take turns within one process, five
sequences each; times are CPU time of the process per sequence, which one thread has in full also on a busy
machine. Every spike of every layer is compared with the student's, as in a bundle.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import platform
import statistics
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.functional.conv_bn_fusion import fuse_conv_bn_eval_modules
from torch import nn

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.machine import processor
from snn_deploy.export.base import Calibration
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import OnnxOptions
from snn_deploy.export.parity import Parity
from snn_deploy.export.verify import Samples, verify
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import Plan
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.load import build_student
from snn_deploy.recipes.recipe import load_recipe
from snn_deploy.simulate.onnx.runtime import OnnxRuntime

STEPS = (4, 8, 16)
MODELS = ("step", "scan", "unrolled", "step-int8")
RATE = 0.1
GAIN = 12.0
"""Of dense weights, so that the readout spikes."""
IN_A_ROW = 5


def quickstart() -> tuple[nn.Module, tuple[int, ...]]:
    """The student of the recipe `quickstart`, 2-32-64-64-10 on 16x16."""
    return build_student(load_recipe("quickstart"), (2, 16, 16), 10), (2, 16, 16)


def gesture() -> tuple[nn.Module, tuple[int, ...]]:
    """Three convolutions with pools on 64x64 and two dense layers, as for event cameras; 0.6 M weights."""

    def block(before: int, after: int) -> nn.Sequential:
        return nn.Sequential(
            OrderedDict(
                conv=layer.Conv2d(before, after, 3, padding=1, bias=False),
                norm=layer.BatchNorm2d(after),
                neuron=neuron.LIFNode(),
                pool=layer.AvgPool2d(2),
            )
        )

    net = nn.Sequential(
        OrderedDict(
            block1=block(2, 32),
            block2=block(32, 64),
            block3=block(64, 64),
            flatten=layer.Flatten(),
            hidden=nn.Sequential(OrderedDict(linear=layer.Linear(4096, 128), neuron=neuron.LIFNode())),
            readout=nn.Sequential(OrderedDict(linear=layer.Linear(128, 11), neuron=neuron.LIFNode())),
        )
    )
    return net, (2, 64, 64)


NETWORKS = {"quickstart, 2x16x16": quickstart, "conv 2-32-64-64, 2x64x64": gesture}


def prepared(build: Callable[[], tuple[nn.Module, tuple[int, ...]]]) -> tuple[nn.Module, tuple[int, ...]]:
    """The network with weights large enough to spike and batch norms that have seen data; in eval mode."""
    torch.manual_seed(0)
    net, shape = build()
    functional.set_step_mode(net, "m")
    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(GAIN)
        elif isinstance(module, nn.BatchNorm2d):
            module.weight.data.mul_(2)
            module.momentum = None
    with torch.no_grad():
        net.train()(sequence(16, 8, shape))
    functional.reset_net(net)
    return net.eval(), shape


def sequence(steps: int, batch: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Random spikes ``[T, B, *shape]``."""
    return (torch.rand(steps, batch, *shape) < RATE).float()


def kit() -> Any:
    """`run_onnx.py` as every bundle holds it."""
    spec = importlib.util.spec_from_file_location("run_onnx", asset_dir("export") / "run_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def eager(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """One sequence from the start state."""
    functional.reset_net(net)
    return net(x)


def frame_by_frame(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The same of a single-step network."""
    functional.reset_net(net)
    return torch.stack([net(frame) for frame in x])


@torch.no_grad()
def measure(name: str, repeats: int) -> list[str]:
    """Rows of the table for one network."""
    net, shape = prepared(NETWORKS[name])
    folded = fuse_conv_bn_eval_modules(net)
    stepping = copy.deepcopy(net)
    functional.set_step_mode(stepping, "s")
    runner = kit()
    rows = []
    for steps in STEPS:
        inputs = [sequence(steps, 1, shape) for _ in range(8)]
        with tempfile.TemporaryDirectory() as folder:
            graph = from_torch(net, shape, semantics=Semantics(timesteps=steps))
            calibration = Calibration(torch.cat(inputs, 1))
            OnnxWriter(OnnxOptions(models=MODELS)).write(graph, Path(folder), calibration)
            proofs = prove(net, make_plan(graph), Path(folder), calibration.x)
            opened = {model: runner.open_model(Path(folder) / f"model.{model}.onnx") for model in MODELS}

        works: dict[str, Callable[[torch.Tensor], Any]] = {
            "frames": lambda x: frame_by_frame(stepping, x),
            "sequence": lambda x: eager(net, x),
            "folded": lambda x: eager(folded, x),
        }
        for model, (session, info) in opened.items():
            works[model] = lambda x, session=session, info=info: runner.run(session, info, x.numpy())
        times: dict[str, list[float]] = {work: [] for work in works}
        for _ in range(repeats):
            for work, run in works.items():
                for x in inputs[:IN_A_ROW]:
                    begun = time.process_time()
                    run(x)
                    times[work].append(time.process_time() - begun)
        middle = {work: 1e3 * statistics.median(found[IN_A_ROW:]) for work, found in times.items()}
        cells = [name, str(steps), *(f"{middle[work]:.2f}" for work in ("frames", "sequence", "folded"))]
        for model in MODELS:
            torchs = middle["frames" if model.startswith("step") else "sequence"]
            cells.append(f"{middle[model]:.2f} ({torchs / middle[model]:.1f}x)")
        cells += [f"{parity.differing} ({parity.ties} ties)" for parity in proofs if parity.exact]
        cells += [f"{100 * parity.agreement:.2f} %" for parity in proofs if not parity.exact]
        rows.append("| " + " | ".join(cells) + " |")
        print(rows[-1], flush=True)
    return rows


def prove(net: nn.Module, plan: Plan, folder: Path, x: torch.Tensor) -> list[Parity]:
    """Every spike of every layer of all float models and of the int8 model against the student."""
    proofs = []
    for model in MODELS:
        exact = not model.endswith("int8")
        blank = Parity(model, "onnxruntime", "network", exact, x.shape[1])
        proofs.append(
            verify(
                blank,
                StudentExecutable(net),
                lambda model=model: OnnxRuntime(folder / f"model.{model}.onnx"),  # type: ignore[misc]
                Samples(x),
                plan=plan if exact else None,
                max_accuracy_drop=1.0,
            )
        )
    whole, *others = [proof for proof in proofs if proof.exact]
    assert all((p.differing, p.ties) == (whole.differing, whole.ties) for p in others)
    return [whole, proofs[-1]]


def conditions(repeats: int) -> str:
    """When, where and with what."""
    packages = ", ".join(f"{p} {version(p)}" for p in ("torch", "spikingjelly", "onnxruntime", "numpy"))
    return (
        f"{datetime.now(UTC).date()}; {processor()}, "
        f"{os.cpu_count()} cores, one thread;\nPython {platform.python_version()}, {packages}.\n"
        f"Random spikes at rate {RATE}, random weights. Milliseconds of CPU time per sequence at batch 1,\n"
        f"median of {repeats * IN_A_ROW}; in brackets: times faster than torch, `step` than frame by frame,\n"
        "`scan` and `unrolled` than sequences."
    )


HEADER = (
    "| network | T | torch, frames | torch, sequence | the same, folded | step | scan | unrolled | step-int8 "
    "| differing spikes | equal spikes, int8 |\n| --- |" + " ---: |" * 10
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="raise")
    lines = [conditions(options.repeats), "", HEADER]
    print("\n".join(lines), flush=True)
    for name in NETWORKS:
        lines += measure(name, options.repeats)
    if options.markdown:
        options.markdown.write_text("\n".join(["# Exported ONNX against torch", "", *lines, ""]))


if __name__ == "__main__":
    main()
