"""Interval arithmetic keeps its order and contains what it should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.hardware.interval import ZERO, Interval, total

positive = st.floats(1e-15, 1e3)
intervals = st.tuples(positive, positive, positive).map(lambda v: Interval(*sorted(v)))


@given(st.lists(intervals, max_size=8), st.floats(0, 1e6))
def test_sums_and_multiples(parts, factor):
    whole = total(parts)
    assert whole.low <= whole.mid <= whole.high
    assert whole.mid == pytest.approx(sum(part.mid for part in parts))
    scaled = whole * factor
    assert scaled.low <= scaled.mid <= scaled.high
    assert total([]) == ZERO


@given(intervals, intervals)
def test_quotient_contains_every_quotient(a, b):
    ratio = a.over(b)
    for x in (a.low, a.mid, a.high):
        for y in (b.low, b.mid, b.high):
            assert ratio.low * (1 - 1e-12) <= x / y <= ratio.high * (1 + 1e-12)


def test_disorder_is_refused():
    with pytest.raises(ValueError, match="not an interval"):
        Interval(2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="not an interval"):
        Interval(1.0, float("nan"), 3.0)
    with pytest.raises(ValueError, match="not negative"):
        Interval(1.0, 1.0, 1.0) * -1.0
