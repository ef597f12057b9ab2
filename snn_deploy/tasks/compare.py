"""Compare two reports; loads without torch."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from snn_deploy.report.blocks import Comparison
from snn_deploy.report.compare import compare, require_accuracy, require_energy
from snn_deploy.report.read import find_report, read_report


def compare_reports(
    before: Path | str,
    after: Path | str,
    *,
    profiles: Collection[str] = (),
    most: float | None = None,
    least: float | None = None,
) -> Comparison:
    """Compare two reports: files ``report.json``, or folders of reports, runs or bundles.

    Args:
        before: the report to hold against.
        after: the report that is judged.
        profiles: whose energies are compared; by default all.
        most: a gate, a fraction: no dynamic energy may have risen by more.
        least: a gate, a difference of fractions: no accuracy may have fallen by more.

    Raises:
        DataError: there is no report.
        RegressionError, ConfigError: see :mod:`snn_deploy.report.compare`.
    """
    found = compare(read_report(find_report(Path(before))), read_report(find_report(Path(after))), profiles)
    if least is not None:
        require_accuracy(found, least)
    if most is not None:
        require_energy(found, most)
    return found
