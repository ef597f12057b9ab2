"""The documentation as a site: built strictly, without anything from elsewhere, and found by its search."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import snn_deploy
from snn_deploy.core.errors import Problem

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.slow,
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


@pytest.mark.parametrize(
    ("words", "pages"),
    [
        ("my own model", {"index.html", "own.html"}),
        ("AEDAT4", {"tutorials/camera.html", "data.html", "glossary.html"}),
        ("what is a tie", {"concepts/verified.html"}),
        ("Loihi 2 energy", {"concepts/energy.html"}),
        ("microcontroller", {"tutorials/microcontroller.html"}),
    ],
)
def test_a_newcomer_finds(site, words, pages):
    assert pages & set(found(site, words)[:3]), found(site, words)[:5]


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
