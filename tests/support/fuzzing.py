"""Valid networks in three formats and what the commands do with a file of each; all targets of fuzzing."""

from __future__ import annotations

from functools import cache, partial
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory

import nir
import numpy as np
import torch

from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import NirWriter
from snn_deploy.export.onnx import OnnxWriter
from snn_deploy.export.options import OnnxOptions
from snn_deploy.graph.lava.io import read_net, write_net
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.simulate.onnx.models import MODELS
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.open import open_source
from support.fuzz_data import DATA
from support.fuzz_documents import DOCUMENTS
from support.fuzz_events import EVENTS
from support.fuzz_target import Target
from support.lava_nets import KINDS, random_net
from support.mutation import blind, in_hdf5, in_onnx

STEPS = 3
MAX_RUN = 10**6
"""Elements of the activations of a network that is still run, so that no case takes long by right."""


def network() -> nir.NIRGraph:
    """Most node types in few bytes: residual, recurrent, delayed."""
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    def full(shape: tuple[int, ...], value: float) -> np.ndarray:
        return np.full(shape, value, np.float32)

    image, wide = (2, 4, 4), (3,)
    two = np.array([2, 2])
    nodes = {
        "input": nir.Input({"input": np.array(image)}),
        "scale": nir.Scale(full(image, 0.5)),
        "conv": nir.Conv2d((4, 4), weight(2, 1, 3, 3), 1, "same", 1, 2, weight(2)),
        "lif": nir.LIF(*(full(image, v) for v in (2e-4, 1.0, 0.0, 0.5, 0.0))),
        "pool": nir.AvgPool2d(two, two, np.array([0, 0])),
        "sum": nir.SumPool2d(two, two, np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([2, 1, 1])}, 0, -1),
        "fc": nir.Affine(weight(3, 2), weight(3)),
        "cuba": nir.CubaLIF(
            *(full(wide, v) for v in (2e-4, 4e-4, 1.0, 0.0, 0.5)), w_in=full(wide, 1), v_reset=full(wide, 0)
        ),
        "back": nir.Linear(weight(3, 3)),
        "late": nir.Delay(np.array([0, 1e-4, 2e-4])),
        "fire": nir.Threshold(full(wide, 0.5)),
        "li": nir.LI(*(full(wide, v) for v in (2e-4, 1.0, 0.0))),
        "output": nir.Output({"output": np.array(wide)}),
    }
    edges = [
        ("input", "scale"), ("scale", "conv"), ("conv", "lif"), ("scale", "lif"), ("lif", "pool"),
        ("pool", "sum"), ("sum", "flat"), ("flat", "fc"), ("fc", "cuba"), ("cuba", "back"), ("back", "cuba"),
        ("cuba", "late"), ("late", "fire"), ("fire", "li"), ("li", "output"),
    ]  # fmt: skip
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    write_semantics(graph, Semantics(timesteps=STEPS, classes=("a", "b", "c")))
    return graph


def run_nir(path: Path) -> None:
    """What every command does with a ``.nir`` file: open it, then run it."""
    source = open_source(path)
    OnnxWriter().check(source.plan.graph)
    NirWriter().check(source.plan.graph)
    if sum(prod(shape) for shape in source.plan.shapes.values()) * STEPS < MAX_RUN:
        Reference(source.plan).run(torch.ones(STEPS, 1, *source.plan.shapes[source.plan.input]), record=True)


def run_onnx(path: Path) -> None:
    """What the backend ``onnxruntime`` does with a file of a bundle."""
    model = OnnxRuntime(path)
    steps = model.info.timesteps if model.info.kind == "unrolled" else STEPS
    if prod(model.info.input.shape) * (steps or 1) < MAX_RUN:
        model.run(torch.ones(steps or 1, 2, *model.info.input.shape), record=True)


def run_net(path: Path) -> None:
    """What every command does with a ``.net`` file: open it, then run it."""
    source = open_source(path)
    net = read_net(path)
    if sum(prod(layer.shape) for layer in net.layers) * STEPS < MAX_RUN:
        source.executable.run(torch.ones(STEPS, 1, *net.input_shape), record=True)


@cache
def _written(kind: str) -> list[bytes]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "net":
            for number, net_kind in enumerate(KINDS):
                write_net(random_net(number, net_kind), folder / f"{number}.net")
        elif kind == "nir":
            NirWriter().write(network(), folder, Calibration(torch.zeros(1, 1, 1)))
        else:
            options = OnnxOptions(models=MODELS)
            OnnxWriter(options).write(network(), folder, Calibration(torch.ones(STEPS, 2, 2, 4, 4)))
        return [path.read_bytes() for path in sorted(folder.iterdir())]


NETWORKS = {
    "nir": Target(".nir", partial(_written, "nir"), (blind, in_hdf5), run_nir),
    "onnx": Target(".onnx", partial(_written, "onnx"), (blind, in_onnx), run_onnx),
    "net": Target(".net", partial(_written, "net"), (blind, in_hdf5), run_net),
}

TARGETS = {**NETWORKS, **EVENTS, **DOCUMENTS, **DATA}
