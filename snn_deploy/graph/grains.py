"""The integers that a network without analog values counts: what one unit is worth at every place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import nir

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.passes.to_chip.input_grid import InputGrid
from snn_deploy.graph.shapes import axes
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan


@dataclass(frozen=True, slots=True)
class Grain:
    """A value is ``unit`` times an integer in ``[low, high]``."""

    unit: float
    low: int
    high: int


def input_grains(plan: Plan, grid: InputGrid) -> dict[str, Grain]:
    """The integers that every layer of weights of ``plan`` counts, by its name.

    Raises:
        UnsupportedError: a layer adds values that count in different units.
    """
    found: dict[str, Grain] = {plan.input: Grain(grid.scale, *grid.range)}
    seen: dict[str, Grain] = {}
    problems = []
    for name in plan.order:
        if name == plan.input:
            continue
        given = [found[source] for source in plan.sources[name] if source in found]
        if len({grain.unit for grain in given}) > 1:
            problems.append(
                Problem(
                    name,
                    "adds values that were pooled differently",
                    "one unit in a sum",
                    "",
                    "pool both branches alike",
                )
            )
        total = Grain(given[0].unit if given else 1.0, sum(g.low for g in given), sum(g.high for g in given))
        node = plan.node(name)
        if isinstance(node, WEIGHT_NODES):
            seen[name] = total
        elif isinstance(node, SPIKING_NODES):
            found[name] = Grain(1.0, 0, 1)
        elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
            found[name] = _pooled(total, node)
        else:
            found[name] = total
    if problems:
        raise UnsupportedError("The student adds values of different units.", problems=problems)
    return seen


def _pooled(grain: Grain, node: nir.AvgPool2d | nir.SumPool2d) -> Grain:
    area = math.prod(axes(node.kernel_size, 2))
    unit = grain.unit / area if isinstance(node, nir.AvgPool2d) else grain.unit
    return Grain(unit, grain.low * area, grain.high * area)
