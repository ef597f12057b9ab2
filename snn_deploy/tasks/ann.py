"""Open an ANN that is to be converted: of a run, an ``.onnx`` file, ``FILE.py:NAME``, or a torch module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.from_module import from_module
from snn_deploy.convert.from_onnx import from_onnx
from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.places import kind_at
from snn_deploy.models.load import build_teacher, load_weights
from snn_deploy.models.own import weights_digest
from snn_deploy.recipes.own_code import OwnCode
from snn_deploy.recipes.recipe import Recipe
from snn_deploy.recipes.run_folder import Run
from snn_deploy.tasks.images import Images, Wanted, load_images
from snn_deploy.tasks.open_module import build_module, put_stated_weights
from snn_deploy.tasks.own import Own


@dataclass(frozen=True, slots=True)
class OpenedAnn:
    """An ANN, the images it is for, and where both come from."""

    ann: Ann
    images: Images
    provenance: dict[str, Any]


def open_ann(source: nn.Module | Path, own: Own, wanted: Wanted) -> OpenedAnn:
    """Open ``source`` and its data.

    Args:
        source: a torch module, ``FILE.py:NAME``, an ``.onnx`` file, or a run, whose teacher is meant.
        own: weights and arguments of a module.
        wanted: which images.

    Raises:
        ConfigError, DataError, UnsupportedError: see the readers.
    """
    if isinstance(source, nn.Module):
        return _of_module(source, type(source).__name__, {}, own, load_images(None, wanted))
    if source.suffix == ".onnx":
        own.require_nothing(source)
        ann = from_onnx(source)
        images = load_images(None, wanted)
        return _checked(ann, images, {"file": source.name, "sha256": sha256_file(source)})
    kind = kind_at(source)
    if kind == "module":
        images = load_images(None, wanted)
        code = OwnCode.of(source)
        facts = replace(own, shape=own.shape or images.shape, classes=own.classes or images.classes)
        module = build_module(code, facts, images.labels_to)
        told = {"file": code.file.name, "name": code.name, "sha256": code.sha256}
        return _of_module(module, code.name, {"code": told}, own, images)
    if kind != "run":
        raise ConfigError(
            f"'{source}' is a {kind}, which is a spiking network already.",
            hint="An ANN is a run (its teacher), an .onnx file, or FILE.py:NAME with --weights.",
        )
    own.require_nothing(source)
    return _of_run(Run.open(source), own.trust, wanted)


def _of_module(module: nn.Module, name: str, told: dict[str, Any], own: Own, images: Images) -> OpenedAnn:
    told = {**told, **put_stated_weights(module, own)}
    ann = from_module(module, images.shape, name)
    return _checked(ann, images, {**told, "sha256": weights_digest(module)})


def _of_run(run: Run, trust: bool, wanted: Wanted) -> OpenedAnn:
    """The teacher of a run."""
    recipe: Recipe = run.recipe(trust=trust)
    if not run.teacher_file.is_file():
        raise DataError(
            f"The run '{run.path}' has no teacher: there is no {run.teacher_file.name}.",
            hint="Convert the teacher of a recipe that has one, or give the ANN itself.",
        )
    images = load_images(recipe, wanted)
    teacher = build_teacher(recipe, images.whole_shape, len(images.classes))
    load_weights(teacher, run.teacher_file, ours=True)
    assert recipe.teacher is not None
    name = f"{recipe.name}-{recipe.teacher.name.rpartition('/')[2].replace(':', '-')}"
    ann = from_module(teacher, images.shape, name)
    told = {"run": recipe.name, "recipe_digest": recipe.digest(), "sha256": sha256_file(run.teacher_file)}
    return _checked(ann, images, told)


def _checked(ann: Ann, images: Images, provenance: dict[str, Any]) -> OpenedAnn:
    expected = ann.shapes[ann.input]
    if images.shape != expected:
        raise ConfigError(f"'{ann.name}' takes images of shape {expected}; the data have {images.shape}.")
    outputs = ann.shapes[ann.output]
    if len(outputs) != 1 or images.labels_to > outputs[0]:
        raise ConfigError(f"'{ann.name}' gives {outputs} scores; the data have {images.labels_to} classes.")
    return OpenedAnn(ann, images, provenance)
