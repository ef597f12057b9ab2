"""Numbers people read: three digits, SI prefixes, nothing rounded into a lie."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.hardware.interval import Interval
from snn_deploy.report import format as fmt

N = fmt.NARROW
SCALE = {prefix: 10.0 ** (3 * i) for i, prefix in enumerate("afpnµm", start=-6)}
SCALE |= {prefix: 10.0 ** (3 * i) for i, prefix in enumerate(["", *"kMGTPE"])}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234e-8, "J", f"12.3{N}nJ"),
        (9.996e-10, "J", f"1.00{N}nJ"),
        (0.0, "J", f"0{N}J"),
        (0.104, "W", f"104{N}mW"),
        (1.0, "s", f"1.00{N}s"),
        (5e-7, "s", f"500{N}ns"),
        (-2.5e-3, "J", f"−2.50{N}mJ"),
        (1234, "", "1,234"),
        (9999, "", "9,999"),
        (48_211, "", f"48.2{N}k"),
        (999_999, "", f"1.00{N}M"),
        (0.04567, "", "0.0457"),
        (7791.25, "", "7,791"),
    ],
)
def test_si(value, unit, text):
    assert fmt.si(value, unit) == text


@given(st.floats(1e-17, 1e17))
def test_si_reads_back_within_half_a_unit_of_the_third_digit(value):
    text = fmt.si(value, "J")
    digits, prefix = re.fullmatch(rf"([\d.]+){N}(.?)J", text).groups()
    assert 1 <= float(digits) < 1000
    assert len(digits.replace(".", "").lstrip("0")) <= 3 or digits.endswith("0")
    assert float(digits) * SCALE[prefix] == pytest.approx(value, rel=5.1e-3)


@given(st.lists(st.floats(1e-15, 1.0), min_size=3, max_size=3))
def test_a_central_value_never_stands_alone(values):
    interval = Interval(*sorted(values))
    text = fmt.span(interval, "J")
    assert re.fullmatch(rf"[\d.]+{N}.?J \([\d.]+–[\d.]+{N}.?J\)", text)
    assert fmt.bounds(interval, "J") in text


def test_span_uses_one_prefix():
    assert fmt.span(Interval(6.15e-9, 1.23e-8, 2.46e-8), "J") == f"12.3{N}nJ (6.15–24.6{N}nJ)"
    assert fmt.span_in(Interval(4.5e-13, 9e-13, 1.8e-12), "pJ", 1e-12) == f"0.9{N}pJ (0.45–1.8{N}pJ)"


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.9722, "97.2"), (1.0, "100.0"), (0.99999, ">99.9"), (0.0, "0.0"), (0.0001, "<0.1")],
)
def test_percent(fraction, text):
    assert fmt.percent(fraction) == f"{text}{N}%"


def test_labels_of_axes():
    assert fmt.power_of_ten(-8, "J") == f"10{N}nJ"
    assert fmt.power_of_ten(-6, "J") == f"1{N}µJ"
    assert fmt.power_of_ten(0, "") == "1"
    assert fmt.power_of_ten(-2, "") == "0.01"


def test_shapes_and_moments():
    assert fmt.shape((2, 16, 16)) == f"2{N}×{N}16{N}×{N}16"
    assert fmt.moment("2026-11-21T11:00:00+01:00") == "2026-11-21 10:00 UTC"
    assert fmt.moment("yesterday") == "yesterday"
