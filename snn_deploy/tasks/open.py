"""Open whatever a command is pointed at - a run, a NIR file or a bundle - as one thing: a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np

from snn_deploy.core import damage
from snn_deploy.core.errors import ConfigError, DataError, UnsupportedError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.places import Kind, kind_at
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet
from snn_deploy.export.base import Calibration
from snn_deploy.export.manifest import Network, read_manifest
from snn_deploy.export.parity import Parity
from snn_deploy.export.seal import strangers
from snn_deploy.export.verify import Samples
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.pace import slow_warnings, step_warnings
from snn_deploy.graph.passes.to_chip.from_lava import FromLava
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.readers.reading import NOTHING_STATED
from snn_deploy.graph.semantics import Decode, Semantics, read_semantics, write_semantics
from snn_deploy.graph.timing import Reading
from snn_deploy.graph.trained_form import write_trained_form
from snn_deploy.graph.types import Plan
from snn_deploy.recipes.recipe import Component, Recipe
from snn_deploy.recipes.run_documents import Result
from snn_deploy.recipes.run_folder import Run
from snn_deploy.simulate.base import Executable
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks.data_options import chosen_data
from snn_deploy.tasks.reading import read_proven
from snn_deploy.tasks.samples import CALIBRATION_SAMPLES, LoadedSamples, read_samples

GRAPH_OF_NET = (
    "The graph of a .net file has its synapses and thresholds in real numbers: no rounding toward zero, no "
    "24-bit limits, no delay per layer."
)


@dataclass(frozen=True, slots=True)
class Source:
    """An opened network.

    Attributes:
        name: for titles and file names.
        kind: what it was opened from.
        path: where from.
        plan: the hub graph, ready to execute; only input and output where a ``.net`` file has none.
        executable: what judges: the student itself for a run, our fixed-point simulator for a ``.net`` file,
            else the reference simulator.
        student: of a run that was trained under a chip's rules: the student in the chip's arithmetic. Then
            the plan, and ``executable``, are the same network in real numbers.
        recipe: the recipe of a run, and of a bundle made from one.
        provenance: goes into manifests and reports.
        manifest: of a bundle.
        refusal: why a ``.net`` file has no graph.
        extra: what lies in the folder of a bundle and is not part of it.
    """

    name: str
    kind: Kind
    path: Path
    plan: Plan
    executable: Executable
    student: Executable | None = None
    recipe: Recipe | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None
    refusal: UnsupportedError | None = None
    extra: tuple[str, ...] = ()
    proof: Parity | None = None

    @property
    def semantics(self) -> Semantics:
        """Discrete-time semantics of the hub graph."""
        return read_semantics(self.plan.graph)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What a NIR file left open and how it is taken, and what is no part of a bundle; a sentence each."""
        found = tuple(self.provenance.get("assumed", ()))
        found += tuple(filter(None, [self.provenance.get("reading")]))
        if self.extra:
            found += (f"In the folder '{self.path}', but not part of the bundle: {', '.join(self.extra)}.",)
        semantics = self.semantics
        found += tuple(step_warnings(self.plan, semantics))
        if not semantics.assumed:
            return found
        taken = ", ".join(f"{name} = {getattr(semantics, name)}" for name in semantics.assumed)
        default = f"The NIR file does not state its discrete-time semantics; assumed by default: {taken}."
        return (*found, default)

    def warnings(self, steps: int) -> tuple[str, ...]:
        """What makes a run of ``steps`` steps doubtful, a sentence each."""
        return tuple(slow_warnings(self.plan, self.semantics, steps))

    def network(self, data: str | None, samples: int | None) -> Network:
        """This network with real samples of the test split and calibration samples of the training split.

        That of a ``.net`` file is its graph, in real numbers: what other formats can say of it.

        Raises:
            UnsupportedError: a ``.net`` file has no graph.
        """
        if self.refusal is not None:
            raise self.refusal
        loaded = load_samples(self, data, samples)
        return Network(
            name=self.name,
            plan=self.plan,
            executable=Reference(self.plan) if self.kind == "net" else self.executable,
            student=self.student,
            samples=loaded.test,
            calibration=loaded.calibration,
            provenance={**self.provenance, "data": loaded.description},
            proof=self.proof,
        )


def open_source(path: Path, reading: Reading = NOTHING_STATED) -> Source:
    """Open a run folder, a ``.nir`` or ``.net`` file, or a bundle folder.

    ``reading`` states what a ``.nir`` file leaves open about discrete time.

    Raises:
        DataError: nothing that can be opened lies there.
        ConfigError: ``reading`` contradicts what the file states, or is given for a run or bundle.
    """
    kind = kind_at(path)
    if kind == "nir":
        return _open_nir(path, reading)
    if reading.given():
        given = ", ".join(reading.given())
        raise ConfigError(f"Only a .nir file can be told its {given}; '{path}' states its own discrete time.")
    if kind == "net":
        return _open_net(path)
    return _open_bundle(path) if kind == "bundle" else _open_run(Run.open(path))


def _open_run(run: Run) -> Source:
    """The student of a run. What builds it belongs to the training wing, which files do not need."""
    from snn_deploy.graph.readers.from_torch import from_torch
    from snn_deploy.models.chip import as_real, trained_form
    from snn_deploy.models.executable import StudentExecutable
    from snn_deploy.models.load import load_student

    recipe, result = run.finished()
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


def _open_bundle(path: Path) -> Source:
    manifest = read_manifest(path)
    file = manifest.get("hub") or manifest["formats"].get("nir", {}).get("files", {}).get("model")
    if file is None:
        raise DataError(
            f"The bundle '{path}' holds no NIR file, which is needed to open it.",
            hint="Export again with --to nir,... included.",
        )
    plan = make_plan(read_nir(path / Path(file).name))
    provenance = dict(manifest["provenance"])
    recipe = _recipe_of(path / "manifest.json", provenance)
    return Source(
        name=manifest["name"],
        kind="bundle",
        path=path,
        plan=plan,
        executable=Reference(plan),
        recipe=recipe,
        provenance=provenance,
        manifest=manifest,
        extra=tuple(strangers(path, manifest["sha256"])),
    )


def _recipe_of(file: Path, provenance: Mapping[str, Any]) -> Recipe | None:
    """The recipe of the run that a bundle was made from; its figures are checked, too."""
    if "recipe" not in provenance:
        return None
    with damage.reading(file, "manifest of the bundle"):
        recipe = Recipe.model_validate(provenance["recipe"])
        if recipe.digest() != provenance["recipe_digest"]:
            raise ValueError("its recipe is not the one that was trained.")
        Result.model_validate_json(json.dumps(provenance["result"]))
        damage.require_sealed(provenance["result"], file, "result in the manifest")
        return recipe


def load_samples(
    source: Source, data: str | None, count: int | None, overrides: Sequence[str] = ()
) -> LoadedSamples:
    """Samples for ``source``: its recipe's data set, a data set by name, or a ``.npz`` file.

    Args:
        source: the network that will see them.
        data: registry name, path of a ``.npz`` with ``x [T, N, *shape]`` and optionally ``y [N]``, or None
            for the data set the network was trained on.
        count: how many test samples; None for all.
        overrides: options of a data set; see :func:`snn_deploy.tasks.data_options.chosen_data`.
    """
    if data is not None and data.endswith(".npz"):
        if overrides:
            raise ConfigError(f"'{data}' holds frames; -o is for data sets by name.")
        loaded = read_samples(Path(data), source.semantics.decode, count)
    else:
        loaded = _dataset_samples(source, data, count, overrides)
    expected = source.plan.shapes[source.plan.input]
    given = tuple(loaded.test.x.shape[2:])
    if given != expected:
        raise ConfigError(f"'{source.name}' takes samples of shape {expected}; the data have {given}.")
    return loaded


def load_data(recipe: Recipe, name: str | None = None) -> DataSet:
    """The data set of a recipe, or another one by ``name`` with its default options."""
    component = recipe.data if name in {None, recipe.data.name} else Component(name=str(name))
    options = component.resolve(DATASETS)
    dataset: DataSet = DATASETS.get(component.name).factory(options, timesteps=recipe.timesteps, cache=None)
    return dataset


def _dataset_samples(
    source: Source, name: str | None, count: int | None, overrides: Sequence[str]
) -> LoadedSamples:
    recipe = source.recipe
    if name is None and recipe is not None:
        name = recipe.data.name
    if name is None:
        raise ConfigError(
            f"'{source.name}' does not say which data it is for.",
            hint="Add --data NAME (see: snn-deploy ls data) or --data FILE.npz with x [T, N, ...] and y [N].",
        )
    steps = recipe.timesteps if recipe is not None else source.semantics.timesteps or 8
    dataset, how = chosen_data(recipe, name, steps, overrides)
    total = len(dataset.test)
    chosen = spread(total, count)
    calibration = spread(len(dataset.train), CALIBRATION_SAMPLES)
    return LoadedSamples(
        Samples(dataset.test.batch(chosen), dataset.test.labels[chosen], source.semantics.decode),
        Calibration(dataset.train.batch(calibration), dataset.train.labels[calibration]),
        {
            "name": dataset.name,
            "digest": dataset.digest,
            "split": "test",
            "samples": len(chosen),
            "of": total,
            "notes": list(dataset.notes),
            "frames": how,
        },
    )
