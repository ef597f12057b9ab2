"""``conform``: the matrix of a reader, and our reading of a file against its trace."""

from __future__ import annotations

import json

import pytest
from support.foreign_nets import frames, weights
from support.snntorch_nets import dense, exported, leaky

import snn_deploy as sd
from snn_deploy.cli.main import exit_code

WRONG = """
def run(path, x, dt):
    if len(x) != 4:
        raise ValueError("neurons are not read")
    return x[:, :, :1] * 0 + 2
"""
REFUSES = "def run(path, x, dt):\n    raise ValueError('not read')\n"


def said(capsys):
    return " ".join(capsys.readouterr().out.split())


def test_a_wrong_reader_gives_four(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(WRONG)
    assert exit_code(["conform", "--reader", str(tmp_path / "mine.py"), "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["reader"] == "mine"
    marks = {verdict["name"]: verdict["mark"] for verdict in found["verdicts"]}
    assert (marks["Affine"], marks["IF"]) == ("wrong", "refuses")


def test_refusals_are_no_error(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(REFUSES)
    assert exit_code(["conform", "--reader", str(tmp_path / "mine.py")]) == 0
    text = said(capsys)
    assert "0 right, 0 wrong" in text
    assert "ValueError: not read" in text


def test_our_own_reader_is_right(capsys):
    assert exit_code(["conform", "--reader", "snn-deploy"]) == 0
    assert "0 wrong, 0 refused" in said(capsys)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--reader", "norse", "--file", "a.nir"], 2),
        (["--reader", "no-such"], 2),
        (["--reader", "norse", "--python", "/no/such"], 2),
        (["--reader", "norse", "--nir-compat", "3"], 2),
        (["--reader", "norse", "--dt", "1"], 2),
        (["--file", "no.nir"], 2),
        (["--file", "no.nir", "--trace", "no.npz"], 7),
    ],
)
def test_what_cannot_be_asked(arguments, code, capsys):
    assert exit_code(["conform", *arguments]) == code


def test_a_file_against_its_trace(tmp_path, capsys):
    net, x = weights(dense(leaky), 0.5), frames()
    path = exported(net, tmp_path / "n.nir", x)
    trace = sd.record_trace(net, x, tmp_path / "n.npz")
    asked = ["conform", "--file", str(path), "--trace", str(trace), "--from", "snntorch"]
    assert exit_code(asked) == 0
    assert "The reading is proven: 0 of" in said(capsys)
    assert exit_code([*asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "equal"
    assert exit_code([*asked, "--reset", "zero"]) == 4
    assert "as its source means it" in " ".join(capsys.readouterr().err.split())
