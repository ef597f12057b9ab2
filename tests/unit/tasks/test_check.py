"""Targets by name, the questions they pose, and what a written Lava file adds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
from support.graphs import graph, lif

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Cuba, Dense, Input, LavaNet
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, write_semantics
from snn_deploy.tasks.check import Answer, check_plan, exit_code, lava_file, resolve


def dense(reset="zero"):
    nodes = {"w": nir.Linear(np.ones((3, 4), np.float32)), "n": lif((3,))}
    made = graph(nodes, [("input", "w"), ("w", "n"), ("n", "output")], (4,), (3,))
    write_semantics(made, Semantics(reset=reset))
    return make_plan(made)


def verdicts(*names, plan=None, net=None):
    return [(a.target, a.question, a.verdict) for a in check_plan(plan or dense(), resolve(names), net)]


def test_chips_profiles_and_formats():
    assert verdicts("loihi1", "loihi2", "speck2f", "lava", "nir") == [
        ("loihi1", "runs in Lava simulation", "yes"),
        ("loihi1", "within the published limits", "fits"),
        ("loihi2", "runs in Lava simulation", "yes"),
        ("loihi2", "within the published limits", "cannot tell"),
        ("speck2f", "within the published limits", "does not fit"),
        ("lava", "runs in Lava simulation", "yes"),
        ("nir", "can be written as nir", "yes"),
    ]


def test_short_names_ids_and_files_are_the_same_chip(tmp_path):
    from snn_deploy.core.assets import asset_dir

    copy = tmp_path / "mine.yaml"
    copy.write_bytes((asset_dir("hardware_profiles") / "truenorth-0.8v.yaml").read_bytes())
    answers = check_plan(dense(), resolve(["truenorth", "truenorth-0.8v", str(copy)]))
    assert answers[0].fit == answers[1].fit == answers[2].fit
    assert answers[0].fit.profile == "truenorth-0.8v"


def test_a_target_given_twice_is_asked_once():
    assert len(resolve(["nir", "nir"])) == 1


def test_separate_verdicts_of_lava_and_of_the_chip():
    answers = check_plan(dense(reset="subtract"), resolve(["loihi2"]))
    assert [a.verdict for a in answers] == ["no", "does not fit"]
    assert answers[0].findings[0].source == "lava-dl 0.6.0, netx"
    assert answers[1].fit is not None


def test_all_unknown_targets_at_once():
    with pytest.raises(ConfigError) as caught:
        resolve(["lohi2", "nir", "spek2f", "horowitz-45nm-fp32"])
    found = {problem.where: problem.what for problem in caught.value.problems}
    assert found == {
        "lohi2": "unknown target. Did you mean 'loihi2'?",
        "spek2f": "unknown target. Did you mean 'speck2f'?",
        "horowitz-45nm-fp32": "a profile of arithmetic, without a chip",
    }
    with pytest.raises(ConfigError, match="No target"):
        resolve([])


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (["yes", "fits"], 0),
        (["cannot tell"], 0),
        (["fits", "does not fit"], 5),
        (["does not fit", "no"], 3),
    ],
)
def test_exit_codes(found, code):
    assert exit_code([Answer("t", "q", verdict, ()) for verdict in found]) == code


def net_of(weight):
    return LavaNet((Input((4,)), Dense(np.asarray(weight, np.int64), Cuba.of(4096, 2048, 100))), ("n",))


def test_a_written_file_is_judged_too(tmp_path):
    good, odd = tmp_path / "good.net", tmp_path / "odd.net"
    write_net(net_of(np.full((3, 4), 2)), good)
    write_net(net_of([[3, -2, 2, 2]] * 3), odd)
    assert [v for *_, v in verdicts("loihi1", net=good)] == ["yes", "fits"]
    lava, chip = check_plan(dense(), resolve(["loihi1"]), odd)
    assert lava.verdict == "yes", "Lava computes odd weights"
    assert chip.verdict == "does not fit", "the chip has none of mixed sign"
    assert "odd weights of mixed sign" in chip.findings[0].found
    assert [v for *_, v in verdicts("speck2f", net=odd)] == ["does not fit"]


def test_weights_that_lava_would_change(tmp_path):
    path = tmp_path / "wide.net"
    write_net(net_of(np.full((3, 4), 2)), path)
    with h5py.File(path, "r+") as file:
        file["layer/1/weight"][0, 0] = -300
    (answer,) = check_plan(dense(), resolve(["lava"]), path)
    assert answer.verdict == "no"
    assert "-300" in answer.findings[0].found


def test_graded_input_needs_loihi_2(tmp_path):
    path = tmp_path / "graded.net"
    write_net(replace(net_of(np.full((3, 4), 2)), input_range=(0, 3)), path)
    answers = check_plan(dense(), resolve(["loihi1", "loihi2"]), path)
    assert [a.verdict for a in answers] == ["yes", "does not fit", "yes", "cannot tell"]
    assert [(f.where, f.found, f.limit) for f in answers[1].findings if f.rule == "inputs"] == [
        ("input", "input 0..3", "binary")
    ]


def test_the_lava_file_of_a_bundle():
    manifest = {"formats": {"lava": {"files": {"net": "model.net"}}, "nir": {"files": {}}}}
    assert lava_file(Path("b"), manifest) == Path("b/model.net")
    assert lava_file(Path("b"), {"formats": {}}) is None
    assert lava_file(Path("b"), None) is None
