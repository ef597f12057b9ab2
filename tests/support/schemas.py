"""The JSON schemas of what machines read: ``python tests/support/schemas.py`` writes them to docs/schemas."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from snn_deploy.convert.documents import Certificate
from snn_deploy.export.manifest_schema import Manifest
from snn_deploy.report.blocks import Comparison
from snn_deploy.report.model import ReportData

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "schemas"
DOCUMENTS: dict[str, type[BaseModel]] = {
    "certificate": Certificate,
    "manifest": Manifest,
    "report": ReportData,
    "compare": Comparison,
}


def schema_file(name: str) -> Path:
    return FOLDER / f"{name}.schema.json"


def schema_text(name: str) -> str:
    schema = DOCUMENTS[name].model_json_schema(mode="serialization")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(dialect | schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for document in DOCUMENTS:
        schema_file(document).write_text(schema_text(document))
