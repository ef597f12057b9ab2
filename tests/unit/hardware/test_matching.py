"""The matching is as large as any, and its conflicts are true: brute force over every assignment."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.hardware.matching import match


@st.composite
def problems(draw) -> list[list[int]]:
    places = draw(st.integers(1, 6))
    items = draw(st.integers(0, 6))
    return [draw(st.lists(st.integers(0, places - 1), unique=True)) for _ in range(items)]


def largest(allowed: list[list[int]]) -> int:
    """Size of the largest matching, over all orders in which places are dealt out."""
    places = sorted({place for row in allowed for place in row})
    slots = [*places, *([None] * len(allowed))]
    return max(
        sum(place in row for place, row in zip(dealt, allowed, strict=True))
        for dealt in set(itertools.permutations(slots, len(allowed)))
    )


@settings(max_examples=150, deadline=None)
@given(problems().filter(lambda allowed: len(allowed) <= 4))
def test_is_as_large_as_any(allowed):
    found = match(allowed).places
    used = [place for place in found if place is not None]
    assert len(used) == len(set(used)) == largest(allowed)
    assert all(place in row for place, row in zip(found, allowed, strict=True) if place is not None)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_a_conflict_is_a_hall_violation(allowed):
    matching = match(allowed)
    assert matching.complete == (None not in matching.places)
    if matching.conflict is not None:
        items, places = matching.conflict
        assert len(items) == len(places) + 1
        assert {place for item in items for place in allowed[item]} == set(places)


def test_hands_places_over_along_a_path():
    assert match([[0, 1], [0], [1, 2]]).places == (1, 0, 2)
    assert match([[0], [1], [0, 1, 2], [2, 3]]).places == (0, 1, 2, 3)
    assert match([[2, 0], [2, 1], [2]]).places == (0, 1, 2)


def test_earlier_places_are_preferred():
    assert match([[7, 8], [8, 7]]).places == (7, 8)


def test_nothing_to_place():
    assert match([]).places == ()
    assert match([[]]).conflict == ((0,), ())
