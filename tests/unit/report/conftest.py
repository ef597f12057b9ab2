"""Fixtures of the tests of reports."""

from __future__ import annotations

import pytest
from support.reports import bundle_report

from snn_deploy.report.model import ReportData


@pytest.fixture(scope="session")
def data() -> ReportData:
    return bundle_report()
