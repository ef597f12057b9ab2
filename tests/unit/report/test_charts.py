"""Geometry: positions are monotone, inside the track, and labels tell the truth."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.report.charts import LinearAxis, LogAxis, binned, level, polyline, wilson

positive = st.floats(1e-16, 1e12)


@given(st.lists(positive, min_size=1, max_size=6))
def test_log_axis_holds_its_values_in_order(values):
    axis = LogAxis.around(values)
    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 < place < 100 for place in places)
    ticks = axis.ticks("J")
    assert len(ticks) <= 7 or math.log10(axis.high / axis.low) > 62
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_log_axis_by_hand():
    axis = LogAxis(1.0, 100.0)
    assert (axis.at(1), axis.at(10), axis.at(100), axis.at(1e9), axis.at(0)) == (0, 50, 100, 100, 0)
    assert [(tick.at, tick.label) for tick in axis.ticks("")] == [(0, "1"), (50, "10"), (100, "100")]
    assert [tick.anchor for tick in axis.ticks("")] == ["start", "middle", "end"]
    assert LogAxis.around([]).at(1.0) == 50


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_axis_of_accuracies(values):
    axis = LinearAxis.of_fractions(values)
    assert 0 <= axis.low < axis.high <= 1
    assert all(axis.low - 1e-9 <= value <= axis.high + 1e-9 for value in values)
    assert 2 <= len(axis.percent_ticks()) <= 8


def test_wilson_interval_by_hand():
    """50 of 100: (0.5 + z²/200 ± z sqrt(0.0025 + z²/40000)) / (1 + z²/100) with z = 1.96."""
    assert wilson(0.5, 100) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    assert wilson(1.0, 10)[1] == pytest.approx(1.0)
    assert wilson(1.0, 10)[0] == pytest.approx(0.7225, abs=1e-4)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_wilson_contains_the_fraction(fraction, samples):
    low, high = wilson(fraction, samples)
    assert 0 <= low <= fraction + 1e-12
    assert fraction - 1e-12 <= high <= 1


def test_levels_are_logarithmic():
    assert [level(v, 1, 1e8, 8) for v in (0, 1, 11, 101, 9e7, 1e8)] == [0, 1, 2, 3, 8, 8]
    assert level(5, 5, 5, 8) == 8


@given(
    st.lists(st.lists(st.floats(0, 1e6), min_size=12, max_size=12), min_size=1, max_size=3),
    st.integers(1, 20),
)
def test_bins_keep_the_mean_of_full_bins(rows, columns):
    merged, size = binned(rows, columns)
    assert len(merged[0]) <= columns
    assert len(merged[0]) == math.ceil(12 / size)
    if 12 % size == 0:
        for before, after in zip(rows, merged, strict=True):
            assert sum(after) * size == pytest.approx(sum(before))


def test_polyline_by_hand():
    assert polyline([0, 1, 0.5], 0, 1) == "0.000,100.000 50.000,0.000 100.000,50.000"
