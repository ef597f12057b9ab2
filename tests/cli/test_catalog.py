"""``show`` and ``validate``: what machines read of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from snn_deploy.cli.main import exit_code


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capsys.readouterr()
    assert exit_code([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_show_a_component(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys, "show", "event-folder")
    assert (found["kind"], found["name"]) == ("data", "event-folder")
    rows = {row["name"]: row for row in found["options"]}
    assert rows["height"]["default"] == "(required)"
    assert rows["binning"]["values"] == "time | count"
    assert rows["augment.flip"]["meaning"]


def test_show_a_component_without_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "show", "reference")["options"] == []
    assert exit_code(["show", "reference"]) == 0
    assert "no options" in capsys.readouterr().out


def test_show_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "show", "quickstart")["name"] == "quickstart"


def test_validate(capsys: pytest.CaptureFixture[str]) -> None:
    assert [row["ok"] for row in shown(capsys, "validate", "quickstart")] == [True]
    rows = shown(capsys, "validate", "quickstart", "quikstart", code=2)
    assert [row["ok"] for row in rows] == [True, False]
    assert rows[1]["exit_code"] == 2


def test_validate_builds_what_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ["samd-nld-cifar10-resnet19-t4", "-o", "method.student_tap=layer9"]
    assert shown(capsys, "validate", *wrong)[0]["ok"]
    rows = shown(capsys, "validate", "--build", "quickstart", code=0)
    assert [row["ok"] for row in rows] == [True]
    (row,) = shown(capsys, "validate", "--build", *wrong, code=2)
    assert "Cannot tap 1 module" in row["error"]
