"""Read and write NIR files. What a file holds is checked before it is used; see :mod:`untrusted`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from snn_deploy.core.errors import DataError, Problem, did_you_mean
from snn_deploy.core.files import atomic_path
from snn_deploy.graph.flatten import MAX_DEPTH, MAX_NODES
from snn_deploy.graph.passes.for_readers.channel_order import channels_first
from snn_deploy.graph.readers.untrusted import (
    MAX_TEXT,
    DamageError,
    UntrustedFile,
    checked_name,
    join,
    open_untrusted,
)
from snn_deploy.graph.shapes import Shape

MAX_EDGES = 100_000

_WINDOW = {"weight", "bias", "stride", "padding", "dilation", "groups"}
_POOL = {"kernel_size", "stride", "padding"}
_FIELDS: dict[str, tuple[set[str], set[str]]] = {
    "Input": ({"shape"}, set()),
    "Output": ({"shape"}, set()),
    "Affine": ({"weight", "bias"}, set()),
    "Linear": ({"weight"}, set()),
    "Scale": ({"scale"}, set()),
    "Conv1d": (_WINDOW, {"input_shape"}),
    "Conv2d": (_WINDOW, {"input_shape"}),
    "AvgPool2d": (_POOL, set()),
    "SumPool2d": (_POOL, set()),
    "Flatten": ({"start_dim", "end_dim"}, {"input_type"}),
    "Delay": ({"delay"}, set()),
    "Threshold": ({"threshold"}, set()),
    "I": ({"r"}, set()),
    "LI": ({"tau", "r", "v_leak"}, set()),
    "IF": ({"r", "v_threshold"}, {"v_reset"}),
    "LIF": ({"tau", "r", "v_leak", "v_threshold"}, {"v_reset"}),
    "CubaLI": ({"tau_syn", "tau_mem", "r", "v_leak"}, {"w_in"}),
    "CubaLIF": ({"tau_syn", "tau_mem", "r", "v_leak", "v_threshold"}, {"v_reset", "w_in"}),
}
"""Per node type, its required and its optional fields."""

_INTEGER_FIELDS = {"shape", "input_shape", "input_type", "stride", "padding", "dilation", "groups"}
_INTEGER_FIELDS |= {"kernel_size", "start_dim", "end_dim"}
_ENDLESS_FIELDS = {"tau", "tau_mem", "tau_syn", "r", "w_in"}
"""Fields that writers make infinite for neurons without a leak; the hub takes them from a dialect only."""
_DEFAULTS = {"v_reset": 0.0, "w_in": 1.0}


def read_nir(path: Path | str) -> nir.NIRGraph:
    """Read a NIR 1.0 file without trusting it; nothing is executed, time and memory are bounded.

    Shapes are left to :func:`snn_deploy.graph.plan.make_plan`; the type check of NIR itself is not used (it
    refuses grouped and non-square convolutions).

    Raises:
        DataError: missing, truncated, not HDF5, not NIR, or beyond the limits of this module.
    """
    return read_nir_and_shapes(path)[0]


def read_nir_and_shapes(path: Path | str) -> tuple[nir.NIRGraph, dict[str, Shape]]:
    """Like :func:`read_nir`; besides, the input shapes that convolutions and Flatten nodes say they have."""
    with open_untrusted(Path(path), "NIR") as (file, access):
        _check_root(file)
        reader = _Reader(access)
        return reader.graph(access.group(file, "node", "node"), "", 0), reader.shapes


def _check_root(file: h5py.File) -> None:
    """NIR 1.0 keeps a graph under ``node``, with its type beside its nodes and edges."""
    again = "write it again with nir.write of NIR 1.0"
    if "node" not in file:
        held = ", ".join(list(file)[:5]) or "nothing"
        raise DamageError("file", f"has no 'node', where NIR 1.0 keeps a graph; it holds {held}", again)
    if isinstance(file["node"], h5py.Group) and "type" not in file["node"]:
        raise DamageError("node", "says no type, as in files of NIR before 1.0", again)


class _Reader:
    def __init__(self, access: UntrustedFile) -> None:
        self._access = access
        self._nodes = 0
        self.shapes: dict[str, Shape] = {}

    def graph(self, group: h5py.Group, where: str, depth: int) -> nir.NIRGraph:
        """Read a NIRGraph group; ``where`` is its name in the file, empty for the outermost."""
        kind = self._access.text(group, "type", where or "node")
        if kind != "NIRGraph":
            raise DamageError(
                where or "node", f"has the type '{kind[:80]}'", "the outermost node is a NIRGraph"
            )
        if depth > MAX_DEPTH:
            raise DamageError(where, "is nested too deeply", f"at most {MAX_DEPTH} levels")
        inside = self._access.group(group, "nodes", where)
        nodes = {}
        for name in inside:
            place = join(where, checked_name(name, where))
            nodes[name] = self.node(self._access.group(inside, name, where), place, depth)
        place = join(where, "edges")
        edges = self._access.name_pairs(self._access.dataset(group, "edges", place), MAX_EDGES, place)
        return nir.NIRGraph(nodes, edges, metadata=self.metadata(group, where), type_check=False)

    def node(self, group: h5py.Group, where: str, depth: int) -> nir.NIRNode:
        """Read one node."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise DamageError(where, "is one node too many", f"at most {MAX_NODES} nodes")
        kind = self._access.text(group, "type", where)
        if kind == "NIRGraph":
            return self.graph(group, where, depth + 1)
        if kind not in _FIELDS:
            near = did_you_mean(kind, _FIELDS)
            raise DamageError(
                where, f"has the unknown type '{kind[:80]}'.{near}", f"known: {', '.join(_FIELDS)}"
            )
        required, optional = _FIELDS[kind]
        found = {checked_name(name, where) for name in group} - {"type", "metadata"}
        if missing := required - found:
            raise DamageError(where, f"{kind} without {', '.join(sorted(missing))}")
        if extra := found - required - optional:
            raise DamageError(where, f"{kind} with the unknown fields {', '.join(sorted(extra))}")
        values = {name: self.field(group, name, f"{where}.{name}") for name in sorted(found)}
        if shape := _said_shape(values):
            self.shapes[where] = shape
        node = _build(kind, values, where)
        node.metadata = self.metadata(group, where)
        try:
            return channels_first(node)
        except ValueError as error:
            raise DamageError(where, str(error)) from None

    def field(self, group: h5py.Group, name: str, where: str) -> Any:
        """Read one field of a node: numbers, or the name of a padding."""
        dataset = self._access.dataset(group, name, where)
        if name == "padding" and h5py.check_string_dtype(dataset.dtype):
            return self._access.text(group, name, where)
        array = self._access.array(dataset, where, endless=name in _ENDLESS_FIELDS)
        if name in _INTEGER_FIELDS:
            if not np.equal(array, np.round(array)).all() or (np.abs(array) > 2**31).any():
                raise DamageError(where, "is not an integer of 32 bits")
            return array.astype(np.int64)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)

    def metadata(self, group: h5py.Group, where: str) -> dict[str, Any]:
        """Short texts and small arrays of a metadata group; other content has no meaning for us."""
        if "metadata" not in group:
            return {}
        inside = self._access.group(group, "metadata", where)
        found: dict[str, Any] = {}
        for name in inside:
            place = f"{where}.metadata.{checked_name(name, where)}"
            if inside.get(name, getclass=True) is not h5py.Dataset:
                continue
            dataset = self._access.dataset(inside, name, place)
            if h5py.check_string_dtype(dataset.dtype):
                found[name] = self._access.text(inside, name, place)
            elif dataset.dtype.kind in "fiub" and dataset.shape is not None and dataset.nbytes <= MAX_TEXT:
                array = self._access.array(dataset, place)
                found[name] = array if array.ndim else array.item()  # nir.write stores no scalar arrays
        return found


def _said_shape(values: dict[str, Any]) -> Shape:
    """The input shape in the fields of a node; empty where they do not say one."""
    if "input_type" in values:
        return tuple(int(n) for n in values["input_type"].reshape(-1))
    if "input_shape" not in values or values["weight"].ndim < 3 or values["groups"].size != 1:
        return ()
    channels = values["weight"].shape[1] * int(values["groups"].item())
    return (channels, *(int(n) for n in values["input_shape"].reshape(-1)))


def _build(kind: str, values: dict[str, Any], where: str) -> nir.NIRNode:
    if kind in ("Input", "Output"):
        shape = values["shape"].reshape(-1)
        return nir.Input({"input": shape}) if kind == "Input" else nir.Output({"output": shape})
    if kind == "Flatten":
        return nir.Flatten({"input": None}, int(values["start_dim"].item()), int(values["end_dim"].item()))
    if kind in ("Conv1d", "Conv2d"):
        rank = int(kind[4])
        if values["weight"].ndim != rank + 2:
            raise DamageError(
                where, f"{kind} with weights of shape {values['weight'].shape}", f"{rank + 2} axes"
            )
        return getattr(nir, kind)(**{**values, "input_shape": None, "groups": int(values["groups"].item())})
    if kind in ("Affine", "Linear") and values["weight"].ndim < 2:
        raise DamageError(where, f"{kind} with weights of shape {values['weight'].shape}", "at least 2 axes")
    if kind in ("IF", "LIF", "CubaLI", "CubaLIF", "LI"):
        values = {**{n: np.float32(v) for n, v in _DEFAULTS.items() if n in _FIELDS[kind][1]}, **values}
        try:
            arrays = np.broadcast_arrays(*values.values())
        except ValueError:
            shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
            raise DamageError(where, f"{kind} parameters of different shapes: {shapes}") from None
        values = {name: array.copy() for name, array in zip(values, arrays, strict=True)}
    return getattr(nir, kind)(**values)


def name_problems(names: Iterable[str]) -> list[Problem]:
    """The names that a NIR file cannot hold."""
    problems = []
    for name in names:
        try:
            checked_name(name, name or "node")
        except DamageError as damage:
            problems.append(damage.problem)
    return problems


COMPATIBLE = ("1.0.8", "1.0.4")
"""Versions of NIR that files can be written for. Those before 1.0.6 refuse the field v_reset."""


def write_nir(graph: nir.NIRGraph, path: Path | str, version: str = COMPATIBLE[0]) -> None:
    """Write ``graph`` as a NIR file that the library of ``version`` (and later) reads, atomically.

    Raises:
        DataError: a node name cannot be stored (``/``, empty, unprintable, too long), or a neuron resets to
            another value than zero, which ``version`` cannot say.
    """
    problems = name_problems(graph.nodes)
    if version != COMPATIBLE[0]:
        problems += reset_problems(graph.nodes, version)
    if problems:
        raise DataError("The graph cannot be written as NIR.", problems=problems)
    with atomic_path(Path(path)) as temporary:
        nir.write(temporary, graph)
        if version != COMPATIBLE[0]:
            with h5py.File(temporary, "r+") as file:
                _forget_resets(file["node"])


def _forget_resets(graph: h5py.Group) -> None:
    """Delete the field v_reset of all nodes, those of nested graphs too (in place)."""
    for node in graph["nodes"].values():
        if "nodes" in node:
            _forget_resets(node)
        elif "v_reset" in node:
            del node["v_reset"]


def reset_problems(nodes: Mapping[str, nir.NIRNode], version: str) -> list[Problem]:
    """Neurons whose reset value NIR ``version`` cannot say."""
    rule = f"NIR {version} knows no v_reset and takes it for zero"
    return [
        Problem(name, f"resets to {np.asarray(node.v_reset).flat[0]:g}", rule, try_instead="--for NAME")
        for name, node in nodes.items()
        if np.any(getattr(node, "v_reset", 0.0))
    ]
