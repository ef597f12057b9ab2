"""Open whatever a command is pointed at - a run, a file, a bundle or a module - as one thing: a network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nir
import numpy as np

from snn_deploy.convert.folder import NETWORK, read_conversion
from snn_deploy.core import damage
from snn_deploy.core.errors import ConfigError, DataError, UnsupportedError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.places import kind_at
from snn_deploy.data.types import DataSet
from snn_deploy.export.manifest import read_manifest
from snn_deploy.export.seal import strangers
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.readers.reading import NOTHING_STATED
from snn_deploy.graph.semantics import Decode, Semantics, write_semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.graph.trained_form import write_trained_form
from snn_deploy.graph.types import Plan
from snn_deploy.recipes.own_parts import settle
from snn_deploy.recipes.recipe import Component, Recipe
from snn_deploy.recipes.run_documents import Result
from snn_deploy.recipes.run_folder import Run
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.own import NOTHING_OWN, Own
from snn_deploy.tasks.reading import read_proven
from snn_deploy.tasks.source import Source

if TYPE_CHECKING:
    from torch import nn

GRAPH_OF_NET = (
    "The graph of a .net file has its synapses and thresholds in real numbers: no rounding toward zero, no "
    "24-bit limits, no delay per layer."
)


def open_source(
    source: Path | nn.Module,
    reading: Reading = NOTHING_STATED,
    own: Own = NOTHING_OWN,
    data: DataSet | str | None = None,
) -> Source:
    """Open a run folder, a converted network, a ``.nir`` or ``.net`` file, a bundle folder, ``FILE.py:NAME``,
    or a torch module.

    ``reading`` states what a ``.nir`` file leaves open about discrete time; ``own`` and ``data`` (as of
    :func:`snn_deploy.tasks.samples.load_samples`) what a module leaves open.

    Raises:
        DataError: nothing that can be opened lies there.
        ConfigError: ``reading`` contradicts what the file states, or what is stated is not of that kind.
    """
    kind = kind_at(source) if isinstance(source, Path) else "module"
    if kind == "module":
        if reading.given():
            raise ConfigError(f"A module states its {', '.join(reading.given())} itself.")
        from snn_deploy.tasks.open_module import open_module

        return open_module(source, own, data)
    assert isinstance(source, Path)
    own.require_nothing(source)
    if kind == "nir":
        return _open_nir(source, reading)
    if reading.given():
        given = ", ".join(reading.given())
        raise ConfigError(
            f"Only a .nir file can be told its {given}; '{source}' states its own discrete time."
        )
    if kind == "net":
        return _open_net(source)
    if kind == "conversion":
        return _open_conversion(source)
    if kind == "bundle":
        return _open_bundle(source, trust=own.trust)
    return _open_run(Run.open(source), trust=own.trust)


def _open_run(run: Run, *, trust: bool) -> Source:
    """The student of a run. What builds it belongs to the training wing, which files do not need."""
    from snn_deploy.graph.readers.from_torch import from_torch
    from snn_deploy.models.chip import as_real, trained_form
    from snn_deploy.models.executable import StudentExecutable
    from snn_deploy.models.load import load_student

    recipe, result = run.finished(trust=trust)
    shape = tuple(result["data"]["shape"])
    classes = tuple(result["data"]["classes"])
    student = load_student(run.student_file, recipe, shape, len(classes))
    semantics = Semantics(timesteps=recipe.timesteps, classes=classes)
    network = student if recipe.target is None else as_real(student)
    plan = make_plan(from_torch(network, shape, semantics=semantics))
    if recipe.target is not None:
        write_trained_form(plan.graph, trained_form(student, plan, recipe.target.name))
    provenance = {
        "recipe": recipe.to_dict(),
        "recipe_digest": recipe.digest(),
        "student_sha256": sha256_file(run.student_file),
        "result": result,
    }
    return Source(
        name=recipe.name,
        kind="run",
        path=run.path,
        plan=plan,
        executable=StudentExecutable(network),
        student=None if recipe.target is None else StudentExecutable(student),
        recipe=recipe,
        provenance=provenance,
    )


def _open_conversion(path: Path) -> Source:
    certificate = read_conversion(path)
    plan = make_plan(read_nir(path / NETWORK))
    provenance: dict[str, Any] = {
        "certificate": certificate.model_dump(mode="json"),
        "sha256": certificate.network_sha256,
        "assumed": [*certificate.lost, *certificate.notes],
    }
    return Source(
        name=certificate.name,
        kind="conversion",
        path=path,
        plan=plan,
        executable=Reference(plan),
        shown=_shown(provenance["certificate"]),
        provenance=provenance,
    )


def _shown(certificate: Mapping[str, Any]) -> Component | None:
    """The data set that a certificate names."""
    data = certificate.get("data")
    return None if data is None else Component.model_validate(data)


def _open_nir(path: Path, reading: Reading) -> Source:
    plan, notes, proven, proof = read_proven(path, reading)
    provenance = {"file": path.name, "sha256": sha256_file(path), "assumed": notes, "reading": proven}
    return Source(path.stem, "nir", path, plan, Reference(plan), provenance=provenance, proof=proof)


def _open_net(path: Path) -> Source:
    net = read_net(path)
    refusal = None
    try:
        plan = make_plan(FromLava()(net))
    except UnsupportedError as error:
        plan, refusal = _ends(net), error
    provenance = {"file": path.name, "sha256": sha256_file(path), "assumed": [GRAPH_OF_NET]}
    return Source(path.stem, "net", path, plan, Loihi(net), provenance=provenance, refusal=refusal)


def _ends(net: LavaNet) -> Plan:
    """Input and output of a network without a graph, for whoever loads samples."""
    ends = nir.Input({"input": np.array(net.input_shape)}), nir.Output({"output": np.array(net.input_shape)})
    edge = (net.input_name, "output")
    graph = nir.NIRGraph(dict(zip(edge, ends, strict=True)), [edge], metadata={}, type_check=False)
    decode: Decode = "last" if net.decode == "last" else "mean"
    write_semantics(graph, Semantics(timesteps=net.timesteps, decode=decode, classes=net.classes))
    return make_plan(graph)


def _open_bundle(path: Path, *, trust: bool) -> Source:
    manifest = read_manifest(path)
    file = manifest.get("hub") or manifest["formats"].get("nir", {}).get("files", {}).get("model")
    if file is None:
        raise DataError(
            f"The bundle '{path}' holds no NIR file, which is needed to open it.",
            hint="Export again with --to nir,... included.",
        )
    plan = make_plan(read_nir(path / Path(file).name))
    provenance = dict(manifest["provenance"])
    recipe = _recipe_of(path / "manifest.json", provenance, trust=trust)
    return Source(
        name=manifest["name"],
        kind="bundle",
        path=path,
        plan=plan,
        executable=Reference(plan),
        recipe=recipe,
        shown=_shown(provenance.get("certificate") or {}),
        provenance=provenance,
        manifest=manifest,
        extra=tuple(strangers(path, manifest["sha256"])),
    )


def _recipe_of(file: Path, provenance: Mapping[str, Any], *, trust: bool) -> Recipe | None:
    """The recipe of the run that a bundle was made from; its figures are checked, too. Code that it names and
    that is not there, or not trusted, is refused where it is used."""
    if "recipe" not in provenance:
        return None
    with damage.reading(file, "manifest of the bundle"):
        list(settle(provenance["recipe"], Path(), trust=trust))
        recipe = Recipe.model_validate(provenance["recipe"])
        if recipe.digest() != provenance["recipe_digest"]:
            raise ValueError("its recipe is not the one that was trained.")
        Result.model_validate_json(json.dumps(provenance["result"]))
        damage.require_sealed(provenance["result"], file, "result in the manifest")
        return recipe
