"""The page as a document: valid HTML, every number with an entry under provenance, every block shown."""

from __future__ import annotations

import re

import html5lib
import pytest
from support.counts import counts as made_counts
from support.counts import edge, neurons
from support.reports import LAYERS, bundle_report, digits_plan, prices, training_records
from support.shown import seen_report

from snn_deploy.energy.price import price
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.interval import Interval
from snn_deploy.hardware.profile import load_profile
from snn_deploy.report import assemble
from snn_deploy.report.blocks import Measurement
from snn_deploy.report.build import render_html
from snn_deploy.report.compare import compare
from snn_deploy.report.model import Header, ReportData
from snn_deploy.report.view.provenance import FORMULAS
from snn_deploy.report.view.tornado import tornado


@pytest.fixture(scope="module")
def full() -> ReportData:
    """A report with every block there is."""
    report = seen_report(
        fits=tuple(
            assemble.chip_fit(fit(digits_plan(), load_profile(name))) for name in ("loihi1-davies", "speck2f")
        ),
        measured=(
            Measurement(
                meter="RAPL, processor packages",
                what="reference simulator, batches of 64",
                energy=Interval(1e-3, 1.1e-3, 1.2e-3),
                idle=Interval(2e-4, 3e-4, 4e-4),
                seconds=1e-4,
                inferences=12_000,
            ),
            Measurement(meter="NVML", what="", reason="pynvml is not installed"),
        ),
    )
    other = bundle_report(header=report.header.model_copy(update={"title": "before", "samples": 100}))
    return report.model_copy(update={"comparison": compare(other, report)})


def elements(html: str):
    """The page parsed by the rules of the standard, any error of which raises."""
    document = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(html)
    parents = {child: parent for parent in document.iter() for child in parent}
    return document, parents


def test_the_page_is_valid(full):
    document, _ = elements(render_html(full))
    ids = [element.get("id") for element in document.iter() if element.get("id")]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    "blocks",
    [{}, {"training": assemble.training(training_records(3))}, {"energy": prices(names=("loihi2",))}],
)
def test_pages_with_few_blocks_are_valid(blocks):
    elements(render_html(ReportData(header=Header(title="<net> & 'co'", kind="nir"), **blocks)))


def test_every_number_has_an_entry_under_provenance(full):
    """Text that holds a digit stands inside an element that names entries, and every name has its entry."""
    document, parents = elements(render_html(full))
    entries = {
        e.get("id"): "".join(e.itertext()) for e in document.iter() if (e.get("id") or "").startswith("from-")
    }
    shown = 0
    (body,) = document.iter("body")
    for element in body.iter():
        texts = [(element, element.text or "")] + [(element, child.tail or "") for child in element]
        for holder, text in texts:
            if not re.search(r"\d", text) or not isinstance(element.tag, str):
                continue
            if holder.tag == "script":
                continue  # nobody reads it
            shown += 1
            chain = holder
            while chain is not None and not chain.get("data-from"):
                chain = parents.get(chain)
            assert chain is not None, f"no provenance for {text!r}"
            for key in chain.get("data-from").split():
                assert len(entries[f"from-{key}"]) > 40, key
    assert shown > 500
    assert {f"from-{key}" for key, *_ in FORMULAS} <= set(entries)


def test_energies_name_the_very_profile_that_they_come_from(full):
    document, _ = elements(render_html(full))
    (section,) = [e for e in document.iter("section") if e.get("id") == "energy"]
    named = {key for e in section.iter() for key in (e.get("data-from") or "").split()}
    assert {f"profile-{row.profile}" for row in full.energy} <= named
    for row in full.energy:
        (entry,) = [e for e in document.iter() if e.get("id") == f"from-profile-{row.profile}"]
        text = "".join(entry.itertext())
        assert all(constant.citation in text for constant in row.constants)


def test_new_blocks_are_shown(full):
    text = "".join(elements(render_html(full))[0].itertext())
    for part in (
        "Does it fit the chip?", "What does not fit", "Speck", "of 128 cores", "What moves this number",
        "Against before", "samples: 100 before, 360 now", "not measured: pynvml", "12,000 inferences",
        "also flow without work", "Where it differs first", "See it run", "How early could it decide?",
        *LAYERS,
    ):  # fmt: skip
        assert part in text
    assert text.count("How to read this") == 11


def test_tornado_by_hand():
    """Loihi: 50 SOPs of 23.6 (23.6 to 35.5) pJ swing the total by 595 pJ, and upwards only."""
    counted = made_counts(edge(), neurons())
    profile = load_profile("loihi1-davies")
    found = assemble.profile_price(price(counted, profile), profile)
    view = tornado(found, assemble.activity(counted))
    middle = 50 * 23.6 + 8 * 81 + 192 * 52 + 8 * 1.7
    bars = {swing.label: swing for swing in view.swings}
    # Updates of inactive neurons have the widest interval by rule, a factor of 1.5 either way.
    least, most = middle - 192 * 52 * (1 - 1 / 1.5), middle + 192 * 52 * 0.5
    assert view.swings[0].label == "updates of inactive neurons"
    assert view.swings[0].x == 0
    assert view.swings[0].width == 100
    sop = bars["synaptic operations"]
    assert sop.x == pytest.approx(100 * (middle - least) / (most - least), abs=0.01)
    assert sop.width == pytest.approx(100 * 50 * 11.9 / (most - least), abs=0.01)
    assert view.centre == sop.x
    # Samples of 40 and 60 SOPs: their 5th and 95th percentiles are 41 and 59.
    assert bars["input, 5 to 95 % of samples"].width == pytest.approx(
        100 * 18 * 23.6 / (most - least), abs=0.01
    )
    assert "n has 100" in view.advice
    assert "updates of inactive neurons" in view.advice
    assert tornado(prices(names=("loihi2",))[0], None) is None
