"""What ``distill --init`` makes of a recipe: a student that begins where another network is.

=================== ====================================================================================
of                  the recipe's
=================== ====================================================================================
a conversion        student is its network (``converted``), with the neuron that the recipe names, if it
                    names one; teacher, unless it has a checkpoint, is the ANN that it came from;
                    data of the same name have the conversion's options where the recipe states none
a run               student begins with the weights of that run's; where that student is a converted
                    network, it is that network, too; a teacher ``onnx`` without a file is that run's
=================== ====================================================================================

The recipe of the run says so in full (``student``, ``teacher``, ``init``), with the SHA-256 of every file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from snn_deploy.convert.folder import ANN, NETWORK, read_conversion
from snn_deploy.core.assets import find_asset
from snn_deploy.core.documents import parse_yaml
from snn_deploy.core.errors import ConfigError
from snn_deploy.core.places import kind_at
from snn_deploy.recipes.own_parts import Trust
from snn_deploy.recipes.recipe import Recipe, parse_recipe
from snn_deploy.recipes.run_folder import Run


def recipe_from(
    recipe: Recipe | str, source: Path, overrides: Sequence[str] = (), *, trust: Trust = False
) -> Recipe:
    """``recipe`` with a student that begins at the network in ``source``; ``overrides`` have the last word.

    Raises:
        ConfigError: faults in the recipe, or ``source`` is neither a conversion nor a run.
        DataError: what lies in ``source`` is damaged.
    """
    if isinstance(recipe, Recipe):
        content, origin, folder = recipe.to_dict(), recipe.name, Path()
    else:
        path = find_asset("distill", recipe, "recipe")
        content, origin, folder = parse_yaml(path.read_bytes(), recipe, "recipe"), recipe, path.parent
    if isinstance(content, dict):
        content |= dict(_parts(content, source.resolve()))
    return parse_recipe(content, overrides, origin=origin, folder=folder, trust=trust)


def _parts(content: Mapping[str, Any], source: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sections that are other than ``content`` has them."""
    kind = kind_at(source)
    if kind == "conversion":
        yield from _of_conversion(content, source)
    elif kind == "run":
        yield from _of_run(content, Run.open(source))
    else:
        raise ConfigError(
            f"'{source}' is a {kind}; a student begins at a conversion or at a run.",
            hint="Convert an ANN (snn-deploy convert), or name a run folder.",
        )


def _of_conversion(content: Mapping[str, Any], folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    certificate = read_conversion(folder)
    data, shown = content.get("data"), certificate.data
    if isinstance(data, dict) and shown is not None and data.get("name") == shown["name"]:
        yield "data", {**shown, **data}
    yield "student", _converted(content, str(folder / NETWORK), certificate.network_sha256)
    teacher = content.get("teacher")
    unstated = isinstance(teacher, dict) and teacher.get("checkpoint") is None
    if unstated and certificate.ann_sha256 is not None:
        yield "teacher", {"name": "onnx", "file": str(folder / ANN), "sha256": certificate.ann_sha256}


def _of_run(content: Mapping[str, Any], run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    recipe, result = run.finished()
    role, file = ("student", run.student_file)
    if recipe.target is not None:
        role, file = ("real_student", run.real_student_file)
    before = recipe.student.model_dump(mode="json")
    if before["name"] == "converted":
        yield "student", {**before, **_converted(content, before["network"], before["sha256"])}
    teacher = content.get("teacher")
    unstated = isinstance(teacher, dict) and teacher.get("name") == "onnx" and "file" not in teacher
    if unstated and recipe.teacher is not None and recipe.teacher.name == "onnx":
        yield "teacher", recipe.teacher.model_dump(mode="json", exclude_none=True)
    yield "init", {"weights": str(file), "sha256": result[role]["sha256"]}


def _converted(content: Mapping[str, Any], network: str, sha256: str) -> dict[str, Any]:
    student = content.get("student")
    neuron = student.get("neuron") if isinstance(student, dict) else None
    return {"name": "converted", "network": network, "sha256": sha256} | (
        {"neuron": neuron} if neuron else {}
    )
