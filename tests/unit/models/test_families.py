"""Students by name: deployable ones compute the same in every format; twins are the same network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import base, functional
from support.students import lively
from torch import nn

from snn_deploy.core.errors import ConfigError, UnsupportedError
from snn_deploy.core.registry import FORMATS, STUDENTS, TEACHERS
from snn_deploy.export.base import Calibration
from snn_deploy.export.nir import RESET_RULE
from snn_deploy.export.options import NirOptions, OnnxOptions
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.executable import StudentExecutable
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.simulate.onnx.runtime import OnnxRuntime
from snn_deploy.simulate.reference import Reference

SHAPE, CLASSES, STEPS = (2, 16, 16), 5, 4
SMALL: dict[str, dict[str, Any]] = {
    "vgg9": {"stages": [[4], [6, 6]], "hidden": [12]},
    "vggsnn": {"stages": [[4, 6], [8, 8]]},
    "dvs-csnn": {"stages": [[4], [4], [6]], "hidden": [12]},
    **{
        name: {"widths": [4, 6, 8], "blocks": [2, 2, 1]}
        for name in ("resnet18", "resnet34", "sew-resnet18", "sew-resnet34", "ms-resnet18", "ms-resnet34")
    },
    "resnet19": {"widths": [4, 6], "blocks": [2, 1], "hidden": [10]},
    "resnet20": {"widths": [4, 6], "blocks": [2, 2], "shortcut": "average"},
    "sew-resnet50": {"widths": [3, 4], "blocks": [2, 1], "stem": {"kernel": 7, "stride": 2, "pool": 2}},
}
TWINS = sorted(SMALL.keys() & set(TEACHERS.names()) - {"resnet20"})


def build(name: str, **options: Any) -> nn.Module:
    entry = STUDENTS.get(name)
    chosen = entry.options.model_validate({**SMALL.get(name, {}), **options})
    network: nn.Module = entry.factory(chosen, in_shape=SHAPE, classes=CLASSES, timesteps=STEPS)
    return network


def spikes() -> torch.Tensor:
    return (torch.rand(STEPS, 3, *SHAPE) < 0.4).float()


@pytest.mark.parametrize(
    "options",
    [{}, {"pooling": "stride", "readout": "spiking", "neuron": {"kind": "plif", "v_reset": None}}],
    ids=["average-linear-lif", "stride-spiking-plif-soft"],
)
@pytest.mark.parametrize("name", SMALL)
def test_every_layer_spikes_equally_in_every_format(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    _assert_equal_in_every_format(lively(build(name, **options)), tmp_path)


@pytest.mark.parametrize("name", ["vgg9", "vggsnn", "sew-resnet50"])
def test_max_pooling_over_spikes_is_the_same_in_every_format(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    student = lively(build(name, pooling="max"))
    assert any(isinstance(module, nn.MaxPool2d) for module in student.modules())
    _assert_equal_in_every_format(student, tmp_path)


def _assert_equal_in_every_format(student: nn.Module, tmp_path: Path) -> None:
    x = spikes()
    expected = StudentExecutable(student).run(x, record=True)
    graph = from_torch(student, SHAPE, semantics=Semantics(timesteps=STEPS))
    options = {
        "nir": NirOptions(allow=(RESET_RULE,)),
        "onnx": OnnxOptions(models=("step", "scan", "unrolled")),
    }
    files = {
        kind: FORMATS.get(kind).factory(chosen).write(graph, tmp_path, Calibration(x)).files
        for kind, chosen in options.items()
    }
    backends = {
        "graph": Reference(graph),
        "nir": Reference(read_nir(tmp_path / next(iter(files["nir"].values())))),
        **{role: OnnxRuntime(tmp_path / file) for role, file in files["onnx"].items()},
    }
    assert set(backends) == {"graph", "nir", "step", "scan", "unrolled"}
    layers = spiking_layers(student)
    assert len(layers) == len(set(layers)) > 2
    for backend, executable in backends.items():
        found = executable.run(x, record=True)
        for layer in layers:
            assert 0.001 < expected.records[layer].mean() < 0.999, layer
            assert torch.equal(found.records[layer], expected.records[layer]), (backend, layer)
        torch.testing.assert_close(found.output, expected.output, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*SMALL, "spikformer", "qkformer"])
def test_every_parameter_learns(name: str) -> None:
    torch.manual_seed(0)
    small = {
        "spikformer": {"depth": 1, "width": 16, "heads": 2},
        "qkformer": {"depths": [1, 1, 1], "width": 16, "heads": [1, 1, 2]},
    }
    student = build(name, **small.get(name, {}))
    logits = student(spikes())
    assert logits.shape == (STEPS, 3, CLASSES)
    (logits * torch.randn_like(logits)).sum().backward()
    idle = [path for path, p in student.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert idle == []


def rectified(module: nn.Module) -> None:
    """Put rectifiers in place of neurons."""
    for name, child in module.named_children():
        if isinstance(child, base.MemoryModule) and hasattr(child, "v_threshold"):
            setattr(module, name, nn.ReLU())
        else:
            rectified(child)


@pytest.mark.parametrize("name", TWINS)
def test_the_twin_is_the_student_with_rectifiers(name: str) -> None:
    torch.manual_seed(2)
    student = lively(build(name))
    entry = TEACHERS.get(name)
    twin = entry.factory(entry.options.model_validate(SMALL[name]), in_shape=SHAPE, classes=CLASSES).eval()
    weights = {path.replace("readout.linear", "linear"): w for path, w in student.state_dict().items()}
    biases = {path: torch.zeros_like(w) for path, w in twin.state_dict().items() if path not in weights}
    assert all(path.endswith("linear.bias") for path in biases)
    twin.load_state_dict({**weights, **biases})
    rectified(student)
    x = spikes()
    torch.testing.assert_close(student(x)[0], twin(x[0]))
    assert spiking_layers(twin) == ()


def names_and_counts() -> Iterator[tuple[str, dict[str, Any], tuple[int, int, int], int, int]]:
    """Parameters of the analogue networks as published; a student has no bias in its last layer."""
    photograph = {"stem": {"kernel": 7, "stride": 2, "pool": 2}}
    yield "resnet18", {}, (3, 32, 32), 10, 11_173_962 - 10
    yield "resnet34", {}, (3, 32, 32), 10, 21_282_122 - 10
    yield "sew-resnet18", photograph, (3, 64, 64), 1000, 11_689_512 - 1000
    yield "sew-resnet34", photograph, (3, 64, 64), 1000, 21_797_672 - 1000
    yield "sew-resnet50", photograph, (3, 64, 64), 1000, 25_557_032 - 1000


@pytest.mark.parametrize(("name", "options", "shape", "classes", "count"), list(names_and_counts()))
def test_sizes_are_the_published_ones(
    name: str, options: dict[str, Any], shape: tuple[int, int, int], classes: int, count: int
) -> None:
    entry = STUDENTS.get(name)
    with torch.device("meta"):
        student = entry.factory(
            entry.options.model_validate(options), in_shape=shape, classes=classes, timesteps=4
        )
    assert sum(parameter.numel() for parameter in student.parameters()) == count


def test_the_gesture_network_is_that_of_spikingjelly() -> None:
    from spikingjelly.activation_based import neuron
    from spikingjelly.activation_based.model.parametric_lif_net import DVSGestureNet

    theirs = DVSGestureNet(spiking_neuron=neuron.LIFNode)
    entry = STUDENTS.get("dvs-csnn")
    ours = entry.factory(entry.options(), in_shape=(2, 128, 128), classes=11, timesteps=4)

    def weights(network: nn.Module) -> list[torch.Size]:
        return [m.weight.shape for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]

    assert weights(ours)[:-1] == weights(theirs)[:-1]
    assert weights(ours)[-1] == (11, 512)
    assert weights(theirs)[-1] == (110, 512)


@pytest.mark.parametrize(
    ("name", "options", "wheres"),
    [
        ("vgg9", {"stages": [[2]] * 5}, ["stages.4"]),
        ("resnet18", {"widths": [4, 4], "blocks": [1, 1, 1]}, ["widths, blocks"]),
        ("resnet18", {"stem": {"pool": 16, "stride": 2}}, ["stem"]),
        ("resnet18", {"stem": {"stride": 6}, "shortcut": "average"}, ["shortcut"]),
        ("spikformer", {"patch": 16, "in_shape": 24}, ["student.patch"]),
        ("qkformer", {"in_shape": 24}, ["student.size"]),
    ],
)
def test_what_cannot_be_built_is_said(name: str, options: dict[str, Any], wheres: list[str]) -> None:
    side = options.pop("in_shape", 16)
    entry = STUDENTS.get(name)
    with pytest.raises(ConfigError) as refusal:
        entry.factory(entry.options.model_validate(options), in_shape=(2, side, side), classes=3, timesteps=2)
    assert [problem.where for problem in refusal.value.problems] == wheres


@pytest.mark.parametrize(
    ("name", "options", "paths"),
    [
        ("spikformer", {"depth": 2, "width": 16, "heads": 2}, {"blocks.0.attn", "blocks.1.attn"}),
        (
            "qkformer",
            {"depths": [1, 1, 1], "width": 16, "heads": [1, 1, 2]},
            {"stage1.0.attn", "stage2.0.attn", "stage3.0.attn"},
        ),
    ],
)
def test_transformers_are_refused_by_the_paths_of_their_attention(
    name: str, options: dict[str, Any], paths: set[str]
) -> None:
    with pytest.raises(UnsupportedError) as refusal:
        from_torch(build(name, **options).eval(), SHAPE, semantics=Semantics())
    attention = {p.where for p in refusal.value.problems if "attention" in p.try_instead}
    assert attention == paths


def test_a_transformer_takes_its_neurons_from_the_recipe() -> None:
    options = {"depth": 1, "width": 16, "heads": 2}
    papers, ours = build("spikformer", **options), build("spikformer", **options, neuron={"kind": "if"})
    assert spiking_layers(papers) == spiking_layers(ours)
    thresholds = {papers.get_submodule(path).v_threshold for path in spiking_layers(papers)}
    assert thresholds == {0.5, 1.0}
    assert {ours.get_submodule(path).v_threshold for path in spiking_layers(ours)} == {1.0}


def test_qkformer_gives_the_mean_of_its_steps_as_spikingjelly_does() -> None:
    from spikingjelly.activation_based.model.qkformer import QKFormer

    torch.manual_seed(0)
    ours = build("qkformer", depths=[1, 1, 1], width=16, heads=[1, 1, 2]).eval()
    theirs = QKFormer(
        T=STEPS, in_channels=2, num_classes=CLASSES, embed_dims=16, num_heads=(1, 1, 2), depths=(1, 1, 1)
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    x = spikes()
    torch.testing.assert_close(ours(x).mean(0), theirs(x))
    functional.reset_net(ours)
