"""What the framework that wrote a file computed itself: the only proof that we read the file as it was meant.

A trace is a ``.npz`` with the input ``x [T, B, *shape]`` and, by the names of nodes, their outputs
``[T, B, *shape]``; ``NODE.v`` holds membranes after each step. Or it is the NIRData of NIR 1.0.8
(``nir.write_data``): the input node and others with values called ``spikes`` or ``v``, time-gridded
``[B, T, neurons]`` or as events, which are put into the steps of the network.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import DataError, Problem, did_you_mean
from snn_deploy.graph.readers.record_trace import MEMBRANE
from snn_deploy.graph.readers.untrusted import open_untrusted
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import STATEFUL_NODES, Plan

Array = npt.NDArray[np.generic]
MAX_BYTES = 4 << 30
ROUNDED = 1e-6


@dataclass(frozen=True, slots=True)
class SourceTrace:
    """The source's own values, float32 ``[T, B, *shape]``: the input, outputs and membranes of nodes."""

    x: torch.Tensor
    outputs: Mapping[str, torch.Tensor]
    membranes: Mapping[str, torch.Tensor]


def read_trace(path: Path, plan: Plan) -> SourceTrace:
    """Read a trace of the network ``plan``.

    Raises:
        DataError: it is missing or damaged, names nodes that are not there, or has other shapes.
    """
    values = _npz(path) if path.suffix == ".npz" else _nir_data(path, plan)
    x = values.pop("x", None)
    if x is None or not values:
        raise DataError(f"'{path}' is no trace: it needs the input 'x' and at least one node's values.")
    leading = x.shape[:2]
    problems = []
    tensors = {}
    for name, value in {plan.input: x, **values}.items():
        node = _node(name.removesuffix(MEMBRANE) if name not in plan.shapes else name, plan)
        key = node + (MEMBRANE if name not in plan.shapes and name.endswith(MEMBRANE) else "")
        if node not in plan.shapes:
            problems.append(Problem(name, f"there is no such node.{did_you_mean(node, plan.order)}"))
            continue
        if key != node and not isinstance(plan.node(node), STATEFUL_NODES):
            problems.append(Problem(name, "a node without a membrane"))
            continue
        wanted = (*leading, *plan.shapes[node])
        if value.size != int(np.prod(wanted)) or value.shape[:2] != leading:
            problems.append(Problem(name, f"values of shape {value.shape}", f"{wanted}"))
            continue
        tensors[key] = torch.from_numpy(np.ascontiguousarray(value, np.float32)).reshape(wanted)
        if not bool(torch.isfinite(tensors[key]).all()):
            problems.append(Problem(name, "values that are not finite"))
    if problems:
        raise DataError(f"The trace '{path}' does not fit the network.", problems=problems)
    return SourceTrace(
        tensors.pop(plan.input),
        {name: value for name, value in tensors.items() if name in plan.shapes},
        {name.removesuffix(MEMBRANE): value for name, value in tensors.items() if name not in plan.shapes},
    )


def _node(name: str, plan: Plan) -> str:
    """The node that exporters make of the submodule ``name``; ``name`` itself where there is none."""
    plain = name.replace(".", "_")
    forms = (name, f"_{name}", plain, f"_{plain}", f"{name}.lif")
    return next((form for form in forms if form in plan.shapes), name)


def _npz(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(item.file_size for item in archive.infolist())
        if size > MAX_BYTES:
            raise DataError(f"'{path}' unpacks to {size} bytes; at most {MAX_BYTES} are read.")
        with np.load(path, allow_pickle=False) as content:
            values = {name: np.asarray(content[name]) for name in content}
    except FileNotFoundError:
        raise DataError(f"There is no file '{path}'.") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"'{path}' cannot be read as a trace: {error}") from None
    wrong = [name for name, value in values.items() if value.dtype.kind not in "fiub" or value.ndim < 2]
    if wrong:
        raise DataError(f"'{path}' holds no numbers [T, B, ...] under: {', '.join(sorted(wrong))}.")
    return values


def _nir_data(path: Path, plan: Plan) -> dict[str, Array]:
    """The observables of the nodes of a NIRData file, time first."""
    values: dict[str, Array] = {}
    with open_untrusted(path, "NIRData") as (file, access):
        nodes = access.group(file, "nodes", "nodes")
        for name in nodes:
            seen = access.group(access.group(nodes, name, name), "observables", name)
            for observable in seen:
                group = access.group(seen, observable, name)
                if isinstance(group.get("data"), h5py.Dataset):
                    grid = access.array(access.dataset(group, "data", name), name)
                    if grid.ndim != 3:
                        raise DataError(f"'{path}': '{name}' has {grid.ndim} axes; NIRData has 3.")
                else:
                    columns = {
                        column: access.array(
                            access.dataset(group, column, name), name, endless=column == "time"
                        )
                        for column in ("idx", "time", "value")
                        if column in group or column != "value"
                    }
                    grid = _gridded(name, columns, dict(group.attrs), read_semantics(plan.graph).dt)
                key = "x" if name == plan.input else name + (MEMBRANE if observable in {"v", "mem"} else "")
                values[key] = np.swapaxes(grid, 0, 1)
    return values


def _gridded(name: str, columns: Mapping[str, Array], attributes: Mapping[str, Any], dt: float) -> Array:
    """Events ``idx, time [B, E]`` (-1 where there is none) as sums per step, ``[B, T, neurons]``.

    Step k holds ``k dt <= t < (k + 1) dt``; a time within a millionth of a step below its end belongs to the
    next (our choice: times are rounded multiples of the step).

    Raises:
        DataError: shapes, numbers or times that no recording has.
    """
    try:
        neurons, end = int(attributes["n_neurons"]), float(attributes["t_max"])
        idx, time = columns["idx"].astype(np.int64), columns["time"].astype(np.float64)
        value = columns["value"].astype(np.float64) if "value" in columns else np.ones(idx.shape)
        steps = round(end / dt)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"The events of '{name}' are damaged: {error}") from None
    if idx.ndim != 2 or not idx.shape == time.shape == value.shape:
        raise DataError(f"The events of '{name}' have shapes {idx.shape} and {time.shape}; [B, E] is due.")
    if neurons < 1 or steps < 1 or len(idx) * steps * neurons * 8 > MAX_BYTES:
        raise DataError(f"The events of '{name}' span {steps} steps of {neurons} neurons.")
    sample, event = np.nonzero(idx != -1)
    which, when = idx[sample, event], time[sample, event]
    if not ((which >= 0) & (which < neurons) & (when >= 0) & (when < end * (1 + ROUNDED))).all():
        raise DataError(f"Events of '{name}' lie outside of {neurons} neurons or {end:g} s.")
    step = np.minimum(np.floor(when / dt + ROUNDED).astype(np.int64), steps - 1)
    grid = np.zeros((len(idx), steps, neurons))
    np.add.at(grid, (sample, step, which), value[sample, event])
    return grid
