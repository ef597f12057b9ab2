import csv
import io

import pytest
from rich.table import Table
from rich.text import Text

from snn_deploy.cli import render
from snn_deploy.cli.render import VisibleConsole
from snn_deploy.core.errors import DataError, Problem
from snn_deploy.core.text import csv_text, markdown, visible
from snn_deploy.report.build import shown

HOSTILE = "a\x1b[31mb\x07\x00\x9b2J\u202egpj\u200b\ud800\r"
HARMLESS = "a\\x1b[31mb\\x07\\x00\\x9b2J\\u202egpj\\u200b\\ud800\\r"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        (HOSTILE, HARMLESS),
        ("plain", "plain"),
        ("é 猫 \u202f µ €", "é 猫 \u202f µ €"),
        ("a\n\tb", "a\n\tb"),
        ("", ""),
    ],
)
def test_control_characters_are_seen(text, seen):
    assert visible(text) == seen
    assert visible(seen) == seen
    assert visible("x\n\ty", one_line=True) == "x\\n\\ty"


@pytest.mark.parametrize(
    "begin", ["=1+1", "+cmd", "-2+3", "@SUM(1)", "\tx", "\rx", "=HYPERLINK(1)", "+1", "-1.5"]
)
def test_no_cell_is_a_formula(begin):
    ((cell,),) = list(csv.reader(io.StringIO(csv_text(["a"], [[begin]]))))[1:]
    assert cell.startswith("'")
    assert cell == "'" + visible(begin, one_line=True)


@pytest.mark.parametrize("value", [-1.5, -1, 0, 1e-30, True, "a=b"])
def test_numbers_stay_numbers(value):
    ((cell,),) = list(csv.reader(io.StringIO(csv_text(["a"], [[value]]))))[1:]
    assert cell == str(value)


def test_markdown_has_no_meaning():
    assert markdown("a|b\n*c* <i>\x1b") == "a\\|b \\*c\\* &lt;i&gt;\\\\x1b"


def console():
    stream = io.StringIO()
    return stream, VisibleConsole(file=stream, width=80, force_terminal=True, highlight=False)


def test_consoles_write_no_control_characters_of_others():
    stream, here = console()
    table = Table("layer")
    table.add_row(Text(HOSTILE))
    for printed in (HOSTILE, Text(HOSTILE, style="bold"), table):
        here.print(printed)
    text = stream.getvalue()
    assert "\x1b[31m" not in text
    assert "\x1b[1m" in text  # our own style
    assert not set("\x07\x00\x9b\u202e\u200b\r\ud800") & set(text)


def test_errors_notes_and_tables_are_harmless(capsys, monkeypatch):
    stream, here = console()
    monkeypatch.setattr(render, "err", here)
    monkeypatch.setattr(render, "out", here)
    render.error(DataError(HOSTILE, hint=HOSTILE, problems=[Problem(HOSTILE, HOSTILE)]), as_json=False)
    render.problems([Problem(f"two\nlines{HOSTILE}", HOSTILE)], console=here)
    render.table(["name"], [[HOSTILE]], console=here)
    render.say(HOSTILE)
    render.note(HOSTILE)
    text = stream.getvalue()
    assert "two\\nlines" in text
    assert "\x1b[31mb" not in text
    assert not set("\x07\x00\x9b\u202e\u200b\r") & set(text)
    render.emit_json({"name": HOSTILE})
    printed = capsys.readouterr().out
    assert printed.isascii()
    assert "\x1b" not in printed


def test_templates_show_plain_text_only():
    assert shown(HOSTILE) == HARMLESS
    assert shown(3) == 3
