"""Which gains differ from one, and which neurons are too slow for a step."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
from support.graphs import graph

from snn_deploy.cli.main import exit_code
from snn_deploy.graph.pace import gain_words, gains, slow_warnings, step_warnings
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.semantics import Semantics, write_semantics

ONE = np.ones(2)


def lif(tau, r):
    return nir.LIF(tau * ONE, r * ONE, 0 * ONE, ONE, 0 * ONE)


def cuba(tau_syn, tau_mem, r, w_in):
    return nir.CubaLIF(tau_syn * ONE, tau_mem * ONE, r * ONE, 0 * ONE, ONE, 0 * ONE, w_in * ONE)


def test_gains_are_those_of_one_step():
    euler, exponential = Semantics(dt=1e-3), Semantics(dt=1e-3, integrator="exponential")
    assert gains(nir.IF(5 * ONE, ONE, 0 * ONE), euler) == pytest.approx(5e-3)
    assert gains(lif(4e-3, 2.0), euler) == pytest.approx(0.5)
    assert gains(lif(4e-3, 2.0), exponential) == pytest.approx(2 * (1 - np.exp(-0.25)))
    assert gains(cuba(2e-3, 4e-3, 4.0, 3.0), euler) == pytest.approx(1.5)


def test_neurons_that_scale_their_input_are_named():
    semantics = Semantics(dt=1e-4)
    nodes = {
        "a": lif(1e-3, 10.0),
        "b": lif(1e-3, 1.0),
        "c": cuba(2e-4, 4e-4, 4.0, 1.0),
        "w": nir.Linear(np.eye(2)),
    }
    assert gain_words(nodes, semantics).endswith("except b (gain 0.1), c (gain 0.5).")
    assert gain_words({"a": nodes["a"]}, semantics) == (
        "with it every neuron adds its input unscaled, as exporters write."
    )


def chain(node, path):
    net = graph(
        {"w": nir.Linear(4 * np.eye(2)), "n": node}, [("input", "w"), ("w", "n"), ("n", "output")], (2,), (2,)
    )
    nir.write(path, net)
    return path


def test_time_constants_counted_in_steps_are_suspected(tmp_path, capsys):
    path = chain(lif(5.0, 1.0), tmp_path / "n.nir")
    plan, _ = read_plan(path)
    semantics = Semantics(assumed=("dt",))
    (said,) = step_warnings(plan, semantics)
    assert "time constants of n are 1 s and more beside an assumed step of 0.0001 s" in said
    assert "--dt" in said and "--from" in said
    assert step_warnings(plan, Semantics()) == []
    np.savez(tmp_path / "x.npz", x=np.ones((8, 1, 2), np.float32))
    data = ["--data", str(tmp_path / "x.npz")]
    for command in (
        ["simulate", str(path), *data],
        ["check", str(path), "--target", "nir"],
        ["report", str(path), *data, "--out", str(tmp_path / "r"), "--format", "json"],
    ):
        assert exit_code(command) == 0, command
        err = " ".join(capsys.readouterr().err.split())
        assert "does not state its discrete-time semantics; assumed by default: dt = 0.0001" in err
        assert "WARNING: the time constants of n" in err
        assert ("WARNING: 8 steps of 0.0001 s" in err) == (command[0] != "check")


def test_a_run_much_shorter_than_the_time_constants_is_doubtful():
    net = graph({"n": lif(0.2, 1.0)}, [("input", "n"), ("n", "output")], (2,), (2,))
    write_semantics(net, Semantics(dt=1e-3))
    plan = make_plan(net)
    assert slow_warnings(plan, Semantics(dt=1e-3), 21) == []
    (said,) = slow_warnings(plan, Semantics(dt=1e-3), 19)
    assert "19 steps of 0.001 s are less than 0.1 of the time constants of n" in said
    fast = graph({"n": lif(0.2, 200.0)}, [("input", "n"), ("n", "output")], (2,), (2,))
    assert slow_warnings(make_plan(fast), Semantics(dt=1e-3), 5) == [], "its input is added as it is"


def test_simulate_says_how_it_bins_and_can_be_told_otherwise(tmp_path, capsys):
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    net = graph({"p": pool}, [("input", "p"), ("p", "output")], (2, 16, 16), (2, 8, 8))
    nir.write(tmp_path / "n.nir", net)
    command = ["simulate", str(tmp_path / "n.nir"), "--data", "digits-dvs", "--samples", "2", "--json"]
    for options, frames, binary in (
        ([], 8, True),
        (["-o", "timesteps=5", "-o", "data.binary=false"], 5, False),
    ):
        assert exit_code([*command, *options]) == 0
        seen = capsys.readouterr()
        assert f"each recording as {frames} frames (binning=time" in " ".join(seen.err.split())
        assert f"binary={binary})" in " ".join(seen.err.split())
        assert json.loads(seen.out)["timesteps"] == frames
    assert exit_code([*command, "-o", "train.epochs=3"]) == 2
    assert "data.KEY=VALUE or timesteps=T" in capsys.readouterr().out
    assert exit_code([*command, "-o", "data.bining=time"]) == 2
    assert "data.bining" in capsys.readouterr().out
