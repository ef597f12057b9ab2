"""What training says a network costs is what the exact counter finds in the exported graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer
from support.methods import toy_setting
from support.students import IN_SHAPE, NEURONS, spikes_in, student
from support.toy import CLASSES, SHAPE, toy_data
from torch import nn

from snn_deploy.core.registry import STUDENTS
from snn_deploy.data.loading.arrays import ArraySplit
from snn_deploy.distill.activity import ActivityMeter, active
from snn_deploy.distill.evaluate import Scores, evaluate
from snn_deploy.distill.interrupt import StopRequest
from snn_deploy.distill.methods.combined import build_method
from snn_deploy.distill.objective import DistillObjective, LabelObjective, Objective
from snn_deploy.distill.trainer import Phase, fit
from snn_deploy.energy.count import count
from snn_deploy.energy.counts import Counts
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.neurons import make_neuron
from snn_deploy.models.options import NeuronOptions
from snn_deploy.recipes.recipe import MethodSpec, TrainSpec
from snn_deploy.simulate.reference import Reference

CPU = torch.device("cpu")


def exact(network: nn.Module, x: torch.Tensor) -> Counts:
    """Counts of the exported graph on the same samples."""
    semantics = Semantics(dt=1e-3, timesteps=len(x))
    simulated = Reference(from_torch(network.eval(), tuple(x.shape[2:]), semantics=semantics))
    return count(simulated.plan, simulated.run(x, record="all"))


def measured(network: nn.Module, x: torch.Tensor, batch_size: int = 2) -> Scores:
    def predict(batch: torch.Tensor) -> torch.Tensor:
        functional.reset_net(network)
        return network(batch).mean(0)

    frames = x.transpose(0, 1).to(torch.uint8)
    split = ArraySplit(frames, torch.arange(x.shape[1]), torch.zeros(x.shape[1], dtype=torch.int64))
    return evaluate(network, predict, split, device=CPU, batch_size=batch_size)


def agrees(scores: Scores, counts: Counts) -> None:
    assert scores.sops == int(counts.sops().sum()) / counts.samples > 0
    neurons = [found for found in counts.neurons if found.spiking]
    places = counts.timesteps * counts.samples
    assert scores.rates == {n.name: int(n.spikes.sum()) / (n.size * places) for n in neurons}
    assert scores.rate == int(counts.spikes().sum()) / (sum(n.size for n in neurons) * places)


@pytest.mark.parametrize("kind", sorted(NEURONS))
def test_every_neuron_costs_what_its_graph_costs(kind: str) -> None:
    network = student(NEURONS[kind], norm=True)
    torch.manual_seed(0)
    x = spikes_in(5, 3, shape=IN_SHAPE)
    agrees(measured(network, x), exact(network, x))


FAMILIES: dict[str, dict[str, Any]] = {
    "vgg9": {"stages": [[4], [6, 6]], "hidden": [12]},
    "resnet20": {"widths": [4, 6], "blocks": [2, 2], "shortcut": "average"},
    "sew-resnet18": {"widths": [4, 6], "blocks": [2, 1]},
    "ms-resnet18": {"widths": [4, 6], "blocks": [2, 1], "stem": {"stride": 2}},
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("readout", ["spiking", "linear"])
def test_every_family_costs_what_its_graph_costs(name: str, readout: str) -> None:
    entry = STUDENTS.get(name)
    options = entry.options.model_validate(
        {**FAMILIES[name], "readout": readout, "neuron": {"v_threshold": 0.1}}
    )
    torch.manual_seed(0)
    network = entry.factory(options, in_shape=IN_SHAPE, classes=5, timesteps=4)
    x = spikes_in(4, 3, shape=IN_SHAPE)
    agrees(measured(network, x), exact(network, x))


def reached(module: nn.Module, x: torch.Tensor, axes: int) -> int:
    """Targets of every non-zero element of ``x``, found by sending in one element at a time."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(1.0)
        if getattr(module, "bias", None) is not None:
            module.bias.zero_()
        total = 0
        for place in (x != 0).nonzero().tolist():
            alone = torch.zeros(1, *x.shape[-axes:])
            alone[(0, *place[-axes:])] = 1.0
            total += int(torch.count_nonzero(module(alone)))
    return total


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["linear", "conv1", "conv2", "conv3", "transposed1", "transposed2"]),
    groups=st.sampled_from([1, 2]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
    seed=st.integers(0, 2**16),
)
def test_every_weighted_module_is_counted_by_its_connections(
    kind: str, groups: int, kernel: int, stride: int, padding: int, dilation: int, seed: int
) -> None:
    torch.manual_seed(seed)
    dims = 0 if kind == "linear" else int(kind[-1])
    shape = (2, *[5] * dims)
    if dims == 0:
        module: nn.Module = nn.Linear(2, 3)
    elif kind.startswith("conv"):
        made = getattr(nn, f"Conv{dims}d")
        module = made(2, 4, kernel, stride, padding, dilation, groups)
    else:
        made = getattr(nn, f"ConvTranspose{dims}d")
        module = made(2, 4, kernel, stride, min(padding, (kernel - 1) * dilation), 0, groups, True, dilation)
    x = torch.randn(3, *shape) * (torch.rand(3, *shape) < 0.3)
    network = nn.Sequential(module, make_neuron(NeuronOptions()))
    with torch.inference_mode(), ActivityMeter(network) as meter:
        network(x)
    assert meter.sops == reached(module, x, len(shape))


def test_a_module_that_runs_twice_counts_twice_and_neither_weights_nor_hooks_change() -> None:
    linear = layer.Linear(4, 3, step_mode="m")
    network = nn.Sequential(linear, make_neuron(NeuronOptions()))
    before = linear.weight.detach().clone()
    x = torch.tensor([[[1.0, 0, -2, 0]]])
    with torch.inference_mode(), ActivityMeter(network) as meter:
        network(x)
        network(x)
    assert meter.sops == 2 * 2 * 3
    with torch.inference_mode():
        network(x)
    assert meter.sops == 12
    assert torch.equal(linear.weight, before)
    assert not linear._forward_pre_hooks and not network[1]._forward_hooks


def test_an_analogue_network_has_no_synaptic_operations() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    with torch.inference_mode(), ActivityMeter(network) as meter:
        network(torch.ones(2, *SHAPE))
    assert (meter.sops, meter.rate, meter.rates) == (None, None, {})


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(0, 700), size=st.sampled_from([(1,), (512,), (4, 9, 16)]), seed=st.integers(0, 2**16))
def test_elements_are_counted_in_blocks_as_at_once(rows: int, size: tuple[int, ...], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(-1, 2, (rows, *size), generator=generator).float()
    assert torch.equal(active(x, len(size)), torch.count_nonzero(x, 0))


def train(folder: Path, objective: Objective) -> list[dict[str, Any]]:
    """Epoch records of a short training on the toy data."""
    data = toy_data()
    spec = TrainSpec(epochs=2, batch_size=16, lr=0.01)
    fit(
        objective,
        data,
        spec,
        Phase("student", folder, "toy", 0),
        train={3: data.train},
        device=CPU,
        stop=StopRequest(),
        report=lambda event: None,
    )
    records = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [record for record in records if record["kind"] == "epoch"]


@pytest.mark.parametrize("method", ["none", "tser", "bkd"])
def test_every_epoch_writes_what_the_student_costs(method: str, tmp_path: Path) -> None:
    setting = toy_setting()
    options = {"student_tap": "block1.neuron", "teacher_tap": "block1.relu"} if method == "bkd" else {}
    built = build_method([MethodSpec.model_validate({"name": method, **options})], setting)
    records = train(tmp_path, DistillObjective(setting.student, setting.teacher, built, 3))
    validation = toy_data().validation
    counts = exact(setting.student, validation.batch(torch.arange(len(validation))))
    assert records[-1]["sops_per_sample"] == int(counts.sops().sum()) / len(validation)
    assert records[-1]["firing_rate"] == int(counts.spikes().sum()) / (
        sum(n.size for n in counts.neurons) * 3 * len(validation)
    )
    assert records[0]["sops_per_sample"] != records[1]["sops_per_sample"]


def test_a_teacher_writes_none(tmp_path: Path) -> None:
    records = train(tmp_path, LabelObjective(nn.Sequential(nn.Flatten(), nn.Linear(72, CLASSES)), 3, 0.0))
    assert len(records) == 2
    assert not any({"firing_rate", "sops_per_sample"} & record.keys() for record in records)
