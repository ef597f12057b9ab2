"""Read and write NIR files. A file is untrusted: links, sizes and types are checked before reading."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.errors import DataError, Problem, did_you_mean
from snn_deploy.files import atomic_path
from snn_deploy.graph.flatten import MAX_DEPTH, MAX_NODES

MAX_FILE_BYTES = 4 * 2**30
MAX_CONTENT_BYTES = 4 * 2**30
MAX_EDGES = 100_000
MAX_TEXT = 2**20
MAX_NAME = 256
MAX_RANK = 8

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
_DEFAULTS = {"v_reset": 0.0, "w_in": 1.0}


class _DamageError(ValueError):
    """Something in the file is wrong; ``where`` is its place in the file."""

    def __init__(self, where: str, what: str, rule: str = "") -> None:
        self.problem = Problem(where, what, rule=rule)
        super().__init__(what)


def read_nir(path: Path | str) -> nir.NIRGraph:
    """Read a NIR 1.0 file without trusting it; nothing is executed and memory is bounded.

    Shapes are left to :func:`snn_deploy.graph.plan.make_plan`; the type check of NIR itself is not used (it
    refuses grouped and non-square convolutions).

    Raises:
        DataError: missing, truncated, not HDF5, not NIR, or beyond the limits of this module.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"There is no NIR file at '{path}'.")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"'{path}' is larger than {MAX_FILE_BYTES} bytes.")
    try:
        with h5py.File(path, "r", locking=False) as file:
            reader = _Reader(path.stat().st_size)
            return reader.graph(reader.group(file, "node", "node"), "", 0)
    except _DamageError as damage:
        raise DataError(f"'{path}' is not a sound NIR file.", problems=[damage.problem]) from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        raise DataError(f"'{path}' is not a readable NIR file: {error}") from None


class _Reader:
    def __init__(self, file_bytes: int) -> None:
        self._file_bytes = max(file_bytes, 1)
        self._budget = MAX_CONTENT_BYTES
        self._nodes = 0

    def graph(self, group: h5py.Group, where: str, depth: int) -> nir.NIRGraph:
        """Read a NIRGraph group; ``where`` is its name in the file, empty for the outermost."""
        kind = self.text(group, "type", where or "node")
        if kind != "NIRGraph":
            raise _DamageError(where or "node", f"has the type '{kind}'", "the outermost node is a NIRGraph")
        if depth > MAX_DEPTH:
            raise _DamageError(where, "is nested too deeply", f"at most {MAX_DEPTH} levels")
        inside = self.group(group, "nodes", where)
        nodes = {
            name: self.node(self.group(inside, name, where), _join(where, name), depth) for name in inside
        }
        edges = self.edges(group, where)
        return nir.NIRGraph(nodes, edges, metadata=self.metadata(group, where), type_check=False)

    def node(self, group: h5py.Group, where: str, depth: int) -> nir.NIRNode:
        """Read one node."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _DamageError(where, "is one node too many", f"at most {MAX_NODES} nodes")
        kind = self.text(group, "type", where)
        if kind == "NIRGraph":
            return self.graph(group, where, depth + 1)
        if kind not in _FIELDS:
            near = did_you_mean(kind, _FIELDS)
            raise _DamageError(
                where, f"has the unknown type '{kind[:80]}'.{near}", f"known: {', '.join(_FIELDS)}"
            )
        required, optional = _FIELDS[kind]
        found = set(group) - {"type", "metadata"}
        if missing := required - found:
            raise _DamageError(where, f"{kind} without {', '.join(sorted(missing))}")
        if extra := found - required - optional:
            raise _DamageError(where, f"{kind} with the unknown fields {', '.join(sorted(extra))}")
        values = {name: self.field(group, name, f"{where}.{name}") for name in sorted(found)}
        node = _build(kind, values, where)
        node.metadata = self.metadata(group, where)
        return node

    def field(self, group: h5py.Group, name: str, where: str) -> Any:
        """Read one field of a node: a finite number, an array of them, or the name of a padding."""
        dataset = self.dataset(group, name, where)
        if name == "padding" and h5py.check_string_dtype(dataset.dtype):
            return self.text(group, name, where)
        array = self.array(dataset, where)
        if name in _INTEGER_FIELDS:
            if not np.equal(array, np.round(array)).all() or (np.abs(array) > 2**31).any():
                raise _DamageError(where, "is not an integer of 32 bits")
            return array.astype(np.int64)
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)

    def array(self, dataset: h5py.Dataset, where: str) -> npt.NDArray[Any]:
        """Read a numeric dataset whose size was checked first."""
        if dataset.dtype.kind not in "fiub" or dataset.shape is None:
            raise _DamageError(where, f"holds {dataset.dtype} instead of numbers")
        if len(dataset.shape) > MAX_RANK:
            raise _DamageError(where, f"has {len(dataset.shape)} axes", f"at most {MAX_RANK}")
        self._budget -= int(dataset.size) * max(dataset.dtype.itemsize, 8)
        if self._budget < 0:
            rule = f"at most {MAX_CONTENT_BYTES} bytes in all"
            raise _DamageError(where, f"declares the shape {dataset.shape}", rule)
        array = np.asarray(dataset[()])
        if not np.isfinite(array).all():
            raise _DamageError(where, "holds values that are not finite")
        return array

    def edges(self, group: h5py.Group, where: str) -> list[tuple[str, str]]:
        """Read the edge list, a few rows at a time: a small file can declare long strings many times."""
        place = _join(where, "edges")
        dataset = self.dataset(group, "edges", place)
        if dataset.size == 0:
            return []
        if dataset.ndim != 2 or dataset.shape[1] != 2 or not h5py.check_string_dtype(dataset.dtype):
            raise _DamageError(
                place, f"has the shape {dataset.shape} of {dataset.dtype}", "pairs of node names"
            )
        if dataset.shape[0] > MAX_EDGES:
            raise _DamageError(place, f"lists {dataset.shape[0]} edges", f"at most {MAX_EDGES}")
        width = max(self._file_bytes, dataset.dtype.itemsize)
        rows = max(1, 2**30 // (2 * width))
        pairs = []
        for begin in range(0, dataset.shape[0], rows):
            for source, target in dataset[begin : begin + rows]:
                pairs.append((_name(_decode(source, place), place), _name(_decode(target, place), place)))
        return pairs

    def metadata(self, group: h5py.Group, where: str) -> dict[str, Any]:
        """Short texts and small arrays of a metadata group; other content has no meaning for us."""
        if "metadata" not in group:
            return {}
        inside = self.group(group, "metadata", where)
        found: dict[str, Any] = {}
        for name in inside:
            place = f"{where}.metadata.{name}"
            if inside.get(name, getclass=True) is not h5py.Dataset:
                continue
            dataset = self.dataset(inside, name, place)
            if h5py.check_string_dtype(dataset.dtype):
                found[name] = self.text(inside, name, place)
            elif dataset.dtype.kind in "fiub" and dataset.shape is not None and dataset.size <= MAX_TEXT // 8:
                found[name] = np.asarray(dataset[()])
        return found

    def group(self, parent: h5py.Group, name: str, where: str) -> h5py.Group:
        """The subgroup ``name``."""
        child = self._child(parent, name, where)
        if not isinstance(child, h5py.Group):
            raise _DamageError(_join(where, name), "is not a group")
        return child

    def dataset(self, parent: h5py.Group, name: str, where: str) -> h5py.Dataset:
        """The dataset ``name``, which must lie in this very file."""
        child = self._child(parent, name, where)
        if not isinstance(child, h5py.Dataset):
            raise _DamageError(where, "is not a dataset")
        if child.is_virtual or child.external:
            raise _DamageError(where, "takes its content from another file")
        return child

    def text(self, parent: h5py.Group, name: str, where: str) -> str:
        """A single text."""
        dataset = self.dataset(parent, name, where)
        if dataset.shape != () or not h5py.check_string_dtype(dataset.dtype):
            raise _DamageError(where, f"'{name}' is not a text")
        if dataset.dtype.itemsize > MAX_TEXT:
            raise _DamageError(where, f"'{name}' is longer than {MAX_TEXT} bytes")
        return _decode(dataset[()], where)

    @staticmethod
    def _child(parent: h5py.Group, name: str, where: str) -> Any:
        link = parent.get(_name(name, where), getlink=True)
        if link is None:
            raise _DamageError(where or "file", f"has no '{name}'")
        if not isinstance(link, h5py.HardLink):
            raise _DamageError(_join(where, name), "is a link to another place")
        return parent[name]


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _decode(value: Any, where: str) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    if len(text) > MAX_TEXT:
        raise _DamageError(where, f"holds a text of more than {MAX_TEXT} characters")
    return text


def _name(name: str, where: str) -> str:
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or "/" in name or name in {".", ".."}:
        raise _DamageError(
            where, f"holds the name {name[:40]!r}", f"1 to {MAX_NAME} printable characters without '/'"
        )
    return name


def _build(kind: str, values: dict[str, Any], where: str) -> nir.NIRNode:
    if kind in ("Input", "Output"):
        shape = values["shape"].reshape(-1)
        return nir.Input({"input": shape}) if kind == "Input" else nir.Output({"output": shape})
    if kind == "Flatten":
        return nir.Flatten({"input": None}, int(values["start_dim"].item()), int(values["end_dim"].item()))
    if kind in ("Conv1d", "Conv2d"):
        rank = int(kind[4])
        if values["weight"].ndim != rank + 2:
            raise _DamageError(
                where, f"{kind} with weights of shape {values['weight'].shape}", f"{rank + 2} axes"
            )
        return getattr(nir, kind)(**{**values, "input_shape": None, "groups": int(values["groups"].item())})
    if kind in ("Affine", "Linear") and values["weight"].ndim < 2:
        raise _DamageError(where, f"{kind} with weights of shape {values['weight'].shape}", "at least 2 axes")
    if kind in ("IF", "LIF", "CubaLI", "CubaLIF", "LI"):
        values = {**{n: np.float32(v) for n, v in _DEFAULTS.items() if n in _FIELDS[kind][1]}, **values}
        try:
            arrays = np.broadcast_arrays(*values.values())
        except ValueError:
            shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
            raise _DamageError(where, f"{kind} parameters of different shapes: {shapes}") from None
        values = {name: array.copy() for name, array in zip(values, arrays, strict=True)}
    return getattr(nir, kind)(**values)


def name_problems(names: Iterable[str]) -> list[Problem]:
    """The names that a NIR file cannot hold."""
    problems = []
    for name in names:
        try:
            _name(name, name or "node")
        except _DamageError as damage:
            problems.append(damage.problem)
    return problems


def write_nir(graph: nir.NIRGraph, path: Path | str) -> None:
    """Write ``graph`` as a NIR file, atomically.

    Raises:
        DataError: a node name cannot be stored (``/``, empty, unprintable, too long).
    """
    if problems := name_problems(graph.nodes):
        raise DataError("The graph cannot be written as NIR.", problems=problems)
    with atomic_path(Path(path)) as temporary:
        nir.write(temporary, graph)
