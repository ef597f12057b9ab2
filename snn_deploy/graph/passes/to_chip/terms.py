"""Linear values between populations: sums of terms, each one map of one population's spikes.

A node of the hub that is linear (weights, pooling, scaling, flattening, waiting) turns every term into
another. A bias belongs to the sum, so it goes into the first term.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import IntArray
from snn_deploy.graph.passes.to_chip.layers import NETX
from snn_deploy.graph.passes.to_chip.neurons import per_channel
from snn_deploy.graph.passes.to_chip.windows import (
    Matrix,
    MergeError,
    Window,
    as_window,
    identity,
    merge,
    merge_into_matrix,
    scaled,
)
from snn_deploy.graph.shapes import ShapeError

Shape = tuple[int, ...]


class RefusalError(Exception):
    """A node has no form on the chip."""

    def __init__(self, where: str, what: str, rule: str, try_instead: str = "") -> None:
        self.problem = Problem(where, what, rule, NETX, try_instead)
        super().__init__(what)


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """``map(s)`` of the spikes s of one population.

    Attributes:
        source: hub name of the population, or of the input.
        shape: its shape.
        map: None is s itself.
        flat: whether s is flattened on the way.
        weights: hub name of the weights in the map, empty without any.
        nodes: hub names of everything that was merged into the map.
        wait: steps that s waits before the map: one number, or one per element of the flattened source; with
            a matrix also one per synapse, ``[N, N_in]``.
        late: whether s are the spikes of the step before, by an edge that closes a loop.
        held: steps that a relay before the layer holds s: nothing, one number, or one per element.
    """

    source: str
    shape: Shape
    map: Window | Matrix | None = None
    flat: bool = False
    weights: str = ""
    nodes: tuple[str, ...] = ()
    wait: IntArray = field(default_factory=lambda: np.zeros((), np.int64))
    late: bool = False
    held: tuple[int, ...] = ()

    @property
    def pools(self) -> bool:
        """Whether the map is a window without weights."""
        return isinstance(self.map, Window) and self.map.pools


Value = tuple[Term, ...]


def apply(node: nir.NIRNode, name: str, value: Value, before: Shape, after: Shape) -> Value:
    """The value that the linear ``node`` makes of ``value``, of shape ``before``.

    Raises:
        RefusalError: it cannot be one map per population.
    """
    applied = (
        _apply(node, name, term, before, after, biased=position == 0) for position, term in enumerate(value)
    )
    return tuple(replace(term, nodes=(*term.nodes, name)) for term in applied)


def delayed(value: Value, name: str, steps: IntArray) -> Value:
    """``value`` behind the Delay ``name`` of so many ``steps``: one number, or one per element.

    Raises:
        RefusalError: a bias would begin late, or elements of one pooling window would wait differently.
    """
    return tuple(replace(_delayed(term, name, steps), nodes=(*term.nodes, name)) for term in value)


def _delayed(term: Term, name: str, steps: IntArray) -> Term:
    if not steps.any():
        return term
    if term.map is not None and term.map.bias.any():
        raise RefusalError(
            name,
            f"delays the bias of '{term.weights}'",
            "biases act from the first step on",
            "put the Delay before the weights, or train them without bias",
        )
    steps = steps.reshape(-1) if steps.ndim else steps
    if isinstance(term.map, Matrix) and steps.ndim:
        steps = np.broadcast_to(steps[:, None], term.map.weight.shape)
    elif isinstance(term.map, Window) and steps.ndim:
        raise RefusalError(
            name,
            "elements of a pool or convolution wait differently",
            "delays of synapses of dense layers",
            "put the Delay before the pool, or make it one number",
        )
    return replace(term, wait=term.wait + steps)


def _apply(node: nir.NIRNode, name: str, term: Term, before: Shape, after: Shape, *, biased: bool) -> Term:
    if isinstance(node, nir.Conv2d | nir.AvgPool2d | nir.SumPool2d):
        return _window(node, name, term, before, biased)
    if isinstance(node, nir.Affine | nir.Linear):
        return _matrix(node, name, term, biased)
    if isinstance(node, nir.Flatten):
        return _flatten(name, term, before, after)
    if isinstance(node, nir.Scale):
        return _scale(node, name, term, before)
    raise RefusalError(name, f"node type '{type(node).__name__}'", "conv, dense, pooling and CUBA neurons")


def _window(node: nir.NIRNode, name: str, term: Term, shape: Shape, biased: bool) -> Term:
    try:
        window = as_window(node, shape)
        if not biased:
            window = replace(window, bias=np.zeros_like(window.bias))
        if isinstance(term.map, Matrix) or term.flat:
            raise MergeError("follows a flat layer without neurons between them")
        if term.map is not None:
            window = merge(term.map, window)
    except (MergeError, ShapeError) as error:
        hint = "pool with windows that divide the image, or use a strided convolution"
        if isinstance(node, nir.Conv2d):
            hint = "put neurons before it, or pad the image so that the pooling divides it"
        raise RefusalError(name, str(error), "one linear map between two populations", hint) from None
    return replace(term, map=window, weights=term.weights if window.pools else term.weights or name)


def _matrix(node: nir.NIRNode, name: str, term: Term, biased: bool) -> Term:
    weight = np.asarray(node.weight, np.float64)
    bias = np.asarray(getattr(node, "bias", np.zeros(len(weight))), np.float64)
    matrix = Matrix(weight, bias if biased else np.zeros_like(bias))
    if isinstance(term.map, Window) and term.map.pools:
        matrix = merge_into_matrix(term.map, matrix)
    elif term.map is not None:
        raise RefusalError(
            name,
            f"follows the weights '{term.weights}' without neurons between them",
            "one linear map between two populations",
            "put neurons between them, or multiply the two layers",
        )
    return replace(term, map=matrix, weights=name)


def _flatten(name: str, term: Term, before: Shape, after: Shape) -> Term:
    if after != (int(np.prod(before)),):
        raise RefusalError(name, f"flattens only some axes of {before}", "all axes or none")
    if isinstance(term.map, Window) and not term.map.pools:
        raise RefusalError(
            name,
            f"lies between the weights '{term.weights}' and their neurons",
            "weights and neurons have the same shape",
            "flatten after the neurons",
        )
    return replace(term, flat=term.flat or len(before) > 1)


def _scale(node: nir.Scale, name: str, term: Term, shape: Shape) -> Term:
    rows = per_channel(node.scale, shape)
    if rows is None:
        raise RefusalError(name, "scales neurons of a channel differently", "one factor per channel")
    linear = term.map
    if linear is None and not rows.ndim and not term.flat:
        linear = identity(shape)
    if linear is None or (rows.ndim and term.pools):
        raise RefusalError(name, "scales the input of a layer per channel", "scale after the weights")
    return replace(term, map=scaled(linear, rows))
