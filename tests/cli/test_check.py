"""``check`` on a run, a bundle and a foreign file: tables, JSON and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest
from support.graphs import graph, lif

from snn_deploy.cli.main import exit_code
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.graph.semantics import Semantics, write_semantics


@pytest.fixture
def file(tmp_path: Path):
    """A function that writes a small network and returns its path."""

    def write(reset: str = "zero", neurons: nir.NIRNode | None = None) -> str:
        nodes = {"w": nir.Linear(np.ones((3, 4), np.float32)), "n": neurons or lif((3,))}
        made = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (4,), (3,))
        write_semantics(made, Semantics(reset=reset))
        write_nir(made, tmp_path / "net.nir")
        return str(tmp_path / "net.nir")

    return write


def test_0_when_it_fits_and_when_nobody_can_tell(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(), "--target", "loihi1,loihi2,nir"]) == 0
    shown = capsys.readouterr()
    assert "runs in Lava simulation" in shown.out
    assert "cannot tell" in shown.out
    assert "what nobody can tell" in shown.out
    assert "what does not fit" not in shown.out
    assert shown.err == ""


def test_5_with_number_limit_and_source(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(), "--target", "speck2f"]) == 5
    shown = capsys.readouterr()
    line = next(line for line in shown.out.splitlines() if line.startswith("speck2f  n "))
    assert "LIF neurons" in line
    assert "IF" in line.split("LIF neurons")[1]
    assert "[1] sinabs 3.1.3 source code" in shown.out
    assert "(grade A)" in shown.out
    assert "does not fit" in shown.err


def test_3_outranks_5(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(reset="subtract"), "--target", "speck2f,loihi2"]) == 3
    assert "every Lava neuron resets to 0" in " ".join(capsys.readouterr().out.split())


def test_2_for_unknown_targets(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(), "--target", "spek2f,lohi2"]) == 2
    shown = capsys.readouterr()
    assert "Did you mean 'speck2f'" in shown.err
    assert "Did you mean 'loihi2'" in shown.err
    assert shown.out == ""
    assert exit_code(["check", file()]) == 2


def test_7_for_a_missing_file(tmp_path: Path) -> None:
    assert exit_code(["check", str(tmp_path / "none.nir"), "--target", "nir"]) == 7


def test_json_is_one_document_with_the_same_exit_code(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(), "--target", "speck2f,loihi1", "--json"]) == 5
    shown = capsys.readouterr()
    answers = json.loads(shown.out)
    assert shown.err == ""
    assert [a["verdict"] for a in answers] == ["does not fit", "yes", "fits"]
    speck = answers[0]
    assert speck["profile"] == "speck2f"
    assert {f["state"] for f in speck["findings"]} == {"violated"}
    assert {"rule", "where", "found", "limit", "sentence", "source", "try_instead"} <= set(
        speck["findings"][0]
    )
    assert speck["placement"]["cores"] == [1, 1]
    assert speck["placement"]["rows"][0]["uses"]["kernel entries"] == {"amount": 16, "available": 16384}
    assert answers[1]["placement"] is None


def test_a_run(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", str(run_dir), "--target", "loihi1"]) == 0
    shown = capsys.readouterr().out
    assert "block1.neuron" in shown
    assert "compartments" in shown
    assert exit_code(["check", str(run_dir), "--target", "xylo-a2,loihi2"]) == 5


def test_a_bundle(bundle_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", str(bundle_dir), "--target", "loihi1,spinnaker2", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [a["verdict"] for a in answers] == ["yes", "fits", "cannot tell"]


def test_nodes_of_one_kind_share_a_line(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four layers of LIF neurons are one line that names three of them."""
    exit_code(["check", str(run_dir), "--target", "brainscales2"])
    shown = capsys.readouterr().out
    assert shown.count("LIF neurons") == 1
    assert "block1.neuron, block2.neuron," in shown
    assert "and 1 more" in shown
    exit_code(["check", str(run_dir), "--target", "brainscales2", "--json"])
    findings = json.loads(capsys.readouterr().out)[0]["findings"]
    assert [f["where"] for f in findings if f["found"] == "LIF neurons"] == [
        "block1.neuron",
        "block2.neuron",
        "block3.neuron",
        "readout.neuron",
    ]


def test_readers_of_nir_files_are_targets(file, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", file(), "--target", "nir:norse,nir:sinabs"]) == 0
    assert "can be read by Norse 1.1" in capsys.readouterr().out
    assert exit_code(["check", file("subtract"), "--target", "nir:norse,nir:spyx", "--json"]) == 3
    answers = {answer["target"]: answer for answer in json.loads(capsys.readouterr().out)}
    assert {name: answer["verdict"] for name, answer in answers.items()} == {
        "nir:norse": "no",
        "nir:spyx": "yes",
    }
    assert "subtract" in answers["nir:norse"]["findings"][0]["found"]
    assert exit_code(["check", file(), "--target", "nir:nors"]) == 2
    assert "Did you mean 'nir:norse'" in capsys.readouterr().err
