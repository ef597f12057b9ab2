"""Limits in a profile: dishonest ones are refused, all faults at once."""

from __future__ import annotations

from typing import get_args

import pytest
import yaml
from support.limits import SOURCE, limit

from snn_deploy.core.errors import ConfigError
from snn_deploy.graph.plan import NODES
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES
from snn_deploy.hardware.limits import NEEDED, PLACEMENT_NEEDS, Limits, NeuronModel, Operator, Scheme
from snn_deploy.hardware.profile import load_profile, parse_profile, profile_names
from snn_deploy.hardware.rules import rule_problems


class Plain(yaml.SafeDumper):
    """Writes repeated values out instead of aliasing them."""

    def ignore_aliases(self, data):
        return True


def problems(**given):
    found = {}
    for problem in rule_problems({"limits": given}):
        if problem.where.startswith("limits"):
            found[problem.where] = problem
    return found


def test_names_are_those_of_the_plan():
    neurons = {t.__name__ for t in (*SPIKING_NODES, *INTEGRATOR_NODES)}
    assert set(get_args(NeuronModel)) == neurons
    assert set(get_args(Operator)) == {t.__name__ for t in NODES} - neurons - {"Input", "Output"}
    assert set(NEEDED) <= set(Limits.model_fields)
    assert set(PLACEMENT_NEEDS) == set(get_args(Scheme))
    assert {name for names in PLACEMENT_NEEDS.values() for name in names} <= set(Limits.model_fields)


def test_one_number_or_two():
    assert Limits.model_validate({"cores": limit(4)}).cores.value == (4, 4)
    assert Limits.model_validate({"cores": limit([4, 6])}).cores.value == (4, 6)


def test_evidence_reasons_and_contradictions():
    found = problems(
        cores={"value": 4},
        fan_in={"value": None},
        fan_out=limit(3, bounded_by="memory"),
        neurons=limit(["IF"]),
        first_layer={"strides": {"value": [1]}, "groups": limit([1])},
    )
    assert set(found) == {
        "limits.cores.source",
        "limits.cores.grade",
        "limits.fan_in",
        "limits.fan_out",
        "limits.first_layer.strides.source",
        "limits.first_layer.strides.grade",
    }
    assert found["limits.fan_in"].what == "value is null without a reason"


def test_a_placement_needs_its_numbers():
    found = problems(
        placement=limit("dynapcnn"),
        cores=limit(3),
        kernel_memory_per_core=limit([1, 2]),
        neuron_memory_per_core=limit([1, 2, 3]),
    )
    assert found["limits.kernel_memory_per_core"].what == "2 numbers"
    assert found["limits.bias_memory_per_core"].what == "missing or unknown"
    assert set(found) == {"limits.kernel_memory_per_core", "limits.bias_memory_per_core"}


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("cores", -1, "greater than or equal to 0"),
        ("cores", 1.5, "valid tuple"),
        ("cores", [6, 4], "low, high"),
        ("cores", "many", "valid tuple"),
        ("neurons", ["LIFF"], "Input should be"),
        ("structure", ["no_loops"], "Input should be"),
        ("strides", [], "at least 1"),
        ("placement", "tetris", "Input should be"),
    ],
)
def test_values_of_the_wrong_kind(name, value, what):
    text = yaml.dump(_document(limits={name: limit(value)}), Dumper=Plain)
    with pytest.raises(ConfigError) as caught:
        parse_profile(text)
    assert all(problem.where.startswith(f"limits.{name}") for problem in caught.value.problems)
    assert any(what in problem.what for problem in caught.value.problems), caught.value.problems


def test_unknown_limits_get_a_suggestion():
    with pytest.raises(ConfigError) as caught:
        parse_profile(yaml.dump(_document(limits={"neurons_per_cor": limit(1)}), Dumper=Plain))
    assert "Did you mean 'neurons_per_core'?" in caught.value.problems[0].what


@pytest.mark.parametrize("name", profile_names())
def test_shipped_limits_are_honest(name):
    profile = load_profile(name)
    stated = {field: getattr(profile.limits, field) for field in Limits.model_fields}
    for part in (profile.limits, profile.limits.first_layer):
        for field in type(part).model_fields:
            entry = getattr(part, field)
            if field in {"format", "remarks", "first_layer"} or entry is None:
                continue
            assert (entry.value is None) == (entry.source is None), field
            assert (entry.value is None) == (entry.grade is None), field
            assert entry.value is not None or entry.note or entry.bounded_by, field
    if profile.kind == "chip":
        assert all(stated[field] is not None for field in NEEDED), "every chip answers what a fit needs"


def _document(**changes):
    return {
        "schema_version": 1,
        "id": "test-chip",
        "version": 1,
        "checked_on": "2026-01-02",
        "title": "A chip",
        "chip": "Test",
        "process": "28 nm",
        "precision": "int8",
        "kind": "chip",
        "scope": "per_term",
        "operating_point": {"supply_v": 0.8},
        "validity": "Valid within this test only.",
        "terms": {"sop": {"value": None, "unit": "pJ", "note": "unknown"}},
        "counting": {
            "zero_weights": "pay",
            "graded": "unit",
            "pooled": "unit",
            "analog": "refuse",
            "neuron_update": "none",
        },
    } | changes


def test_sources_of_this_test_are_complete():
    assert parse_profile(yaml.dump(_document(limits={"cores": limit(1)}), Dumper=Plain)).limits.cores.source
    assert SOURCE["citation"]
