"""Verdicts: nothing unknown counts as kept, and every shipped chip gives an answer."""

from __future__ import annotations

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from support.graphs import graph, lif
from support.limits import UNBOUNDED, limit, limits
from support.random_graphs import exact_cases

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.plan import make_plan
from snn_deploy.hardware.fit import SCHEMES, fit
from snn_deploy.hardware.limits import NEEDED
from snn_deploy.hardware.profile import load_profile, profile_names

CHIPS = [name for name in profile_names() if load_profile(name).kind == "chip"]


def dense(inputs=4, outputs=3, threshold=False):
    neurons = nir.Threshold(np.ones(outputs, np.float32)) if threshold else lif((outputs,))
    weight = np.ones((outputs, inputs), np.float32)
    edges = [("input", "w"), ("w", "n"), ("n", "output")]
    return make_plan(graph({"w": nir.Linear(weight), "n": neurons}, edges, (inputs,), (outputs,)))


def chip(**values):
    """A chip with one core of 8 neurons where everything is known."""
    known = limits(
        **{
            "placement": limit("xylo"),
            "input_channels_max": limit(4),
            "hidden_neurons": limit(8),
            "output_neurons": limit(3),
            "hidden_fan_out": limit(8),
            "mean_fan_out": limit(8),
            **UNBOUNDED,
            **values,
        }
    )
    return load_profile("xylo-a2").model_copy(update={"limits": known})


def test_fits_only_when_everything_is_known():
    assert fit(dense(), chip()).verdict == "fits"
    for name in ("operators", "neurons", "resets", "fan_in", "fan_out"):
        found = fit(dense(), chip(**{name: {"value": None, "note": "not public"}}))
        assert found.verdict == "cannot tell"
        assert [f.rule for f in found.unknowns] == [name]


def test_a_broken_limit_outranks_an_unknown_one():
    found = fit(dense(inputs=5), chip(fan_in={"value": None, "note": "not public"}))
    assert found.verdict == "does not fit"
    assert [f.found for f in found.problems] == ["5 input channels"]
    assert found.unknowns


def test_rounding_is_no_reason_not_to_fit():
    plan = dense()
    plan.node("w").weight[:] = np.random.default_rng(0).normal(size=(3, 4))
    found = fit(plan, chip(weight_bits=[8]))
    assert found.verdict == "fits"
    assert [f.where for f in found.changes] == ["w"]


def test_without_any_limits_nobody_can_tell():
    bare = load_profile("xylo-a2").model_copy(update={"limits": type(chip().limits)()})
    found = fit(dense(), bare)
    assert found.verdict == "cannot tell"
    assert {f.rule for f in found.unknowns} == set(NEEDED)


def test_arithmetic_is_no_chip():
    with pytest.raises(ConfigError, match="no chip"):
        fit(dense(), load_profile("horowitz-45nm-fp32"))


def test_akida_takes_thresholds_only():
    akida = load_profile("akida-akd1000")
    assert fit(dense(threshold=True), akida).verdict == "cannot tell"
    assert [f.rule for f in fit(dense(), akida).problems] == ["neurons"]


def test_every_scheme_is_known():
    used = {load_profile(name).limits.placement for name in CHIPS}
    assert {entry.value for entry in used} == set(SCHEMES)


@pytest.mark.parametrize("name", CHIPS)
@settings(max_examples=12, deadline=None)
@given(case=exact_cases())
def test_any_network_gets_an_answer(name, case):
    plan = make_plan(case.graph)
    found = fit(plan, load_profile(name))
    assert found.verdict == (
        "does not fit" if found.problems else "cannot tell" if found.unknowns else "fits"
    )
    assert found.placement.rows
    for finding in (*found.problems, *found.unknowns, *found.changes):
        assert finding.where
        assert finding.found
        assert finding.sentence
    assert all(f.source for f in found.problems)
