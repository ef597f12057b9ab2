"""Find and read a report that was written; loads without torch."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.core.damage import read_json
from snn_deploy.core.errors import DataError
from snn_deploy.report.model import ReportData

FILE = "report.json"


def find_report(path: Path) -> Path:
    """The ``report.json`` of a report's folder, of a run or of a bundle; ``path`` itself if it is a file.

    Raises:
        DataError: there is none.
    """
    places = (path, path / FILE, path / "report" / FILE)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(f"There is no report at '{path}'.", hint=f"Write one first: snn-deploy report {path}")
    return found


def read_report(path: Path) -> ReportData:
    """Read ``report.json``.

    Raises:
        DataError: missing, damaged, or of another schema version.
    """
    return read_json(path, ReportData, "report", hint="Write it again: snn-deploy report")
