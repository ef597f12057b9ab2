"""The compatibility table that is checked in says what runs here; ``make interop`` writes it anew."""

from __future__ import annotations

import pytest
from interop import supported
from support.node_cases import node_cases

STATED = supported.read_table(supported.FILE.read_text())


def test_has_every_row_and_column():
    assert list(STATED) == [case.name for case in node_cases()]
    assert all(tuple(row) == supported.COLUMNS for row in STATED.values())
    assert not any("wrong" in row.values() for row in STATED.values())


@pytest.mark.parametrize(
    "column",
    [pytest.param(name, marks=pytest.mark.slow if name == "lava" else ()) for name in supported.OURS],
)
def test_says_what_runs(column, tmp_path):
    if column in supported.HERE:
        pytest.importorskip(column)
    found = supported.cells(supported.outcomes([column], tmp_path, lambda line: None))
    stated = {name: row[column] for name, row in STATED.items()}
    assert {name: row[column] for name, row in found.items()} == stated


def test_is_written_and_read_back():
    found = {
        column: {case.name: supported.Outcome("refused", rules=("nobody reads it",)) for case in node_cases()}
        for column in supported.COLUMNS
    }
    page = supported.markdown(found, {"peer": "peer 1.0"})
    assert supported.read_table(page) == supported.cells(found)
    assert "no [1]" in page
    assert "1. nobody reads it" in page
