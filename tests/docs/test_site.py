"""The documentation as a site: built strictly, without anything from elsewhere, and found by its search."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.parse
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.browser import CHROMIUM, MISSING, Browser, browser

import snn_deploy
from snn_deploy.core.errors import Problem

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed (extra docs)"
    ),
]


def hook(name: str):
    spec = importlib.util.spec_from_file_location(f"site_{name}", ROOT / "docs" / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """Built as ``make docs`` does: warnings, missing links and anchors among them, are errors."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return folder


def found(site: Path, words: str) -> list[str]:
    """Pages with a section that holds all ``words``; one in a title weighs as much as twenty in a text."""
    entries = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    wanted = words.lower().split()
    scores: dict[str, int] = {}
    for entry in entries:
        title = re.findall(r"\w+", entry["title"].lower())
        text = re.findall(r"\w+", re.sub(r"<[^>]+>", " ", entry["text"]).lower())
        if all(word in title or word in text for word in wanted):
            page = entry["location"].partition("#")[0]
            found = sum(20 * title.count(word) + min(text.count(word), 10) for word in wanted)
            scores[page] = max(scores.get(page, 0), found)
    return sorted(scores, key=lambda page: -scores[page])


WANTED = {
    "my own model": {"own.html"},
    "AEDAT4": {"index.html", "tutorials/camera.html", "data.html", "glossary.html"},
    "what is a tie": {"concepts/verified.html"},
    "Loihi 2 energy": {"concepts/energy.html"},
    "microcontroller": {"tutorials/microcontroller.html"},
}
"""What a newcomer types, and the pages of which one must be among the first three."""


@pytest.mark.parametrize("words", WANTED)
def test_the_index_holds_what_a_newcomer_wants(site, words):
    pages = WANTED[words] | ({"index.html"} if words == "my own model" else set())
    assert pages & set(found(site, words)[:3]), found(site, words)[:5]


@pytest.mark.skipif(CHROMIUM is None, reason=MISSING)
def test_the_search_finds_what_a_newcomer_wants(site):
    """The site's own search, in a browser."""
    handler = partial(SilentHandler, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browser() as chromium:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        for words, pages in WANTED.items():
            shown = first_results(chromium, f"{base}/index.html?q={urllib.parse.quote(words)}")
            assert pages & {link.removeprefix(f"{base}/").partition("?")[0] for link in shown}, (words, shown)
        server.shutdown()
    assert chromium.errors == []
    assert all(address.startswith((base, "data:")) for address in chromium.requests)


class SilentHandler(SimpleHTTPRequestHandler):
    """Logs nothing."""

    def log_message(self, *_: object) -> None:
        pass


def first_results(chromium: Browser, address: str) -> list[str]:
    """Links of the first three pages that the search shows; on a busy machine it may need a second try."""
    links = (
        "[...document.querySelectorAll('.md-search-result__item')].slice(0, 3)"
        ".map(item => item.querySelector('a').href.split('#')[0])"
    )
    found: list[str] = []
    for _ in range(3):
        chromium.open(address)
        end = time.monotonic() + 30
        while not found and time.monotonic() < end:
            time.sleep(0.2)
            found = chromium.run(links)
    return found


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        text = page.read_text()
        for tag in re.findall(r"<(?:script|link|img|iframe)[^>]*>", text):
            assert not re.search(r'(?:src|href)="(?:https?:)?//', tag), (page, tag)


def test_every_command_has_its_page_with_every_option(site):
    import typer

    from snn_deploy.cli.main import app

    for name, command in typer.main.get_command(app).commands.items():
        text = (site / "commands" / f"{name}.html").read_text()
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else []:
                assert option in text, (name, option)


def test_the_reference_has_every_public_name(site):
    text = (site / "reference.html").read_text()
    for name in snn_deploy._WHERE:
        assert f'id="{snn_deploy._WHERE[name]}.{name}"' in text, name
    assert not re.search(r":(func|class|mod|data):", text)


def test_limits_are_those_of_the_code(site):
    text = re.sub(r"<[^>]+>", "", (site / "limits.html").read_text())
    for part in (
        "A neuron receives at most this many synapses.",
        "py-spinnaker2 ignores it",
        "biases are 16-bit integers",
    ):
        assert part in text


def test_refusals_are_read_as_they_stand(tmp_path):
    file = tmp_path / "room.py"
    file.write_text(
        'RULE = "at most " + "three"\n'
        "def check(n):\n"
        '    yield Problem("x", f"{n} layers", RULE, try_instead="fewer" if n else "none at all")\n'
        '    yield Problem("x", f"{n}", RULE)\n'
        '    yield Problem("x", "no rule")\n'
    )
    rows = list(hook("limits").refusals(file))
    assert rows == [("… layers", "at most three", "fewer / none at all")]
    assert Problem("x", "y").rule == ""
