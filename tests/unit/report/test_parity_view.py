"""What the parity block says about each kind of check."""

from __future__ import annotations

import pytest
from support.reports import LAYERS, parity_rows

from snn_deploy.report import format as fmt
from snn_deploy.report.assemble import parity
from snn_deploy.report.view.parity import parity_view

N = fmt.NARROW


def view(position, **changes):
    return parity_view(parity([parity_rows()[position] | changes]))[0]


def test_equal():
    check = view(0)
    assert check.figure == "0 of 23,621,760 spikes differ"
    assert [cell.tone for cell in check.cells] == ["ok"] * 4
    assert [cell.label for cell in check.cells] == [name.removesuffix(".neuron") for name in LAYERS]


def test_ties_are_listed_apart():
    check = view(1)
    assert check.figure.startswith("0 of")
    assert "3 float ties" in check.detail
    assert [cell.tone for cell in check.cells] == ["ok", "warn", "ok", "ok"]
    line = check.rows[1]
    assert (line.differing, line.ties, line.first) == ("0", "3", "step 3, sample 117, element 1404")


def test_unexplained_flips_are_bad():
    rows = parity_rows()[0]
    broken = rows["layers"][1] | {"differing": 5, "ties": 2, "first": [0, 1, 2]}
    check = view(
        0, layers=[rows["layers"][0], broken], differing=3, verdict="failed", reason="3 spikes differ"
    )
    assert check.badge.tone == "bad"
    assert check.cells[1].tone == "bad"
    assert check.rows[1].differing == "3"
    assert "3 spikes differ" in check.detail


def test_drift_of_an_approximate_format():
    check = view(2)
    assert check.figure == f"99.26{N}% of 23,621,760 spikes equal"
    assert f"accuracy 97.2{N}% → 96.7{N}%" in check.detail
    assert {cell.tone for cell in check.cells} == {"drift"}


@pytest.mark.parametrize(
    ("differing", "figure"),
    [(0, "all 5,120 outputs equal"), (2, f"99.96{N}% of 5,120 outputs equal")],
)
def test_a_runtime_without_visible_layers_is_judged_by_its_outputs(differing, figure):
    check = view(2, layers=[], compared=5120, output_compared=5120, output_differing=differing, exact=False)
    assert check.figure == figure
    assert check.cells == ()


def test_not_run_says_why():
    check = view(4)
    assert (check.figure, check.badge.text, check.detail) == ("snntorch is not installed", "not run", "")
