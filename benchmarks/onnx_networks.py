"""The networks of ``onnx_latency.py``, their files, and the same networks in torch alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based.functional.conv_bn_fusion import fuse_conv_bn_eval_modules
from torch import nn

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
from snn_deploy.simulate.reference import Reference

MODELS = ("step", "scan", "unrolled", "step-int8")
RATE = 0.1
GAIN = 12.0
"""Of dense weights, so that the readout spikes."""
SEQUENCES = 8

Run = Callable[[torch.Tensor], torch.Tensor]


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


def inputs(steps: int, shape: tuple[int, ...]) -> torch.Tensor:
    """The sequences ``[T, B, *shape]`` that files are proven and timed on."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(steps, SEQUENCES, *shape, generator=generator) < RATE).float()


@torch.no_grad()
def write(name: str, steps: int, folder: Path) -> list[Parity]:
    """The network's files and its inputs in ``folder``, and what their proof found."""
    net, shape = prepared(NETWORKS[name])
    x = inputs(steps, shape)
    graph = from_torch(net, shape, semantics=Semantics(timesteps=steps))
    OnnxWriter(OnnxOptions(models=MODELS)).write(graph, folder, Calibration(x))
    np.save(folder / "x.npy", x.numpy())
    return prove(net, make_plan(graph), folder, x)


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


def student(name: str) -> Run:
    """The spikingjelly student, whole sequences through each layer, batch norms folded as in the files."""
    net = fuse_conv_bn_eval_modules(prepared(NETWORKS[name])[0])

    def run(x: torch.Tensor) -> torch.Tensor:
        functional.reset_net(net)
        return net(x)

    return run


def reference(name: str) -> Run:
    """Our simulator of the graph."""
    net, shape = prepared(NETWORKS[name])
    simulator = Reference(from_torch(net, shape, semantics=Semantics()))
    return lambda x: simulator.run(x).output


def compiled(name: str) -> Run:
    """The layers as plain functions of torch, whole sequences through each, compiled as one graph."""
    layers = list(_layers(fuse_conv_bn_eval_modules(prepared(NETWORKS[name])[0])))

    def run(x: torch.Tensor) -> torch.Tensor:
        steps, batch = x.shape[:2]
        y = x.flatten(0, 1)
        for part in layers:
            y = part(y) if not isinstance(part, float) else _lif(y.unflatten(0, (steps, batch)), part)
        return y.unflatten(0, (steps, batch))

    return torch.compile(run, fullgraph=True, dynamic=False)


def _layers(net: nn.Module) -> Iterator[Callable[[torch.Tensor], torch.Tensor] | float]:
    """Single-step layers in their order; a neuron is its tau."""
    for module in net.modules():
        if isinstance(module, neuron.LIFNode):
            yield float(module.tau)
        elif isinstance(module, nn.Conv2d):
            yield nn.Conv2d.forward.__get__(module)
        elif isinstance(module, nn.Linear):
            yield nn.Linear.forward.__get__(module)
        elif isinstance(module, nn.AvgPool2d):
            yield nn.AvgPool2d.forward.__get__(module)
        elif isinstance(module, nn.Flatten):
            yield nn.Flatten.forward.__get__(module)


def _lif(x: torch.Tensor, tau: float) -> torch.Tensor:
    v, spikes = torch.zeros_like(x[0]), []
    for current in x:
        h = v + (current - v) / tau
        spikes.append((h >= 1.0).float())
        v = h * (h < 1.0)
    return torch.cat(spikes)
