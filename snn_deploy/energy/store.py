"""Counts on disk: one ``.npz`` of int64 arrays and a JSON header, no pickle.

::

    header         UTF-8 JSON as uint8: schema_version, timesteps, samples, edges, neurons, uncounted
    edge.0.sites   [T, B], and active, sites_nonzero, units, units_nonzero likewise per edge
    neuron.0.spikes, neuron.0.touched   [T, B] per layer of neurons
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from snn_deploy.core.damage import reading
from snn_deploy.core.errors import DataError
from snn_deploy.core.files import atomic_path
from snn_deploy.energy.counts import Counts, EdgeCounts, IntArray, NeuronCounts
from snn_deploy.synapses.events import EdgeClass

SCHEMA_VERSION = 1
MAX_BYTES = 2 << 30

_EDGE_ARRAYS = ("active", "sites", "sites_nonzero", "units", "units_nonzero")
_NEURON_ARRAYS = ("spikes", "touched")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class _Edge(_Strict):
    name: str
    layer: str
    sources: tuple[str, ...]
    edge_class: EdgeClass
    pooled: bool
    quantum: float | None = Field(gt=0, allow_inf_nan=False)
    source_size: int = Field(ge=1)
    connections: int = Field(ge=0)
    connections_nonzero: int = Field(ge=0)


class _Neurons(_Strict):
    name: str
    size: int = Field(ge=1)
    spiking: bool


class _Header(_Strict):
    schema_version: Literal[1]
    timesteps: int = Field(ge=0)
    samples: int = Field(ge=0)
    edges: tuple[_Edge, ...]
    neurons: tuple[_Neurons, ...]
    uncounted: tuple[str, ...]


def save_counts(counts: Counts, path: Path) -> None:
    """Write ``counts`` to ``path`` atomically."""
    arrays: dict[str, IntArray] = {}
    edges, neurons = [], []
    for i, edge in enumerate(counts.edges):
        arrays |= _take(edge, f"edge.{i}", _EDGE_ARRAYS)
        edges.append({k: v for k, v in asdict(edge).items() if k not in _EDGE_ARRAYS})
    for i, layer in enumerate(counts.neurons):
        arrays |= _take(layer, f"neuron.{i}", _NEURON_ARRAYS)
        neurons.append({k: v for k, v in asdict(layer).items() if k not in _NEURON_ARRAYS})
    header = {
        "schema_version": SCHEMA_VERSION,
        "timesteps": counts.timesteps,
        "samples": counts.samples,
        "edges": edges,
        "neurons": neurons,
        "uncounted": counts.uncounted,
    }
    text = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, header=text, **arrays)


def _take(owner: EdgeCounts | NeuronCounts, prefix: str, names: tuple[str, ...]) -> dict[str, IntArray]:
    return {f"{prefix}.{n}": getattr(owner, n) for n in names if getattr(owner, n) is not None}


def load_counts(path: Path) -> Counts:
    """Read counts from ``path``.

    Raises:
        DataError: missing, damaged, too large, or of another version.
    """
    with reading(path, "file of counts"):
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"'{path}' unpacks to {size} bytes; at most {MAX_BYTES} are read.")
        with np.load(path, allow_pickle=False) as content:
            return _assemble(content)


def _assemble(content: Mapping[str, np.ndarray[Any, Any]]) -> Counts:
    header = _Header.model_validate_json(content["header"].astype(np.uint8).tobytes())
    shape = (header.timesteps, header.samples)

    def array(name: str) -> IntArray:
        values = content[name]
        if values.dtype != np.int64 or values.shape != shape or (values < 0).any():
            raise ValueError(
                f"'{name}' is {values.dtype} {values.shape}; expected non-negative int64 {shape}"
            )
        return values

    edges = []
    for i, edge in enumerate(header.edges):
        values: dict[str, Any] = edge.model_dump()
        for name in _EDGE_ARRAYS:
            unknown = name.startswith("units") and edge.edge_class == "analog"
            values[name] = None if unknown else array(f"edge.{i}.{name}")
        edges.append(EdgeCounts(**values))
    neurons = []
    for i, layer in enumerate(header.neurons):
        values = layer.model_dump() | {name: array(f"neuron.{i}.{name}") for name in _NEURON_ARRAYS}
        neurons.append(NeuronCounts(**values))
    return Counts(header.timesteps, header.samples, tuple(edges), tuple(neurons), header.uncounted)
