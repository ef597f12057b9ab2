"""Build networks from recipes; write and read their weights as safetensors.

Weights files of ours carry, in their metadata, the SHA-256 of the same file without metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from snn_deploy.core.damage import reading
from snn_deploy.core.errors import ConfigError, DataError, Problem
from snn_deploy.core.files import write_bytes
from snn_deploy.core.registry import STUDENTS, TEACHERS
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.chip import convert
from snn_deploy.models.chip_draft import draft
from snn_deploy.recipes.kept_files import kept_file
from snn_deploy.recipes.recipe import Recipe

Shape = tuple[int, int, int]

_COUNTER = ".num_batches_tracked"
_DIGEST = "sha256"


def build_student(recipe: Recipe, in_shape: Shape, classes: int) -> nn.Module:
    """A new student of ``recipe``, ``[T, B, *in_shape] -> [T, B, classes]``, drawn from torch's generator."""
    options = recipe.student.resolve(STUDENTS)
    factory = STUDENTS.get(recipe.student.name).factory
    student: nn.Module = factory(options, in_shape=in_shape, classes=classes, timesteps=recipe.timesteps)
    return student


def begin(student: nn.Module, recipe: Recipe) -> None:
    """Put the weights that ``recipe`` begins with, if any, into its new ``student``.

    Raises:
        DataError: they are missing, damaged, or of another network.
    """
    if recipe.init is None:
        return
    try:
        load_weights(student, kept_file(recipe.init.weights, recipe.init.sha256))
    except DataError as error:
        way = "Use the student section of the recipe that made them, or leave --init out."
        raise DataError(
            f"The student cannot begin with '{recipe.init.weights}'. {error.message}",
            problems=error.problems,
            hint=way if error.problems else error.hint,
        ) from None


def build_teacher(recipe: Recipe, in_shape: Shape, classes: int) -> nn.Module:
    """A new teacher of ``recipe``: ``[B, *in_shape] -> [B, classes]``, drawn from torch's generator.

    Raises:
        ConfigError: the recipe has no teacher.
    """
    if recipe.teacher is None:
        raise ConfigError(f"The recipe '{recipe.name}' has no teacher.")
    options = recipe.teacher.resolve(TEACHERS)
    teacher: nn.Module = TEACHERS.get(recipe.teacher.name).factory(
        options, in_shape=in_shape, classes=classes
    )
    return teacher


def load_student(path: Path, recipe: Recipe, in_shape: Shape, classes: int) -> nn.Module:
    """The trained student of ``recipe`` with the weights in ``path``, in eval mode; in the form of the chip
    when the recipe has a target.

    Raises:
        DataError: the file is missing, damaged, or of another network.
    """
    student = build_student(recipe, in_shape, classes)
    if recipe.target is not None:
        convert(student, draft(student, in_shape, Semantics()).plan, recipe.target.bits)
    load_weights(student, path)
    return student.eval()


def save_weights(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a state dict to ``path`` as safetensors with its digest, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_bytes(path, safetensors.torch.save(tensors, {_DIGEST: _digest(tensors)}))


def load_weights(network: nn.Module, path: Path, *, ours: bool = False) -> None:
    """Put the weights in ``path`` (safetensors) into ``network``; names, shapes and kinds must all agree.

    Only batch norm's counters of batches may be absent, as they are in many public files: they decide nothing
    with the fixed momentum that our networks have. ``ours``: the file must have our digest.

    Raises:
        DataError: the file is missing, damaged, or of another network; every fault is listed.
    """
    with reading(path, "weights file"):
        try:
            with safetensors.safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            weights = safetensors.torch.load_file(path)
        except FileNotFoundError:
            raise
        except (safetensors.SafetensorError, OSError) as error:
            raise DataError(f"'{path}' is not a readable safetensors file: {error}") from None
        if (ours or _DIGEST in metadata) and metadata.get(_DIGEST) != _digest(weights):
            raise DataError(
                f"The weights file '{path}' is damaged: its tensors do not have the SHA-256 in its metadata."
            )
    own = network.state_dict()
    weights = {**{name: own[name] for name in own if name.endswith(_COUNTER)}, **weights}
    if problems := _mismatches(own, weights):
        raise DataError(
            f"The weights in '{path}' do not fit the network.",
            hint="They were made with other options; use the recipe that made them.",
            problems=problems,
        )
    network.load_state_dict(weights)


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    return hashlib.sha256(safetensors.torch.save(dict(tensors))).hexdigest()


def _mismatches(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> list[Problem]:
    problems = [Problem(name, "missing in the file") for name in wanted if name not in given]
    problems += [Problem(name, "not part of the network") for name in given if name not in wanted]
    for name in wanted.keys() & given.keys():
        tensor, like = given[name], wanted[name]
        if tensor.shape != like.shape:
            problems.append(
                Problem(name, f"has shape {tuple(tensor.shape)}", f"the network's is {tuple(like.shape)}")
            )
        elif tensor.is_floating_point() != like.is_floating_point():
            problems.append(Problem(name, f"is {tensor.dtype}", f"the network's is {like.dtype}"))
        elif not bool(torch.isfinite(tensor).all()):
            problems.append(Problem(name, "holds values that are not finite"))
    return sorted(problems, key=lambda problem: problem.where)
