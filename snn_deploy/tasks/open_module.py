"""A torch module of a user's own as a network: the module itself is what everything else is held against."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.files import sha256_file
from snn_deploy.core.registry import DATASETS
from snn_deploy.data.types import DataSet
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.from_torch import read_module
from snn_deploy.graph.semantics import Semantics
from snn_deploy.models.module_executable import ModuleExecutable
from snn_deploy.models.own import as_module, put_weights, weights_digest
from snn_deploy.recipes.own_code import OwnCode, is_own_code
from snn_deploy.tasks.data_options import chosen_data
from snn_deploy.tasks.own import Own
from snn_deploy.tasks.own_data import steps_of
from snn_deploy.tasks.samples import frames_shape
from snn_deploy.tasks.source import Source


def open_module(source: nn.Module | Path, own: Own, data: DataSet | str | None = None) -> Source:
    """Open ``source``, a module or ``FILE.py:NAME``; its weights stay as they are unless ``own`` names some.

    ``data``, as of :func:`snn_deploy.tasks.samples.load_samples`, tells the shape and the steps that ``own``
    does not.

    Raises:
        ConfigError: no module, arguments that do not fit, or no shape or number of steps.
        DataError: files that are missing or damaged, or weights of another network.
        UnsupportedError: NIR cannot express the module; every reason is named.
    """
    facts, labels = with_data(own, data)
    provenance: dict[str, Any] = {}
    if isinstance(source, nn.Module):
        module, name, path = source, type(source).__name__, Path(type(source).__name__)
        if own.arguments:
            raise ConfigError("A module that exists takes no arguments.")
    else:
        code = OwnCode.of(source)
        module, path, name = build_module(code, facts, labels), source, code.name
        provenance["code"] = {
            "file": code.file.name,
            "name": code.name,
            "sha256": code.sha256,
            "arguments": {key: repr(value) for key, value in own.arguments.items()},
        }
    provenance |= put_stated_weights(module, own)
    if facts.shape is None:
        raise ConfigError(
            f"The shape of the input of '{name}' is not known.",
            hint="State it without time and batch, --shape 2x34x34, or name data: --data test.npz",
        )
    semantics = Semantics(timesteps=facts.timesteps, classes=facts.classes)
    read = read_module(module, facts.shape, semantics=semantics)
    plan = make_plan(read.graph)
    assumed = [read.calling.sentence()]
    if own.weights is None and not isinstance(source, nn.Module):
        assumed.append(f"No --weights were given: '{name}' has those that its code gives it.")
    return Source(
        name=name,
        kind="module",
        path=path,
        plan=plan,
        executable=ModuleExecutable(module, read.calling, read.shapes),
        provenance={**provenance, "sha256": weights_digest(module), "assumed": assumed},
    )


def build_module(code: OwnCode, facts: Own, labels: int | None = None) -> nn.Module:
    """The module that ``code`` makes; a signature that names them is given the facts of the data.

    The number of ``labels`` in unnamed classes is taken for that of the classes only where one must be given:
    the data may show some of them only. Weights of another number do not fit then.
    """
    classes = len(facts.classes) or (
        labels if code.requires("classes") or code.requires("num_classes") else None
    )
    offered = {
        "in_shape": facts.shape,
        "classes": classes,
        "num_classes": classes,
        "timesteps": facts.timesteps,
    }
    return as_module(code.build(facts.arguments, offered), f"'{code.name}' of '{code.file}'")


def put_stated_weights(module: nn.Module, own: Own) -> dict[str, Any]:
    """Load the weights that ``own`` states into ``module``; returns what its provenance says of them."""
    if own.weights is None:
        return {}
    path = Path(own.weights)
    put_weights(module, path)
    return {"weights": {"file": path.name, "sha256": sha256_file(path)}}


def with_data(own: Own, data: DataSet | str | None) -> tuple[Own, int | None]:
    """``own`` with the shape, steps and classes of ``data`` where it states none; and the number of labels,
    where the data do not name their classes."""
    if data is None or (own.shape and own.timesteps and own.classes):
        return own, None
    if isinstance(data, str) and data.endswith(".npz"):
        steps, *shape = frames_shape(Path(data))
        return replace(own, shape=own.shape or tuple(shape), timesteps=own.timesteps or steps), None
    own_data = isinstance(data, DataSet) or is_own_code(data)
    if own.timesteps is None and isinstance(data, str) and not own_data:
        DATASETS.options(data)
        raise ConfigError(
            f"The number of steps is not known: the data set '{data}' can be cut into any.",
            hint="State it: --timesteps 8",
        )
    dataset = data if isinstance(data, DataSet) else chosen_data(None, data, own.timesteps, ())[0]
    named = dataset.classes != tuple(map(str, range(len(dataset.classes))))
    facts = replace(
        own,
        shape=own.shape or tuple(dataset.shape),
        classes=own.classes or (dataset.classes if named or not own_data else ()),
        timesteps=own.timesteps or steps_of(dataset),
    )
    return facts, len(dataset.classes)
