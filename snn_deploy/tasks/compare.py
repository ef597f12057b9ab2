"""Compare two reports; loads without torch."""

from __future__ import annotations

from pathlib import Path

from snn_deploy.report.blocks import Comparison
from snn_deploy.report.compare import compare, require_energy
from snn_deploy.report.read import find_report, read_report


def compare_reports(before: Path | str, after: Path | str, *, most: float | None = None) -> Comparison:
    """Compare two reports: files ``report.json``, or folders of reports, runs or bundles.

    Args:
        before: the report to hold against.
        after: the report that is judged.
        most: the gate, a fraction: no dynamic energy may have risen by more.

    Raises:
        DataError: there is no report.
        RegressionError, ConfigError: see :func:`snn_deploy.report.compare.require_energy`.
    """
    found = compare(read_report(find_report(Path(before))), read_report(find_report(Path(after))))
    if most is not None:
        require_energy(found, most)
    return found
