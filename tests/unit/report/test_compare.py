"""Two reports side by side, and the gate on energy."""

from __future__ import annotations

import pytest
from support.counts import counts as made_counts
from support.counts import edge, neurons
from support.reports import bundle_report

from snn_deploy.core.errors import ConfigError, DataError, RegressionError
from snn_deploy.energy.price import price
from snn_deploy.hardware.profile import load_profile
from snn_deploy.report import assemble
from snn_deploy.report.build import build_report
from snn_deploy.report.compare import compare, require_energy
from snn_deploy.report.model import Header, ReportData
from snn_deploy.report.read import find_report
from snn_deploy.report.view.comparison import comparison_view

PROFILES = ("horowitz-45nm-fp32", "loihi1-davies", "loihi2")


def report(events: int, *, profiles=PROFILES, spikes=((1, 3), (5, 7)), **header) -> ReportData:
    """One layer with ``events`` events in every step and sample."""
    counted = made_counts(edge(sites=((events, events), (events, events))), neurons(spikes=spikes))
    loaded = [load_profile(name) for name in profiles]
    return ReportData(
        header=Header(**({"title": "net", "kind": "nir", "data": "digits", "samples": 2} | header)),
        activity=assemble.activity(counted),
        energy=tuple(assemble.profile_price(price(counted, profile), profile) for profile in loaded),
    )


def test_changes_by_hand():
    """100 events become 110: 50 and 55 of them on weights that are not zero, at 0.9 pJ each, in two steps."""
    found = compare(report(100), report(110))
    arithmetic, loihi = found.energies
    assert arithmetic.before == pytest.approx(100 * 0.9e-12)
    assert arithmetic.relative == pytest.approx(0.1)
    assert loihi.relative == pytest.approx(20 * 23.6 / (200 * 23.6 + 8 * 81 + 192 * 52 + 8 * 1.7))
    figures = {change.name: change for change in found.figures}
    assert (figures["synaptic operations"].before, figures["synaptic operations"].after) == (200, 220)
    assert figures["SOPs, n"].relative == pytest.approx(0.1)
    assert found.conditions == ()
    assert found.refused == (("loihi2", "no energy per event is known"),)


@pytest.mark.parametrize(("events", "most", "fails"), [(105, 0.05, False), (106, 0.05, True), (90, 0, False)])
def test_gate(events, most, fails):
    found = compare(report(100), report(events))
    if not fails:
        require_energy(found, most)
        return
    with pytest.raises(RegressionError) as caught:
        require_energy(found, most)
    assert caught.value.exit_code == 4
    (problem,) = caught.value.problems
    assert problem.where == "horowitz-45nm-fp32"
    assert "+6.0" in problem.what
    assert "+5.0" in problem.rule


def test_from_nothing_is_a_rise():
    silent = report(0, profiles=PROFILES[:1])
    with pytest.raises(RegressionError, match="from nothing"):
        require_energy(compare(silent, report(2, profiles=PROFILES[:1])), 100.0)
    require_energy(compare(silent, silent), 0.0)


@pytest.mark.parametrize(
    ("header", "where"),
    [({"samples": 3}, "samples"), ({"data_digest": "ab"}, "data"), ({"data": "other"}, "data")],
)
def test_the_gate_refuses_other_inputs(header, where):
    with pytest.raises(ConfigError) as caught:
        require_energy(compare(report(100), report(100, **header)), 0.05)
    assert [problem.where for problem in caught.value.problems] == [where]
    require_energy(compare(report(100), report(100, timesteps=9)), 0.05)


def test_what_cannot_be_compared_is_named():
    newer = report(100)
    changed = newer.energy[0].model_copy(update={"version": 2})
    partial = newer.energy[1].model_copy(update={"unknown": ()})
    newer = newer.model_copy(update={"energy": (changed, partial)})
    found = compare(report(100), newer)
    assert found.energies == ()
    reasons = dict(found.refused)
    assert "version 1 before, 2 now" in reasons["horowitz-45nm-fp32"]
    assert "different terms" in reasons["loihi1-davies"]
    assert reasons["loihi2"] == "only in the other report"
    with pytest.raises(ConfigError) as caught:
        require_energy(found, 0.05)
    assert {problem.where for problem in caught.value.problems} == set(PROFILES)


def test_lines_say_what_got_better():
    before, after = bundle_report(), bundle_report()
    worse = after.accuracies[1].model_copy(update={"fraction": 0.95})
    after = after.model_copy(update={"accuracies": (after.accuracies[0], worse)})
    lines = {line.name: line for line in comparison_view(compare(before, after)).figures}
    assert lines["accuracy, teacher"].tone == "off"
    assert lines["accuracy, student"].tone == "bad"
    assert "2.2" in lines["accuracy, student"].change
    assert lines["accuracy, lava in loihi"].after == "–"
    cheaper = comparison_view(compare(report(100), report(50)))
    assert {line.tone for line in cheaper.energies} == {"ok"}


def test_reports_are_found_where_commands_leave_them(tmp_path):
    with pytest.raises(DataError, match="no report"):
        find_report(tmp_path)
    build_report(report(1), tmp_path / "report", ("json",))
    expected = tmp_path / "report" / "report.json"
    assert find_report(tmp_path) == find_report(tmp_path / "report") == find_report(expected) == expected
