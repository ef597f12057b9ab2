"""The page in a real browser: clicks, keys, no errors, nothing loaded; readable without scripts."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import CHROMIUM, MISSING, Browser, browser
from support.reports import HOSTILE, hostile_report
from support.shown import FAILED, named_blocks, seen_report

from snn_deploy.report.build import render_html
from snn_deploy.report.model import Header, ReportData

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=MISSING)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    return written(tmp_path_factory.mktemp("page"), seen_report())


@pytest.fixture(autouse=True)
def _as_people_have_it(request):
    found = request.getfixturevalue("chromium")
    found.scripts(True)
    found.media()
    found.size(1280)
    found.errors.clear()
    found.requests.clear()


def written(folder: Path, data: ReportData) -> Path:
    file = folder / "report.html"
    file.write_text(render_html(data))
    return file


def said(chromium: Browser) -> str:
    return chromium.text("#said")


def test_it_opens_where_the_proof_differs(chromium, page):
    chromium.open(page)
    assert said(chromium).startswith("Step 3 of 8.")
    assert chromium.run("document.querySelector('#pick-sample').selectedOptions[0].text") == "sample 7"
    assert chromium.run("document.querySelector('#pick-layer').selectedOptions[0].text") == FAILED
    assert "step 3, in neuron 1,404 of sample 7" in chromium.text("#difference")
    rows = chromium.run(
        f"document.querySelector('.raster[data-layer=\"{FAILED}\"]').dataset.numbers.split(',')"
    )
    mark = f"document.querySelector('.raster[data-layer=\"{FAILED}\"] .mark')"
    assert chromium.run(f"{mark}.getAttribute('x')") == "2"
    assert chromium.run(f"{mark}.getAttribute('y')") == str(rows.index("1404"))
    assert chromium.run(f"{mark}.getAttribute('visibility')") == "visible"
    assert chromium.run("scrollY") > 500
    assert chromium.run("[...document.querySelectorAll('.raster')].filter(r => r.offsetParent).length") == 1
    assert chromium.errors == []
    assert chromium.requests == [page.resolve().as_uri()]


def test_clicks_and_keys_move_through_samples_layers_and_steps(chromium, page):
    chromium.open(page)
    chromium.click(f".raster[data-layer='{FAILED}'] svg", across=0.95)
    assert said(chromium).startswith("Step 8 of 8.")
    chromium.run("document.querySelector('#pick-step').focus()")
    chromium.key("ArrowLeft", 37)
    assert said(chromium).startswith("Step 7 of 8.")
    chromium.key("Home", 36)
    assert said(chromium).startswith("Step 1 of 8.")
    chromium.click("figure.sample:nth-child(3)")
    assert chromium.run("document.querySelector('#pick-sample').value") == "2"
    chromium.run("document.querySelector('#pick-layer').focus()")
    chromium.key("ArrowUp", 38)
    assert (
        chromium.run("document.querySelector('#pick-layer').selectedOptions[0].text") == "features.0.neuron"
    )
    assert chromium.run("document.querySelector('.raster[data-layer=\"features.0.neuron\"]').hidden") is False
    assert chromium.run("document.querySelectorAll('#now path').length") == 2
    assert chromium.errors == []


def test_spikes_drawn_are_those_recorded(chromium, page):
    data = seen_report()
    chromium.open(page)
    layer = data.recording.layers[0]
    counts = {}
    for place in range(len(data.recording.samples)):
        chromium.run(f"document.querySelector('#pick-sample').value = {place}")
        chromium.run("document.querySelector('#pick-layer').value = 0")
        chromium.run("document.querySelector('#pick-layer').dispatchEvent(new Event('input'))")
        drawn = chromium.run(
            "[...document.querySelectorAll('.raster')[0].querySelectorAll('.spikes path')]"
            ".map(p => [...p.getAttribute('d').matchAll(/h(\\d+)/g)].reduce((n, m) => n + Number(m[1]), 0))"
            ".reduce((a, b) => a + b, 0)"
        )
        counts[place] = sum(byte.bit_count() for byte in base64.b64decode(layer.spikes[place]))
        assert drawn == counts[place]
    assert len(set(counts.values())) > 1


def test_a_box_opens_what_is_known_of_its_layer_by_mouse_and_by_keyboard(chromium, page):
    chromium.open(page)
    panel = "[...document.querySelectorAll('.panels details')].filter(d => d.open).map(d => d.textContent)"
    chromium.click(f".box[title='{FAILED}']")
    (text,) = chromium.run(panel)
    for part in (FAILED, "2,048", "onnx (step) in onnxruntime", "spikes differ", "Energy, loihi1-davies"):
        assert part in text
    chromium.run("document.querySelector('.box[title=\"features.0.neuron\"]').focus()")
    chromium.key("Enter", 13)
    (text,) = chromium.run(panel)
    assert "features.0.conv" in text
    assert chromium.run("document.activeElement.textContent") == "features.0.neuron"
    assert chromium.errors == []


def test_it_reads_with_scripts_off(chromium, page):
    chromium.scripts(False)
    chromium.open(page)
    chromium.scripts(True)
    assert chromium.run("[...document.querySelectorAll('.raster')].every(r => r.offsetParent)") is True
    assert chromium.run("document.querySelectorAll('.raster path').length") == 4
    assert chromium.run("document.querySelector('.controls').offsetParent") is None
    assert chromium.run("document.querySelector('#now').getBoundingClientRect().height") == 0
    assert "features.1.neuron" in chromium.text("#difference")


@pytest.mark.parametrize(
    ("width", "scheme", "media"), [(1280, "dark", ""), (390, "light", ""), (800, "light", "print")]
)
def test_nothing_runs_over_the_edge(chromium, page, width, scheme, media):
    chromium.size(width)
    chromium.media(scheme=scheme, media=media)
    chromium.open(page)
    assert chromium.run("document.documentElement.scrollWidth") <= width
    if media == "print":
        assert chromium.run("document.querySelector('.controls').offsetParent") is None


@pytest.mark.parametrize("name", ["n" * 240, "block." * 40, HOSTILE])
def test_any_name_wraps_and_is_only_a_name(chromium, tmp_path, name):
    data = hostile_report().model_copy(update=named_blocks(name))
    chromium.size(390)
    chromium.open(written(tmp_path, data))
    assert chromium.run("document.documentElement.scrollWidth") <= 390
    assert chromium.errors == []
    chromium.run("document.querySelectorAll('.box')[1].click()")
    assert name in chromium.run("document.activeElement.textContent")
    assert chromium.run("document.documentElement.scrollWidth") <= 390


def test_a_page_without_anything_to_look_at_has_no_errors(chromium, tmp_path):
    chromium.open(written(tmp_path, ReportData(header=Header(title="net", kind="nir"))))
    assert chromium.errors == []


def test_no_other_script_can_run(chromium, tmp_path):
    """The page's policy holds even where a name got past the escaping."""
    file = written(tmp_path, ReportData(header=Header(title="net", kind="nir")))
    file.write_text(file.read_text().replace("</main>", "<script>document.title = 'changed'</script></main>"))
    chromium.open(file)
    assert "changed" not in chromium.run("document.title")
    assert any("Content Security Policy" in error for error in chromium.errors)
