"""Bounds from below where nothing can be placed."""

from __future__ import annotations

import itertools

import nir
import numpy as np
from support.graphs import graph, lif

from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.fit import fit
from snn_deploy.hardware.profile import load_profile


def dense(*widths: int, weight=1.0):
    nodes, edges, previous = {}, [], "input"
    for i, (before, width) in enumerate(itertools.pairwise(widths)):
        nodes |= {f"w{i}": nir.Linear(np.full((width, before), weight, np.float32)), f"n{i}": lif((width,))}
        edges += [(previous, f"w{i}"), (f"w{i}", f"n{i}")]
        previous = f"n{i}"
    return make_plan(graph(nodes, [*edges, (previous, "output")], (widths[0],), (widths[-1],)))


def test_crossbars_are_bounded_by_neurons_and_by_synapses():
    """TrueNorth: 256 neurons, 65,536 synapses per core."""
    true_north = load_profile("truenorth-0.8v")
    assert fit(dense(10, 600), true_north).placement.cores == (3, None)
    # 200 x 2,000 synapses need 6.1 crossbars, 2,000 neurons 7.8 cores
    assert fit(dense(200, 2000), true_north).placement.cores == (8, None)
    assert fit(dense(256, 256, 256), true_north).placement.cores == (2, None)


def test_truenorth_never_fits_for_sure():
    found = fit(dense(200, 100), load_profile("truenorth-0.8v"))
    assert found.verdict == "cannot tell"
    assert any("bound from below" in f.found for f in found.unknowns)


def test_truenorth_fan_in_and_weight_values():
    plan = dense(300, 10)
    plan.node("w0").weight[0, :5] = [1, 2, 3, 4, 5]
    found = {f.rule: f.found for f in fit(plan, load_profile("truenorth-0.8v")).problems}
    assert found == {"fan_in": "300 synapses into a neuron", "weight_levels": "5 different weights"}


def test_one_core_chip():
    found = fit(dense(100, 200, 100), load_profile("odin-0.55v"))
    assert [(f.found, f.limit) for f in found.problems] == [("at least 2 cores", "at most 1")]


def test_loihi2_bounds_by_neurons_and_by_memory():
    loihi = load_profile("loihi2")
    assert fit(dense(1, 20000), loihi).placement.cores == (3, None)  # 20,000 neurons, 8,192 per core
    found = fit(dense(100, 20000), loihi)
    assert found.placement.cores == (11, None)  # 16,000,000 bits, 1,572,864 per core
    uses = found.placement.rows[0].uses
    assert uses["neurons"].available == 1_000_000
    assert uses["connections"].amount == 2_000_000
    assert uses["weight bits"].amount == 16_000_000


def test_cores_on_which_sources_disagree():
    """One source says 120 cores, another 128; with 1,000 bits per core, 100 x w weights of 8 bits."""
    loihi = load_profile("loihi2")
    memory = loihi.limits.memory_bits_per_core.model_copy(update={"value": (1000, 1000)})
    limits = loihi.limits.model_copy(update={"memory_bits_per_core": memory})
    small = loihi.model_copy(update={"limits": limits})
    assert "cores" not in {f.rule for f in fit(dense(100, 150), small).unknowns}
    between = fit(dense(100, 155), small)
    assert between.placement.cores == (124, None)
    assert between.verdict == "cannot tell"
    found = next(f for f in between.unknowns if f.rule == "cores")
    assert found.limit == "at most 120 or 128; sources differ"
    assert [f.found for f in fit(dense(100, 170), small).problems] == ["at least 136 cores"]


def test_totals_per_chip():
    found = fit(dense(10, 600), load_profile("brainscales2"))
    totals = {f.rule: (f.found, f.limit) for f in found.problems}
    assert totals["neurons_per_chip"] == ("600 neurons", "at most 512")
    assert found.placement.cores is None
