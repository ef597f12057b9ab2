"""Give every item a place of its own, or show why that is impossible.

Maximum bipartite matching by augmenting paths (Kuhn 1955), depth first and without recursion. When an item
stays without a place, the items and places on alternating paths from it form a Hall violation: more items
than places that any of them could take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Matching:
    """``places[i]`` is the place of item i, None where it has none; ``conflict`` explains one failure.

    ``conflict`` is ``(items, places)`` with more items than places, such that the items can go nowhere else;
    None where every item has a place.
    """

    places: tuple[int | None, ...]
    conflict: tuple[tuple[int, ...], tuple[int, ...]] | None

    @property
    def complete(self) -> bool:
        """Whether every item has a place."""
        return self.conflict is None


def match(allowed: Sequence[Sequence[int]]) -> Matching:
    """Match each item i to one of the places ``allowed[i]``, earlier ones preferred; no place twice."""
    owner: dict[int, int] = {}
    conflict: tuple[tuple[int, ...], tuple[int, ...]] | None = None
    for item in range(len(allowed)):
        came_from = _search(item, allowed, owner)
        if isinstance(came_from, _Stuck):
            conflict = conflict or (came_from.items, came_from.places)
            continue
        owner.update(came_from)
    found: list[int | None] = [None] * len(allowed)
    for place, item in owner.items():
        found[item] = place
    return Matching(tuple(found), conflict)


@dataclass(frozen=True, slots=True)
class _Stuck:
    items: tuple[int, ...]
    places: tuple[int, ...]


def _search(
    root: int, allowed: Sequence[Sequence[int]], owner: dict[int, int]
) -> list[tuple[int, int]] | _Stuck:
    """Places to hand over, as ``(place, new owner)``, so that ``root`` gets one."""
    taker: dict[int, int] = {}
    work = [root]
    items = [root]
    while work:
        item = work.pop()
        for place in allowed[item]:
            if place in taker:
                continue
            taker[place] = item
            if place not in owner:
                return _handover(place, taker, owner)
            items.append(owner[place])
            work.append(owner[place])
    return _Stuck(tuple(sorted(items)), tuple(sorted(taker)))


def _handover(free: int, taker: dict[int, int], owner: dict[int, int]) -> list[tuple[int, int]]:
    """The alternating path that ends in the place ``free``."""
    held = {item: place for place, item in owner.items()}
    path, place = [], free
    while True:
        item = taker[place]
        path.append((place, item))
        if item not in held:
            return path
        place = held[item]
