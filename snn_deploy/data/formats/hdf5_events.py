"""Recordings in HDF5 files, in the layouts that are known:

* ``data/0`` with the fields x, y, p and t: tonic's cache;
* ``CD/events`` with these fields: Prophesee;
* ``events/x``, ``y``, ``t``, ``p`` (or ``xs``, ``ts``, ``pol``, ...): DSEC, where ``t_offset`` is added to
  all times, and many others;
* ``events``: numbers ``[E, 4]`` in the order t, x, y, p: v2e; or an array with the four fields.

A layout that names the arrays (``{x: path/of/x, ...}``) goes before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from snn_deploy.core.errors import DataError
from snn_deploy.data.formats.base import PART, Columns
from snn_deploy.data.formats.hdf5 import dataset, open_hdf5
from snn_deploy.data.formats.layout import (
    FIELDS,
    NOTHING_SAID,
    Layout,
    UnknownLayoutError,
    events_of,
    from_array,
    heading,
)

_TABLES = ("data/0", "CD/events", "events")
_GROUP = "events"
_V2E = ("t", "x", "y", "p")
_OFFSET = "t_offset"


def read_hdf5(path: Path, layout: Layout = NOTHING_SAID) -> Iterator[Columns]:
    """The events of a file, in parts."""
    with open_hdf5(path) as file:
        if names := _vector_names(file, layout):
            yield from _vectors(file, names, layout)
            return
        name = next((table for table in _TABLES if isinstance(_member(file, table), h5py.Dataset)), None)
        if name is None:
            raise _unknown(file)
        data = dataset(file, name)
        if name == _GROUP and data.dtype.names is None and layout.order is None:
            layout = replace(layout, order=_V2E)
        for start in range(0, len(data) if data.ndim else 0, PART):
            yield from_array(np.asarray(data[start : start + PART]), layout)


def _unknown(file: h5py.File) -> DataError:
    if isinstance(_member(file, _TABLES[0]), h5py.Group):
        return DataError(f"'{_TABLES[0]}' is no array")
    found: list[str] = []
    file.visititems(lambda name, item: _said(name, item, found))
    here = ", ".join(found[:20]) or "nothing"
    return UnknownLayoutError(
        f"it has no '{_TABLES[0]}' of its own, nor {', '.join(_TABLES[1:])}; found: {here}"
    )


def _said(name: str, item: object, found: list[str]) -> bool | None:
    if isinstance(item, h5py.Dataset):
        found.append(f"{name} {item.shape}")
    return True if len(found) > 20 else None


def _member(file: h5py.File, name: str) -> object:
    """What lies in the file itself under ``name``; None if there is nothing, or a link to elsewhere."""
    here: object = file
    for part in name.split("/"):
        if not isinstance(here, h5py.Group) or not isinstance(here.get(part, getlink=True), h5py.HardLink):
            return None
        here = here[part]
    return here


def _vector_names(file: h5py.File, layout: Layout) -> dict[str, str]:
    """The array of each field, where each has its own; else nothing."""
    if layout.names is not None:
        return dict(layout.names)
    group = _member(file, _GROUP)
    if not isinstance(group, h5py.Group):
        return {}
    found = {field: layout.name(field, list(group)) for field in FIELDS}
    return {field: f"{_GROUP}/{name}" for field, name in found.items()} if None not in found.values() else {}


def _vectors(file: h5py.File, names: dict[str, str], layout: Layout) -> Iterator[Columns]:
    vectors = {field: dataset(file, name) for field, name in names.items()}
    shapes = {data.shape for data in vectors.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 1:
        raise DataError(f"its vectors differ in shape: {', '.join(map(str, sorted(shapes)))}")
    unit = layout.unit or heading(names["t"].rpartition("/")[2])[1]
    offset = 0
    if isinstance(_member(file, _OFFSET), h5py.Dataset) and (data := dataset(file, _OFFSET)).ndim == 0:
        offset = int(data[()])
    for start in range(0, len(vectors["t"]), PART):
        parts = {field: np.asarray(data[start : start + PART]) for field, data in vectors.items()}
        columns = events_of(parts, unit)
        yield columns._replace(t=columns.t.astype(np.int64) + offset) if offset else columns
