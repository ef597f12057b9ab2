"""Planted faulty readers, which step files by other code than the referee's: every fault is named unaided."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.known import Reader, find_reader
from snn_deploy.conformance.matrix import conform
from snn_deploy.core.errors import ConfigError, MissingOptionalError

ORACLES = Path(__file__).resolve().parents[2] / "oracles"
ROWS = {row.name: row for row in golden_set()}
COMMON = """
import sys
import nir
import numpy as np
sys.path.append({oracles!r})
from nir_loops import simulate

def stepped(graph, x, dt):
    return simulate(graph, x, dt=dt, reset="zero")

def run(path, x, dt):
    graph = nir.read(path)
{body}
"""
RIGHT = "return stepped(graph, x, dt)"
FAULTS = {
    "IF read as leaky": (
        """
for name, node in graph.nodes.items():
    if isinstance(node, nir.IF):
        one = np.ones_like(node.r)
        graph.nodes[name] = nir.LIF(10 * dt * one, 10 * one, 0 * one, node.v_threshold, node.v_reset)
return stepped(graph, x, dt)
""",
        "IF",
        "it leaked: membranes kept 0.9 of their value in a step",
    ),
    "a lost bias": (
        """
for node in graph.nodes.values():
    if isinstance(node, nir.Affine):
        node.bias = np.zeros_like(node.bias)
return stepped(graph, x, dt)
""",
        "Affine",
        "the biases of 'w' were lost",
    ),
    "a skipped layer": (
        """
if "p" in graph.nodes:
    left = {name: node for name, node in graph.nodes.items() if name != "p"}
    graph = nir.NIRGraph(left, [("input", "c"), ("c", "output")], type_check=False)
return stepped(graph, x, dt)
""",
        "a pool behind a layer",
        "'p' were not there",
    ),
    "a leak read as total": (
        """
taus = [float((n.tau / n.r).min()) for n in graph.nodes.values() if isinstance(n, nir.LIF)]
return stepped(graph, x, min(taus, default=dt))
""",
        "LIF, r = 1",
        "the step were tau / r",
    ),
}  # fmt: skip


def planted(folder, body) -> Reader:
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    (folder / "planted.py").write_text(COMMON.format(oracles=str(ORACLES), body=lines))
    return find_reader(str(folder / "planted.py"))


@pytest.mark.parametrize("fault", FAULTS)
def test_is_found(fault, tmp_path):
    body, name, looks = FAULTS[fault]
    (verdict,) = conform(planted(tmp_path, body), rows=[ROWS[name]]).verdicts
    assert verdict.mark == "wrong"
    assert looks in verdict.looks
    (right,) = conform(planted(tmp_path, RIGHT), rows=[ROWS[name]]).verdicts
    assert right.mark == "right"


def test_several_faults_together_are_told_apart(tmp_path):
    body = """
y = simulate(graph, x, dt=dt, reset="subtract")
return np.concatenate([np.zeros_like(y[:1]), y[:-1]])
"""
    (verdict,) = conform(planted(tmp_path, body), rows=[ROWS["IF"]]).verdicts
    assert verdict.looks == ("spikes came a step late and a spike subtracted the threshold",)
    assert verdict.first is not None
    assert 0 < verdict.differing < verdict.compared


def test_what_nothing_explains_is_said_so(tmp_path):
    body = "return stepped(graph, x, dt) + np.sin(np.arange(192)).reshape(24, 2, 4) / 2"
    (verdict,) = conform(planted(tmp_path, body), rows=[ROWS["LIF, r = 1"]]).verdicts
    assert verdict.words.startswith("like nothing that was tried; 191 of 192 values")


ENDINGS = {
    "raise ValueError('no such\\nnode')": "ValueError: no such",
    "import time; time.sleep(60)": "no answer in 2 s",
    "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)": "ends with signal 11",
    "import os; os._exit(3)": "ends its process",
    "return np.ones(3)": "answers with float64 of shape (3,)",
    "return [['a']]": "ValueError: could not convert string to float: 'a'",
    "return np.ones((2 << 30,))": "MemoryError",
}


@pytest.mark.parametrize("body", ENDINGS)
def test_no_answer_is_a_refusal_and_the_next_row_is_asked(body, tmp_path):
    lines = f"if 'n' in graph.nodes:\n    {body}\n{RIGHT}"
    rows = [ROWS["IF"], ROWS["Affine"], ROWS["LIF, r = 1"], ROWS["Linear"]]
    column = conform(planted(tmp_path, lines), rows=rows, seconds=2, memory=1 << 30)
    assert [verdict.mark for verdict in column.verdicts] == ["refuses", "right", "refuses", "right"]
    assert column.verdicts[0].reason.startswith(ENDINGS[body])


def test_a_reader_that_is_not_there(tmp_path):
    (tmp_path / "none.py").write_text("import no_such_package\n")
    with pytest.raises(MissingOptionalError, match="No module named 'no_such_package'"):
        conform(find_reader(str(tmp_path / "none.py")), rows=[ROWS["IF"]])
    with pytest.raises(ConfigError, match="Did you mean 'norse'"):
        find_reader("nors")
    with pytest.raises(ConfigError, match="There is no file"):
        find_reader(str(tmp_path / "gone.py"))
