from __future__ import annotations

from pathlib import Path

import pytest
import safetensors.torch
import torch
from support.toy import CLASSES, SHAPE, toy_recipe

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.models.load import build_student, build_teacher, load_student, load_weights, save_weights


def test_a_student_survives_the_file(tmp_path: Path) -> None:
    recipe = toy_recipe()
    student = build_student(recipe, SHAPE, CLASSES)
    student(torch.rand(3, 8, *SHAPE))  # batch norm statistics move off their initial values
    path = tmp_path / "student.safetensors"
    save_weights(student.state_dict(), path)
    loaded = load_student(path, recipe, SHAPE, CLASSES)
    assert not loaded.training
    for name, tensor in student.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name


def test_building_is_seeded() -> None:
    first, second = (
        (torch.manual_seed(5), build_student(toy_recipe(), SHAPE, CLASSES).state_dict())[1] for _ in range(2)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_teacher_sees_single_images() -> None:
    teacher = build_teacher(toy_recipe(), SHAPE, CLASSES)
    assert teacher(torch.rand(5, *SHAPE)).shape == (5, CLASSES)
    with pytest.raises(ConfigError, match="has no teacher"):
        build_teacher(toy_recipe("teacher=null", "method.name=none"), SHAPE, CLASSES)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    recipe, path = toy_recipe(), tmp_path / "student.safetensors"
    with pytest.raises(DataError, match="no weights file"):
        load_student(path, recipe, SHAPE, CLASSES)
    save_weights(build_student(recipe, SHAPE, CLASSES).state_dict(), path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:100], whole[:-5], b"\xff" * 8 + whole[8:]):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match="not a readable safetensors file"):
            load_student(path, recipe, SHAPE, CLASSES)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="not a readable safetensors file"):
        load_student(path, recipe, SHAPE, CLASSES)


def test_weights_of_another_network_list_every_fault(tmp_path: Path) -> None:
    student = build_student(toy_recipe(), SHAPE, CLASSES)
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    weights = dict(before)
    del weights["block1.norm.weight"]
    weights["block9.conv.weight"] = torch.zeros(1)
    weights["readout.linear.weight"] = torch.zeros(CLASSES, 7)
    weights["block1.norm.bias"] = torch.zeros(4, dtype=torch.int64)
    weights["block1.norm.running_var"] = torch.full((4,), float("inf"))
    path = tmp_path / "other.safetensors"
    path.write_bytes(safetensors.torch.save(weights))
    with pytest.raises(DataError) as failure:
        load_weights(student, path)
    assert [(p.where, p.what) for p in failure.value.problems] == [
        ("block1.norm.bias", "is torch.int64"),
        ("block1.norm.running_var", "holds values that are not finite"),
        ("block1.norm.weight", "missing in the file"),
        ("block9.conv.weight", "not part of the network"),
        ("readout.linear.weight", "has shape (3, 7)"),
    ]
    assert all(torch.equal(student.state_dict()[name], tensor) for name, tensor in before.items())
