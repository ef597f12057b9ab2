"""Teachers in public layouts, and those of other packages."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from support.data import real_data
from torch import nn

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError
from snn_deploy.core.registry import DATASETS, TEACHERS
from snn_deploy.models.load import load_weights, save_weights
from snn_deploy.models.public_resnet import PaddedShortcut


def teacher(name: str, shape: tuple[int, int, int] = (3, 32, 32), classes: int = 10, **options) -> nn.Module:
    entry = TEACHERS.get(name)
    network: nn.Module = entry.factory(entry.options.model_validate(options), in_shape=shape, classes=classes)
    return network


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("resnet20", 10, 269_722),
        ("resnet56", 10, 853_018),
        ("imagenet-resnet18", 1000, 11_689_512),
        ("imagenet-resnet34", 1000, 21_797_672),
        ("imagenet-resnet50", 1000, 25_557_032),
    ],
)
def test_sizes_are_the_published_ones(name: str, classes: int, count: int) -> None:
    with torch.device("meta"):
        network = teacher(name, classes=classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_a_small_teacher_pools_blocks_and_keeps_a_grid_of_averages() -> None:
    network = teacher(
        "cnn", (2, 16, 16), blocks=[{"channels": 4, "pool": 2}, {"channels": 6, "stride": 2}], grid=2
    )
    x = torch.randn(3, 2, 16, 16)
    features = network.eval()[:2](x)
    assert features.shape == (3, 6, 4, 4)
    grid = features.reshape(3, 6, 2, 2, 2, 2).mean((3, 5))
    torch.testing.assert_close(network(x), network.linear(grid.flatten(1)))


def test_the_photograph_layout_has_the_public_names() -> None:
    with torch.device("meta"):
        names = set(teacher("imagenet-resnet50").state_dict())
    norm = {"weight", "bias", "running_mean", "running_var", "num_batches_tracked"}
    assert {name for name in names if name.startswith(("layer2.0", "layer2.1"))} == {
        *(f"layer2.{i}.conv{n}.weight" for i in (0, 1) for n in (1, 2, 3)),
        *(f"layer2.{i}.bn{n}.{part}" for i in (0, 1) for n in (1, 2, 3) for part in norm),
        "layer2.0.downsample.0.weight",
        *(f"layer2.0.downsample.1.{part}" for part in norm),
    }
    assert {name for name in names if not name.startswith("layer")} == {
        "conv1.weight", *(f"bn1.{part}" for part in norm), "fc.weight", "fc.bias",
    }  # fmt: skip


def test_a_shortcut_without_weights_pads_channels_with_zeros() -> None:
    x = torch.arange(18.0).reshape(1, 2, 3, 3)
    y = PaddedShortcut(2, 4)(x)
    assert y[0, 1].tolist() == [[0, 2], [6, 8]]
    assert y[0, 2].tolist() == [[9, 11], [15, 17]]
    assert y.shape == (1, 4, 2, 2)
    assert not y[0, [0, 3]].any()


@pytest.mark.parametrize(("name", "correct"), [("resnet20", 915), ("resnet56", 926)])
def test_public_weights_score_as_measured(name: str, correct: int) -> None:
    """91.5 and 92.6 % of the first 1,000 test images; they were trained with ImageNet's statistics."""
    weights = real_data("cifar10-teachers") / f"{name}.safetensors"
    entry = DATASETS.get("cifar10")
    options = {"root": real_data("cifar-10-batches-py"), "verify": False, "normalize": "imagenet"}
    test = entry.factory(entry.options.model_validate(options), timesteps=1).test
    if len(test) < 1000:
        pytest.skip("fewer than 1,000 test images are here")
    network = teacher(name).eval()
    load_weights(network, weights)
    found = 0
    with torch.inference_mode():
        for rows in torch.arange(1000).split(100):
            found += int((network(test.batch(rows)[0]).argmax(1) == test.labels[rows]).sum())
    # Another order of summation may move an image that lies on a boundary.
    assert abs(found - correct) <= 1


def test_only_counters_of_batches_may_be_absent(tmp_path: Path) -> None:
    network = teacher("resnet20")
    weights = {n: w + 1 for n, w in network.state_dict().items() if not n.endswith("num_batches_tracked")}
    save_weights(weights, tmp_path / "public.safetensors")
    load_weights(network, tmp_path / "public.safetensors")
    assert all(torch.equal(network.state_dict()[name], tensor) for name, tensor in weights.items())
    del weights["bn1.running_mean"]
    save_weights(weights, tmp_path / "less.safetensors")
    with pytest.raises(DataError) as failure:
        load_weights(network, tmp_path / "less.safetensors")
    assert [problem.where for problem in failure.value.problems] == ["bn1.running_mean"]


def fake(monkeypatch: pytest.MonkeyPatch, package: str, create: str) -> list[tuple[str, dict[str, object]]]:
    """A package whose ``create`` returns a small network; what it was asked for."""
    asked: list[tuple[str, dict[str, object]]] = []

    def make(model: str, **settings: object) -> nn.Module:
        if model == "unheard-of":
            raise ValueError("no such model")
        asked.append((model, settings))
        return nn.Sequential(nn.AdaptiveMaxPool2d(2), nn.Flatten())

    module = ModuleType(package)
    setattr(module, create, make)
    monkeypatch.setitem(sys.modules, package.partition(".")[0], ModuleType("root"))
    monkeypatch.setitem(sys.modules, package, module)
    return asked


def test_a_network_of_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake(monkeypatch, "timm", "create_model")
    network = teacher("timm", (2, 8, 8), model="vit_small_patch16_224", size=16)
    assert asked == [("vit_small_patch16_224", {"pretrained": False, "num_classes": 10, "in_chans": 2})]
    sizes: list[torch.Size] = []
    network[0].register_forward_pre_hook(lambda _module, inputs: sizes.append(inputs[0].shape))
    network(torch.rand(3, 2, 8, 8))
    assert sizes == [(3, 2, 16, 16)]
    assert not network.state_dict()
    with pytest.raises(ConfigError, match="'unheard-of' cannot be built: no such model"):
        teacher("timm", model="unheard-of")


def test_a_network_of_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake(monkeypatch, "torchvision.models", "get_model")
    teacher("torchvision", model="resnet18", classes=7)
    assert asked == [("resnet18", {"weights": None, "num_classes": 7})]
    with pytest.raises(ConfigError, match="3 channels, these data have 2"):
        teacher("torchvision", (2, 8, 8), model="resnet18")


@pytest.mark.parametrize(("name", "module"), [("timm", "timm"), ("torchvision", "torchvision.models")])
def test_a_package_that_cannot_be_imported_is_named(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingOptionalError, match=f"needs the package {name}") as failure:
        teacher(name, model="resnet18")
    assert "another teacher" in (failure.value.hint or "")


def test_a_torchvision_for_another_torch_is_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_name: str) -> ModuleType:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("snn_deploy.models.foreign.importlib.import_module", broken)
    with pytest.raises(MissingOptionalError, match="nms does not exist"):
        teacher("torchvision", model="resnet18")
