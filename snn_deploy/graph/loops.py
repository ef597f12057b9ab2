"""Order of execution of a graph with loops.

A loop is a strongly connected component. In discrete time it must be cut: an edge that carries the value of
the previous step. We cut where a neuron's output leaves (our choice): the first neuron reached from outside
the loop sees, through the weights between, the spikes that the loop's neurons sent one step earlier. A loop
without any neuron or delay has no meaning in discrete time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

Edge = tuple[str, str]
Holds = Callable[[str], bool]
K = TypeVar("K", bound=Hashable)


class AlgebraicLoopError(ValueError):
    """A loop holds no neuron; ``nodes`` names its members."""

    def __init__(self, nodes: Sequence[str]) -> None:
        self.nodes = tuple(nodes)
        super().__init__(f"loop without a neuron: {', '.join(self.nodes)}")


def components(nodes: Iterable[str], edges: Iterable[Edge]) -> list[tuple[str, ...]]:
    """Strongly connected components (Tarjan 1972, without recursion), in no promised order."""
    follow = _follow(nodes, edges)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    waiting: set[str] = set()
    found: list[tuple[str, ...]] = []

    def enter(name: str) -> tuple[str, Iterator[str]]:
        index[name] = low[name] = len(index)
        stack.append(name)
        waiting.add(name)
        return name, iter(follow[name])

    for root in follow:
        work = [] if root in index else [enter(root)]
        while work:
            name, targets = work[-1]
            for target in targets:
                if target not in index:
                    work.append(enter(target))
                    break
                if target in waiting:
                    low[name] = min(low[name], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    found.append(_unwind(stack, waiting, name))
    return found


def _follow(nodes: Iterable[str], edges: Iterable[Edge]) -> dict[str, list[str]]:
    follow: dict[str, list[str]] = {name: [] for name in nodes}
    for source, target in edges:
        follow[source].append(target)
    return follow


def _unwind(stack: list[str], waiting: set[str], last: str) -> tuple[str, ...]:
    members: list[str] = []
    while not members or members[-1] != last:
        members.append(stack.pop())
        waiting.discard(members[-1])
    return tuple(members)


def _is_loop(component: tuple[str, ...], edges: set[Edge]) -> bool:
    return len(component) > 1 or (component[0], component[0]) in edges


def _anchor(loop: set[str], edges: Sequence[Edge], rank: Mapping[str, int], holds: Holds) -> str:
    """The first neuron of ``loop`` reached from outside it (breadth first, ties in order of appearance)."""
    follow = _follow(loop, (edge for edge in edges if loop.issuperset(edge)))
    entries = {target for source, target in edges if target in loop and source not in loop} or loop
    queue = deque(sorted(entries, key=rank.__getitem__))
    seen = set(queue)
    while queue:
        name = queue.popleft()
        if holds(name):
            return name
        fresh = [target for target in follow[name] if target not in seen]
        seen.update(fresh)
        queue.extend(fresh)
    raise AlgebraicLoopError(sorted(loop, key=rank.__getitem__))


def _cuts(loop: set[str], anchor: str, edges: Sequence[Edge], holds: Holds) -> set[Edge]:
    """Edges out of the loop's neurons from which ``anchor`` is reached through weights alone."""
    back = _follow(loop, ((target, source) for source, target in edges if loop.issuperset((source, target))))
    cuts: set[Edge] = set()
    work, seen = [anchor], {anchor}
    while work:
        target = work.pop()
        for source in back[target]:
            if holds(source):
                cuts.add((source, target))
            elif source not in seen:
                seen.add(source)
                work.append(source)
    return cuts


def feedback_edges(nodes: Sequence[str], edges: Sequence[Edge], holds: Holds) -> set[Edge]:
    """The edges that carry the previous step's value; ``holds(name)``: the node is a neuron or delay.

    Raises:
        AlgebraicLoopError: a loop without one.
    """
    rank = {name: position for position, name in enumerate(nodes)}
    cut: set[Edge] = set()
    pending = list(edges)
    while True:
        known = set(pending)
        loops = [c for c in components(nodes, pending) if _is_loop(c, known)]
        if not loops:
            return cut
        for component in loops:
            loop = set(component)
            new = _cuts(loop, _anchor(loop, pending, rank, holds), pending, holds)
            if not new:
                raise AlgebraicLoopError(sorted(loop, key=rank.__getitem__))
            cut |= new
        pending = [edge for edge in pending if edge not in cut]


def execution_groups(nodes: Sequence[str], edges: Sequence[Edge], cut: set[Edge]) -> list[tuple[str, ...]]:
    """Nodes in order of execution, those of one loop together in one group.

    Among nodes that are ready, the one that comes first in ``nodes`` is taken.
    """
    groups = components(nodes, edges)
    owner = {name: number for number, group in enumerate(groups) for name in group}
    outer = [(owner[a], owner[b]) for a, b in edges if owner[a] != owner[b]]
    rank = {name: position for position, name in enumerate(nodes)}
    first = {number: min(rank[name] for name in group) for number, group in enumerate(groups)}
    ordered = _topological(list(first), outer, first)
    inner = [(a, b) for a, b in edges if (a, b) not in cut and owner[a] == owner[b]]
    by_group: dict[int, list[Edge]] = {}
    for edge in inner:
        by_group.setdefault(owner[edge[0]], []).append(edge)
    return [tuple(_topological(groups[n], by_group.get(n, []), rank)) for n in ordered]


def _topological(items: Iterable[K], edges: Iterable[tuple[K, K]], rank: Mapping[K, int]) -> list[K]:
    """Kahn's order; among ready items the lowest rank first."""
    missing = dict.fromkeys(items, 0)
    follow: dict[K, list[K]] = {item: [] for item in missing}
    for source, target in edges:
        follow[source].append(target)
        missing[target] += 1
    by_rank = {rank[item]: item for item in missing}
    ready = [rank[item] for item, count in missing.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        item = by_rank[heapq.heappop(ready)]
        order.append(item)
        for target in follow[item]:
            missing[target] -= 1
            if not missing[target]:
                heapq.heappush(ready, rank[target])
    return order
