"""Every pass against texts of a network before and after it.

The texts were written by hand: from the networks in ``support/pass_cases.py`` and the equation that the first
lines of each file work out. They are not recorded from the code; where one differs, the code is looked at
first.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.pass_cases import CASES
from support.pass_texts import text

import snn_deploy.export
import snn_deploy.graph
from snn_deploy.graph.passes.protocol import Pass, Stage

FOLDER = Path(__file__).parent / "passes"


def golden(name: str) -> tuple[str, str]:
    """The texts before and after, without the lines that explain."""
    content = (FOLDER / f"{name}.txt").read_text()
    _, before, after = content.split("\n--- ")
    return before.removeprefix("before\n"), after.removeprefix("after\n")


@pytest.mark.parametrize("name", CASES)
def test_a_pass_makes_what_was_worked_out_by_hand(name):
    step, subject = CASES[name]
    before, after = golden(name)
    assert text(subject) == before
    made = Stage.of(subject).then(step).subject
    assert text(made) == after
    assert text(subject) == before, "a pass leaves its input as it was"


def test_every_file_is_a_case():
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(CASES)


def test_every_pass_has_a_case():
    for package in (snn_deploy.graph, snn_deploy.export):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    shown = {type(step) for step, _ in CASES.values()}
    assert {kind for kind in _passes(Pass) if kind.__module__.startswith("snn_deploy.")} == shown


def _passes(kind: type[Any]) -> Iterator[type[Any]]:
    for below in kind.__subclasses__():
        if not below.__abstractmethods__:
            yield below
        yield from _passes(below)
