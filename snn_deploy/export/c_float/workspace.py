"""Where the outputs of nodes lie: a work space in which those that are no longer read make room."""

from __future__ import annotations

from collections.abc import Collection
from math import prod

from snn_deploy.graph.types import Plan


def places(plan: Plan, kept: Collection[str]) -> tuple[dict[str, int], int]:
    """First element of each node's output, and the size of the whole: first fit, in execution order.

    ``kept``: nodes whose output is read at the end of the step. The output node writes elsewhere.
    """
    position = {name: number for number, name in enumerate(plan.order)}
    last = {name: position[name] for name in plan.order}
    for name, sources in plan.sources.items():
        for source in sources:
            last[source] = max(last[source], position[name])
    last |= dict.fromkeys(kept, len(position))
    living: list[tuple[int, int, int]] = []
    found: dict[str, int] = {}
    for name in plan.order:
        if name == plan.output:
            continue
        living = sorted(entry for entry in living if entry[2] >= position[name])
        size, begin = prod(plan.shapes[name]), 0
        for first, end, _ in living:
            if begin + size <= first:
                break
            begin = max(begin, end)
        found[name] = begin
        living.append((begin, begin + size, last[name]))
    return found, max((found[name] + prod(plan.shapes[name]) for name in found), default=0)
