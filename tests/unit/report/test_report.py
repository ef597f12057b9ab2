"""The report as a page: sums of its parts, escaped, self-contained, every energy with provenance."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from support.counts import counts as made_counts
from support.counts import edge, neurons
from support.reports import (
    HOSTILE,
    LAYERS,
    digits_counts,
    hostile_report,
    parity_rows,
    prices,
    terminal,
    training_records,
)
from support.shown import named_blocks

import snn_deploy.report
from snn_deploy.hardware.interval import total
from snn_deploy.report import assemble
from snn_deploy.report import format as fmt
from snn_deploy.report.build import build_report, render_html
from snn_deploy.report.model import Header, ReportData
from snn_deploy.report.read import read_report
from snn_deploy.report.view.energy import evidence

SCRIPT = (Path(snn_deploy.report.__file__).parent / "templates" / "report.js").read_text()
VOID = {"meta", "br", "img", "input", "link", "hr", "line", "rect", "circle", "path", "polyline"}


class Page(HTMLParser):
    """Checks nesting while it collects tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"attribute given twice in <{tag}>"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in {"style", "script"}:
            self.text += data


@pytest.fixture(scope="module")
def html(data) -> str:
    return render_html(data)


def test_page_is_well_formed(html):
    page = Page(html)
    assert html.lstrip().startswith("<!DOCTYPE html>")
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    for tag, attrs in page.tags:
        for name in ("aria-labelledby",):
            if name in attrs:
                assert attrs[name] in ids, (tag, name)
    drawings = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert drawings
    for attrs in drawings:
        named = attrs.get("aria-hidden") == "true" or (attrs.get("role") == "img" and attrs.get("aria-label"))
        assert named or set(attrs) == {"x", "y", "width", "height"}


def test_page_loads_nothing(html):
    page = Page(html)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    assert [attrs for tag, attrs in page.tags if tag == "script"] == [{}]
    assert "@import" not in html
    assert "http:" not in html
    assert "https:" not in html
    for tag, attrs in page.tags:
        for name, value in attrs.items():
            assert name not in {"src", "href", "srcset", "action", "data", "poster", "xlink:href"}, tag
            assert not name.startswith("on"), tag
            if value and "url(" in value:
                assert value.startswith("url(#")
    assert "url(" not in html.split("</style>")[0]


def test_page_shows_what_it_must(html, data):
    text = Page(html).text
    for part in ("97.2", "98.6", "digits-dvs", "Know before you use this", *LAYERS):
        assert part in text
    for row in data.energy:
        assert row.profile in text
        assert row.validity in text
        for constant in row.constants:
            assert constant.term in text
            assert constant.citation in text
    assert text.count("How to read this") == 6
    assert "unknown" in text


def test_every_energy_shown_carries_its_interval(data):
    """In headlines, tiles, lanes and layer bars a number of joules is always followed by its bounds."""
    text = Page(render_html(data.model_copy(update={"warnings": ()}))).text
    body = text.split("What it costs")[1].split("Static energy")[0]
    figures = re.findall(rf"[\d.,]+{fmt.NARROW}[afpnµm]?J(?! \(|\))", body)
    axis = {label for label in figures if re.fullmatch(rf"10{{0,2}}{fmt.NARROW}.?J", label)}
    assert [f for f in figures if f not in axis] == []


def test_every_energy_number_has_provenance(data):
    for row in data.energy:
        constants = {constant.term: constant for constant in row.constants}
        used = {t.term for layer in row.layers for t in layer.terms if t.energy and t.energy.high > 0}
        if row.static:
            used.add("static_per_chip")
        if row.twin:
            used.add("mac")
        for term in used:
            constant = constants[term]
            assert constant.value is not None
            assert constant.citation
            assert constant.basis
            assert constant.grade in {"A", "B", "C"}
            assert constant.interval


def test_totals_are_the_sums_of_their_parts(data):
    activity = data.activity
    counts = digits_counts()
    assert activity.sops == pytest.approx(counts.sops().sum(0).mean())
    assert activity.spikes == pytest.approx(counts.spikes().sum(0).mean())
    for row, steps in zip(activity.layers, activity.sops_by_step, strict=True):
        assert row.sops == pytest.approx(sum(steps))
    low, mid, high = activity.sample_quantiles
    assert low <= mid <= high
    for priced in data.energy:
        known = [layer.energy for layer in priced.layers if layer.energy is not None]
        for layer in priced.layers:
            if layer.energy is not None:
                parts = [t.energy for t in layer.terms if t.energy is not None]
                assert layer.energy.mid == pytest.approx(total(parts).mid)
        if priced.dynamic is not None:
            assert priced.dynamic.mid == pytest.approx(total(known).mid)
            assert priced.dynamic.low <= priced.dynamic.mid <= priced.dynamic.high


def test_firing_rate_and_density_by_hand():
    """8 spikes of 100 neurons in 2 steps: rate 0.04; 2.5 of 50 sources active in a step: density 5 %."""
    activity = assemble.activity(made_counts(edge(), neurons()))
    (layer,) = activity.layers
    assert layer.firing_rate == pytest.approx(8 / 200)
    assert layer.updates_touched == 60
    assert layer.edges[0].density == pytest.approx(np.mean([1, 2, 3, 4]) / 50)
    assert layer.edges[0].fan_out == 20
    assert layer.edges[0].zero_weights == pytest.approx(0.2)
    assert layer.dense == 2000
    assert activity.sops_by_step == ((15.0, 35.0),)


def test_hostile_names_are_escaped_everywhere():
    html = render_html(hostile_report().model_copy(update=named_blocks(HOSTILE)))
    assert html.count("<script") == 1
    assert f"<script>{SCRIPT}</script>" in html
    page = Page(html)
    assert HOSTILE in page.text
    assert all(
        "<script" not in (v or "") or n in {"title", "aria-label", "data-layer"}
        for _, a in page.tags
        for n, v in a.items()
    )


@pytest.mark.parametrize(
    "blocks",
    [
        {},
        {"activity": assemble.activity(digits_counts())},
        {"parity": assemble.parity(parity_rows()[-1:])},
        {"energy": prices(names=("loihi2",))},
        {"energy": prices(made_counts(edge(sites=((0, 0), (0, 0)))), names=("horowitz-45nm-fp32",))},
        {
            "activity": assemble.activity(
                made_counts(edge(sites=((0, 0), (0, 0))), neurons(spikes=((0, 0), (0, 0))))
            )
        },
        {"training": assemble.training(training_records(1))},
    ],
)
def test_any_block_may_be_missing_or_empty(tmp_path, blocks):
    data = ReportData(header=Header(title="net", kind="nir"), **blocks)
    written = build_report(data, tmp_path)
    assert set(written) == {"html", "json", "csv", "neurobench"}
    Page(written["html"].read_text())
    assert read_report(written["json"]) == data
    assert "net" in terminal(data, 80)


def test_many_steps_are_merged_and_said_so():
    sites = np.arange(600).reshape(300, 2)
    counts = made_counts(edge(sites=sites), neurons(spikes=sites, touched=sites))
    html = render_html(
        ReportData(header=Header(title="long", kind="nir"), activity=assemble.activity(counts))
    )
    assert "5 steps per column" in html
    assert "steps 296 to 300 (mean)" in html


def test_evidence_of_a_price():
    found = {row.profile: evidence(row, "dynamic") for row in prices()}
    assert found["horowitz-45nm-fp32"] == "hollow"
    assert found["loihi1-davies"] == "hatched"
    assert found["truenorth-0.8v"] == "solid"


def test_training_curve_comes_from_epoch_records():
    training = assemble.training(training_records(7))
    assert len(training.loss) == 7
    assert training.validation_accuracy[training.best_epoch - 1] == max(training.validation_accuracy)
    assert assemble.training([{"kind": "step"}]) is None
