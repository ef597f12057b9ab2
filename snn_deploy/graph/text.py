"""A graph as text: short, the same for the same graph, nodes in their order of execution.

::

    semantics: dt 0.0001 s, euler, fires at >, reset zero, decode mean
    input: Input (2)
    back: Linear (2) <- n of the step before
        weight [[0 1] [1 0]]
    n: LIF (2) <- input, back
        tau 0.0002 each, r 1 each, v_leak 0 each, v_threshold 1 each
        v_reset 0 each
    output: Output (2) <- n

An array is written as one number with ``each`` where all are equal and it has the shape of its node, in full
up to ``IN_FULL`` numbers, and beyond that as shape, precision, range and the first digits of its SHA-256.
Precisions are float32 unless they are named (``f64``). A dilation of 1 and one group are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import nir
import numpy as np

from snn_deploy.core.text import visible
from snn_deploy.graph.plan import execution_order
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import NEURON_FIELDS, Shape, ShapeError, shapes_from_input

IN_FULL = 24
"""Numbers of an array that are all written out (our choice)."""
WIDTH = 79

_WINDOW = ("weight", "bias", "stride", "padding", "dilation", "groups")
_POOL = ("kernel_size", "stride", "padding")
_FIELDS: Mapping[type[nir.NIRNode], tuple[str, ...]] = {
    **NEURON_FIELDS,
    nir.Input: (),
    nir.Output: (),
    nir.Affine: ("weight", "bias"),
    nir.Linear: ("weight",),
    nir.Conv1d: _WINDOW,
    nir.Conv2d: _WINDOW,
    nir.AvgPool2d: _POOL,
    nir.SumPool2d: _POOL,
    nir.Flatten: ("start_dim", "end_dim"),
}
_ONES = {"dilation", "groups"}


def graph_text(graph: nir.NIRGraph) -> str:
    """The text of a flat ``graph``; it need not be one that can be executed."""
    try:
        shapes = shapes_from_input(graph.nodes, graph.edges)
    except ShapeError:
        shapes = {}
    order, cut = execution_order(graph.nodes, graph.edges)
    lines = [_semantics(read_semantics(graph))]
    for name in order:
        node, shape = graph.nodes[name], shapes.get(name)
        sources = [f"{a} of the step before" if (a, b) in cut else a for a, b in graph.edges if b == name]
        kind = f"{type(node).__name__} {'of unknown shape' if shape is None else shape_text(shape)}"
        lines += part_lines(name, kind, sources, _fields(node, shape))
    return "\n".join(lines) + "\n"


def part_lines(name: str, kind: str, sources: Iterable[str], fields: Iterable[str]) -> list[str]:
    """One part of a network: what it is and comes from, then its fields, wrapped between them; strangers'
    names and texts with escapes."""
    arrow = ", ".join(sources)
    lines = [visible(f"{name}: {kind}" + (f" <- {arrow}" if arrow else ""), one_line=True)]
    for field in (visible(field, one_line=True) for field in fields):
        if lines[1:] and len(lines[-1]) + len(field) + 2 < WIDTH:
            lines[-1] += f", {field}"
        else:
            lines.append(f"    {field}")
    return lines


def value_text(value: Any, each: Shape | None = None) -> str:
    """A number, a word or an array; ``each``: the shape of what the array belongs to."""
    if isinstance(value, str | bytes):
        return value.decode() if isinstance(value, bytes) else value
    array = np.asarray(value)
    plain = array.dtype.kind in "iub" or array.dtype == np.float32 or type(value) is float
    kind = "" if plain else f" {_precision(array)}"
    if array.ndim and array.shape == each and (array == array.flat[0]).all():
        return f"{_number(array.flat[0])} each{kind}"
    if array.size <= IN_FULL:
        return _listed(array) + kind
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:8]
    spread = f"{array.min():.4g}..{array.max():.4g}"
    return f"{shape_text(array.shape)} {_precision(array)} {spread} #{digest}"


def shape_text(shape: Shape) -> str:
    """``(2, 8, 8)``."""
    return f"({', '.join(map(str, shape))})"


def _semantics(semantics: Semantics) -> str:
    parts = [
        f"dt {_number(np.float64(semantics.dt))} s",
        semantics.integrator,
        f"fires at {semantics.fires_at}",
        f"reset {semantics.reset}",
        f"decode {semantics.decode}",
    ]
    if semantics.start != "reset":
        parts.append(f"start at {semantics.start}")
    if semantics.spikes != "one":
        most = "" if semantics.levels is None else f", at most {semantics.levels}"
        parts.append(f"{semantics.spikes} spikes per step{most}")
    if semantics.v_min is not None:
        parts.append(f"membranes at least {_number(np.float64(semantics.v_min))}")
    if semantics.timesteps is not None:
        parts.append(f"{semantics.timesteps} steps")
    if semantics.classes:
        parts.append(f"{len(semantics.classes)} classes")
    if semantics.assumed:
        parts.append(f"assumed: {' '.join(semantics.assumed)}")
    return f"semantics: {', '.join(parts)}"


def _fields(node: nir.NIRNode, shape: Shape | None) -> Iterator[str]:
    names = _FIELDS.get(type(node))
    if names is None:
        names = tuple(sorted(vars(node).keys() - {"input_type", "output_type", "metadata"}))
    for name in names:
        value = getattr(node, name)
        if name not in _ONES or np.not_equal(value, 1).any():
            yield f"{name} {value_text(value, (shape or ())[:1] if name == 'bias' else shape)}"
    for key, value in sorted((node.metadata or {}).items()):
        text = value_text(value)
        yield f"metadata {key} {text if len(text) < WIDTH else text[: WIDTH - 3] + '...'}"


def _precision(array: np.ndarray) -> str:
    return f"{array.dtype.kind}{8 * array.dtype.itemsize}"


def _number(value: Any) -> str:
    return str(value).removesuffix(".0")


def _listed(array: np.ndarray) -> str:
    if not array.ndim:
        return _number(array[()])
    return f"[{' '.join(_listed(part) for part in array)}]"
