"""The report in JSON, CSV, Markdown, NeuroBench's keys and a terminal."""

from __future__ import annotations

import csv
import io
import json
import re

import nir
import numpy as np
import pytest
from support.counts import counts as made_counts
from support.counts import edge, neurons
from support.graphs import graph
from support.reports import LAYERS, bundle_report, hostile_report, terminal

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.graph.plan import make_plan
from snn_deploy.report import assemble
from snn_deploy.report.build import build_report, render_json
from snn_deploy.report.markdown import escaped, markdown
from snn_deploy.report.model import Header, ReportData
from snn_deploy.report.neurobench import neurobench
from snn_deploy.report.read import read_report
from snn_deploy.report.table import layers_csv


def test_json_round_trip(tmp_path, data):
    path = build_report(data, tmp_path, ("json",))["json"]
    assert read_report(path) == data
    content = json.loads(path.read_text())
    assert content["schema_version"] == 1
    assert content["energy"][0]["dynamic"]["mid"] == pytest.approx(data.energy[0].dynamic.mid)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(schema_version=2), "schema_version"),
        (lambda c: c["header"].update(colour="red"), "header.colour"),
        (lambda c: c["energy"][0]["dynamic"].update(low=9.0), "energy.0.dynamic"),
        (lambda c: c["accuracies"][0].update(fraction=1.2), "accuracies.0.fraction"),
    ],
)
def test_damaged_json_is_refused(tmp_path, data, change, message):
    content = json.loads(render_json(data))
    change(content)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=re.escape(message)):
        read_report(path)
    with pytest.raises(DataError, match="no report"):
        read_report(tmp_path / "none.json")


def test_csv_has_one_row_per_layer_and_profile(data):
    rows = list(csv.DictReader(io.StringIO(layers_csv(data))))
    assert len(rows) == len(LAYERS) * len(data.energy)
    first = [row for row in rows if row["profile"] == data.energy[0].profile]
    assert sum(float(row["sops_sites"]) for row in first) == pytest.approx(data.activity.sops)
    assert sum(float(row["dynamic_mid_j"]) for row in first) == pytest.approx(data.energy[0].dynamic.mid)
    unknown = [row for row in rows if row["profile"] == "loihi2"]
    assert {row["dynamic_mid_j"] for row in unknown} == {""}
    assert {row["lower_bound"] for row in unknown} == {"True"}


def test_formulas_in_names_are_defused_in_csv():
    counts = made_counts(edge("=HYPERLINK(1)", "@layer"), neurons("@layer"))
    report = ReportData(header=Header(title="+1", kind="nir"), activity=assemble.activity(counts))
    row = next(csv.DictReader(io.StringIO(layers_csv(report))))
    assert (row["network"], row["layer"], row["edges"]) == ("'+1", "'@layer", "'=HYPERLINK(1)")


def test_hostile_names_are_not_markup_in_the_terminal():
    text = terminal(ReportData(header=Header(title="[bold]x[/bold] [red", kind="nir")), 80)
    assert "[bold]x[/bold] [red" in text


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal_fits(data, width):
    text = terminal(data, width)
    assert max(len(line) for line in text.splitlines()) <= width
    assert "\x1b" not in text
    for part in ("97.2", "ties only", "not run", "unknown", "≥"):
        assert part in text


def test_markdown_has_the_figures_and_no_markup_of_strangers(data):
    text = markdown(data)
    for part in ("97.2", *(escaped(name) for name in LAYERS), "at least"):
        assert part in text
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {4, 6}
    hostile = markdown(hostile_report())
    assert not re.search(r"(?<!\\)[*`\[\]]", hostile)
    assert not set("<>") & set(hostile)


def test_neurobench_keys_by_hand(tmp_path):
    """50 binary and 40 graded events on weights that are not zero, 16 spikes in 100 x 2 x 2 updates."""
    edges = (edge("w", "n"), edge("g", "n", edge_class="graded", sites=((10, 10), (20, 40))))
    plan = make_plan(
        graph({"w": nir.Linear(np.eye(4, dtype=np.float32))}, [("input", "w"), ("w", "output")], (4,), (4,))
    )
    block = neurobench(made_counts(*edges, neurons()), plan, 0.9)
    report = ReportData(header=Header(title="net", kind="nir"), neurobench=block)
    written = build_report(report, tmp_path, ("neurobench",))["neurobench"]
    assert json.loads(written.read_text()) == {
        "SynapticOperations": {"Effective_MACs": 40 / 2, "Effective_ACs": 50 / 2, "Dense": 4000.0},
        "ActivationSparsity": 1 - 16 / 400,
        "ConnectionSparsity": 0.75,
        "ClassificationAccuracy": 0.9,
    }


def test_unknown_format():
    with pytest.raises(ConfigError, match="Did you mean 'html'"):
        build_report(bundle_report(), None, ("htm",))
