"""Dialects of frameworks that are not installed here, against their equations in plain loops."""

from __future__ import annotations

import itertools
import math

import nir
import numpy as np
import pytest
import torch

from snn_deploy.core.errors import ConfigError, DataError
from snn_deploy.graph.readers.reading import read_plan
from snn_deploy.graph.timing import Reading
from snn_deploy.simulate.reference import Reference

STEPS, BATCH, INPUTS, NEURONS = 30, 3, 4, 5
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(0.3, 0.7, (NEURONS, INPUTS)).astype(np.float32)
BACK = RANDOM.normal(0.0, 0.4, (NEURONS, NEURONS)).astype(np.float32)
ONE = np.ones(NEURONS, np.float32)


def file(path, node, *, recurrent=False):
    """A file with one layer; with ``recurrent`` the nested graph that Spyx writes."""
    shape = {"input": np.array([NEURONS])}
    if recurrent:
        inner = {"n.lif": node, "n.w_rec": nir.Linear(BACK)}
        inner |= {"n.input": nir.Input(shape), "n.output": nir.Output({"output": np.array([NEURONS])})}
        edges = [("n.input", "n.w_rec"), ("n.w_rec", "n.lif"), ("n.lif", "n.w_rec"), ("n.lif", "n.output")]
        node = nir.NIRGraph(inner, edges, type_check=False)
    nodes = {
        "input": nir.Input({"input": np.array([INPUTS])}),
        "w": nir.Linear(WEIGHT),
        "n": node,
        "output": nir.Output({"output": np.array([NEURONS])}),
    }
    path_edges = list(itertools.pairwise(nodes))
    nir.write(path, nir.NIRGraph(nodes, path_edges, type_check=False))
    return path


def run(path, reading):
    x = torch.from_numpy((RANDOM.random((STEPS, BATCH, INPUTS)) < 0.5).astype(np.float32))
    plan, notes = read_plan(path, reading)
    return Reference(plan).run(x).output.numpy(), x.numpy() @ WEIGHT.T, notes


def loops(current, step):
    """``step(x, state) -> (spike, state)`` over every neuron; ``x`` is its input of the step."""
    out = np.zeros(current.shape)
    for b, n in itertools.product(range(BATCH), range(NEURONS)):
        state = (0.0, 0.0)
        for t in range(STEPS):
            out[t, b, n], state = step(float(current[t, b, n]), state)
    return out


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bound", [None, -0.5])
def test_sinabs(norm, bound, tmp_path):
    path = file(tmp_path / "n.nir", nir.LIF(5 * ONE, ONE, 0 * ONE, ONE))
    found, current, _ = run(path, Reading(writer="sinabs", norm_input=norm, v_min=bound))
    a = math.exp(-1 / 5)

    def step(x, state):
        v = a * state[0] + ((1 - a) * x if norm else x)
        spikes = max(0, math.floor(v))
        v -= spikes
        return spikes, (v if bound is None else max(v, bound), 0.0)

    assert np.array_equal(found, loops(current, step))
    assert found.max() > 1 or norm


@pytest.mark.parametrize("dt", [1e-3, 5e-4])
def test_rockpool_says_its_step_through_r(dt, tmp_path):
    tau_mem, tau_syn = 0.01, 0.006
    r = tau_mem / dt * math.exp(-dt / tau_mem)
    node = nir.CubaLIF(tau_syn * ONE, tau_mem * ONE, r * ONE, 0 * ONE, ONE)
    found, current, notes = run(file(tmp_path / "n.nir", node), Reading(writer="rockpool"))
    a, b = math.exp(-dt / tau_mem), math.exp(-dt / tau_syn)

    def step(x, state):
        i = (state[1] + x) * b
        v = a * state[0] + i
        spikes = math.floor(v) if v >= 1 else 0
        return spikes, (v - spikes, i)

    assert np.array_equal(found, loops(current, step))
    assert any(f"The step is {dt:g} s" in note for note in notes)


def test_rockpool_files_whose_neurons_disagree_are_refused(tmp_path):
    r = np.linspace(5, 20, NEURONS).astype(np.float32)
    path = file(tmp_path / "n.nir", nir.LIF(0.01 * ONE, r, 0 * ONE, ONE))
    with pytest.raises(DataError, match="Rockpool writes one step into all neurons"):
        read_plan(path, Reading(writer="rockpool"))
    path = file(tmp_path / "i.nir", nir.IF(ONE, ONE))
    with pytest.raises(DataError, match="does not say Rockpool's step"):
        read_plan(path, Reading(writer="rockpool"))
    read_plan(path, Reading(writer="rockpool", dt=1e-3))


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("kind", ["LIF", "CubaLIF"])
def test_spyx(kind, recurrent, tmp_path):
    beta, alpha = 0.8, 0.5
    lif = nir.LIF(ONE / (1 - beta), beta * ONE, 0 * ONE, ONE)
    cuba = nir.CubaLIF(ONE / (1 - alpha), ONE / (1 - beta), beta * ONE, 0 * ONE, ONE)
    path = file(tmp_path / "n.nir", lif if kind == "LIF" else cuba, recurrent=recurrent)
    found, current, _ = run(path, Reading(writer="spyx"))
    wanted = np.zeros(found.shape)
    for b in range(BATCH):
        v = i = np.zeros(NEURONS)
        for t in range(STEPS):
            spikes = (v > 1).astype(float)
            x = current[t, b] + (BACK @ spikes if recurrent else 0.0)
            if kind == "LIF":
                v = beta * v + x - spikes
            else:
                i = alpha * i + x
                v = beta * (v - spikes) + i
            wanted[t, b] = spikes
    assert np.array_equal(found, wanted)
    assert 0.02 < found.mean() < 0.98


def test_a_file_of_ours_has_no_other_writer(tmp_path):
    path = file(tmp_path / "n.nir", nir.IF(ONE, ONE))
    graph = nir.read(path, type_check=False)
    graph.metadata["snn_deploy"] = '{"version": 2}'
    nir.write(path, graph)
    with pytest.raises(ConfigError, match="written by snn-deploy"):
        read_plan(path, Reading(writer="sinabs"))
