"""The page of readers that is checked in says what runs here; ``make interop`` writes it anew."""

from __future__ import annotations

import itertools

import pytest
from interop.conformance import FILE, PEERS

from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.judge import Verdict
from snn_deploy.conformance.known import READERS
from snn_deploy.conformance.matrix import Column, conform
from snn_deploy.conformance.page import page, read_page

TEXT = FILE.read_text()
STATED = read_page(TEXT)


def test_has_every_row_and_reader():
    assert list(STATED) == list(READERS)
    assert all(list(column) == [row.name for row in golden_set()] for column in STATED.values())
    assert set(STATED["snn-deploy"].values()) == {"right"}
    guide = FILE.parents[1] / "docs" / "conformance.md"
    assert f"{len(golden_set())} small graphs" in guide.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "it leaked: membranes kept 0.9 of their value in a step",
        "the biases of 'w' were lost, with other constants in their place",
        "'p' were not there",
        "the step were tau / r",
    ],
)
def test_the_four_finds_are_of_real_readers(text):
    """IF read as leaky: snnTorch; a lost bias: NIRTorch; skipped layers: Norse; tau / r: snn-mlir."""
    plain = TEXT.replace("\\", "")
    assert f"as if {text}" in plain or f"and {text}" in plain


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "spikingjelly" else pytest.mark.slow)
        for name in READERS
        if name not in {*PEERS, "snn-deploy"}
    ],
)
def test_says_what_runs(name):
    pytest.importorskip(name)
    column = conform(READERS[name])
    assert {verdict.name: verdict.mark for verdict in column.verdicts} == STATED[name]


CAUSES = {"right": {}, "wrong": {"looks": ("a|b",)}, "refuses": {"reason": "no"}}


def test_is_written_and_read_back():
    verdicts = tuple(
        Verdict(row.name, row.group, mark, **cause)
        for row, (mark, cause) in zip(golden_set(), itertools.cycle(CAUSES.items()), strict=False)
    )
    written = page([Column("mine", verdicts, {"mine": "1"})], "2026-01-01")
    assert read_page(written)["mine"] == {verdict.name: verdict.mark for verdict in verdicts}
    assert "**wrong** [1]" in written
    assert "refuses [2]" in written
