"""The JSON schemas of docs/schemas: those of the code, and what the commands write keeps to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.schemas import DOCUMENTS, schema_file, schema_text

from snn_deploy.cli.main import exit_code


def documents(bundle: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert exit_code(["compare", str(bundle), str(bundle), "--json"]) == 0
    return {
        "manifest": json.loads((bundle / "manifest.json").read_text()),
        "report": json.loads((bundle / "report" / "report.json").read_text()),
        "compare": json.loads(capsys.readouterr().out),
    }


@pytest.mark.parametrize("name", DOCUMENTS)
def test_is_the_schema_of_the_code(name: str) -> None:
    assert schema_file(name).read_text() == schema_text(name), "run: make schemas"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_is_written_keeps_to_it(name: str, bundle_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = jsonschema.Draft202012Validator(json.loads(schema_file(name).read_text()))
    document = documents(bundle_dir, capsys)[name]
    judge.validate(document)
    for key in judge.schema["required"]:
        less = {k: v for k, v in document.items() if k != key}
        assert not judge.is_valid(less), key
        assert not judge.is_valid(document | {key: object()}), key
