"""Profiles: honest ones load, dishonest ones are refused with every fault at once."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
import yaml

from snn_deploy.core.assets import asset_dir
from snn_deploy.core.errors import ConfigError
from snn_deploy.hardware.profile import load_profile, parse_profile, profile_names
from snn_deploy.hardware.schema import BANDS, SECOND_HAND_BAND, Counting, Memory, Profile, Term
from snn_deploy.hardware.units import TERMS, UNITS

SHIPPED = profile_names()
SOURCE = {"citation": "A. Author, A paper, 2020", "where": "Table 1"}


def term(**changes):
    return {"value": 2.0, "unit": "pJ", "basis": "measured", "grade": "A", "source": SOURCE} | changes


def document(**changes):
    return {
        "schema_version": 1,
        "id": "test-chip",
        "version": 1,
        "checked_on": datetime(2026, 1, 2, tzinfo=UTC).date(),
        "title": "A chip",
        "chip": "Test",
        "process": "28 nm",
        "precision": "int8",
        "kind": "chip",
        "scope": "per_term",
        "operating_point": {"supply_v": 0.8},
        "validity": "Valid within this test only.",
        "terms": {"sop": term()},
        "counting": {
            "zero_weights": "pay",
            "graded": "unit",
            "pooled": "unit",
            "analog": "refuse",
            "neuron_update": "none",
        },
    } | changes


class Plain(yaml.SafeDumper):
    """Writes repeated values out instead of aliasing them."""

    def ignore_aliases(self, data):
        return True


def parse(**changes):
    return parse_profile(yaml.dump(document(**changes), Dumper=Plain))


def faults(**changes):
    with pytest.raises(ConfigError) as caught:
        parse(**changes)
    return {problem.where: problem for problem in caught.value.problems}


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_profiles_are_honest(name):
    profile = load_profile(name)
    assert profile.id == name
    assert profile.terms.present()
    for key, entry in profile.terms.present().items():
        interval = entry.interval()
        if entry.value is None:
            assert entry.note
            assert interval is None
        else:
            assert entry.grade in {"A", "B", "C"}
            assert entry.source is not None
            assert entry.basis is not None
            assert 0 < interval.low < interval.high
            assert interval.mid == pytest.approx(entry.value * UNITS[entry.unit][1])
        assert UNITS[entry.unit][0] == TERMS[key][0]


def test_the_profiles_of_the_first_delivery_are_there():
    assert set(SHIPPED) >= {"horowitz-45nm-fp32", "loihi1-davies", "truenorth-0.8v", "loihi2"}


def test_loihi2_per_operation_energy_is_unknown():
    profile = load_profile("loihi2")
    assert set(profile.unknown_terms()) == {"sop", "neuron_active", "neuron_inactive", "spike_out"}
    assert profile.workloads


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int32", "int8"])
def test_multiply_accumulate_is_the_sum_of_its_parts(precision):
    """Horowitz 2014: multiplication energies, typed here once more."""
    multiply = {"fp32": 3.7, "fp16": 1.1, "int32": 3.1, "int8": 0.2}[precision]
    terms = load_profile(f"horowitz-45nm-{precision}").terms
    assert terms.mac.value == pytest.approx(terms.sop.value + multiply)


def test_bands_of_single_values():
    measured = parse().terms.sop.interval()
    assert (measured.low, measured.high) == (pytest.approx(2e-12 / 1.25), pytest.approx(2e-12 * 1.25))
    second_hand = parse(terms={"sop": term(grade="C")}).terms.sop
    assert second_hand.band_by_rule == SECOND_HAND_BAND
    stated = parse(terms={"sop": term(low=1.0, high=8)}).terms.sop
    assert stated.band_by_rule is None
    assert math.isclose(stated.interval().high, 8e-12)
    assert all(band > 1 for band in BANDS.values())


def test_all_faults_at_once():
    found = faults(
        id="Bad Name",
        colour="red",
        terms={
            "sop": term(grade="M", source=None),
            "mac": term(low=3.0, high=1.0, valu=1),
            "hop": term(unit="mW"),
            "spike_out": {"value": None, "unit": "pJ"},
            "sopp": term(),
        },
        counting=document()["counting"] | {"pooled": "window"},
    )
    assert set(found) == {
        "id",
        "colour",
        "terms.sop.grade",
        "terms.sop.source",
        "terms.mac",
        "terms.mac.valu",
        "terms.hop.unit",
        "terms.spike_out",
        "terms.sopp",
        "counting.pooled",
    }
    assert "from memory" in found["terms.sop.grade"].what
    assert "Did you mean 'value'?" in found["terms.mac.valu"].what
    assert "Did you mean 'sop'?" in found["terms.sopp"].what
    assert "low <= value <= high" in found["terms.mac"].rule


@pytest.mark.parametrize(
    ("changes", "where", "what"),
    [
        (
            {"scope": "all_in", "terms": {"sop": term(), "static_per_chip": term(unit="mW")}},
            "terms",
            "static",
        ),
        ({"scope": "all_in", "terms": {"sop": term(includes=["static"])}}, "valid_rate", "missing"),
        ({"scope": "all_in", "valid_rate": {"low": 1, "high": 2}}, "terms.sop.includes", "missing"),
        ({"valid_rate": {"low": 1, "high": 2}}, "valid_rate", "per_term"),
        ({"scope": "marginal+static"}, "terms.static_per_chip", "missing"),
        ({"scope": "workload_anchor"}, "terms", "prices sop"),
        ({"scope": "workload_anchor"}, "workloads", "missing"),
        (
            {"terms": {"sop": term(includes=["spike_out"]), "spike_out": term()}},
            "terms.sop.includes",
            "also prices",
        ),
        ({"terms": {"idle_clock_per_mhz": term(unit="uW/MHz")}}, "operating_point.clock_mhz", "missing"),
        ({"terms": {"weight_read_bit": term()}}, "counting.memory", "missing"),
        ({"terms": {"sop": term(low=1.0)}}, "terms.sop", "only one bound"),
        ({"terms": {"sop": term(value="2")}}, "terms.sop.value", "valid number"),
        ({"terms": {"sop": term(value=0)}}, "terms.sop.value", "greater than 0"),
        ({"terms": {"sop": term(value=float("nan"))}}, "terms.sop.value", "finite"),
        ({"terms": {"sop": term(basis=None)}}, "terms.sop.basis", "missing"),
        (
            {"terms": {"sop": term(source=SOURCE | {"quote": "word " * 16})}},
            "terms.sop.source.quote",
            "16 words",
        ),
        ({"limits": {"cores": {"value": 4}}}, "limits.cores.source", "missing"),
        (
            {
                "anchors": [
                    {
                        "name": "a",
                        "quantities": {"mac": 1.0},
                        "published": {"what": "energy", "value": 1.0, "unit": "kg"},
                        "error": 0.3,
                        "source": SOURCE,
                    }
                ]
            },
            "anchors.0.quantities.mac",
            "no known value",
        ),
    ],
)
def test_dishonest_profiles_are_refused(changes, where, what):
    assert what in faults(**changes)[where].what


def test_a_bad_anchor_has_every_fault_named():
    anchor = {
        "name": "a",
        "quantities": {"mac": 1.0},
        "published": {"what": "energy", "value": 1.0, "unit": "kg"},
        "error": 0.3,
        "source": SOURCE,
    }
    assert set(faults(anchors=[anchor])) == {
        "anchors.0.quantities.mac",
        "anchors.0.published.unit",
        "anchors.0.error",
    }


def test_names_paths_and_text(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'loihi1-davies'"):
        load_profile("loihi1-davis")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document()))
    assert load_profile(str(path)).id == "test-chip"
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_profile("a: [")
    with pytest.raises(ConfigError, match="mapping"):
        parse_profile("- 1")
    with pytest.raises(ConfigError, match="key given twice: id"):
        parse_profile("id: a\nid: b")


def test_readme_names_every_field_and_shipped_profile():
    text = (asset_dir("hardware_profiles") / "README.md").read_text()
    fields = [*Profile.model_fields, *Term.model_fields, *Counting.model_fields, *Memory.model_fields]
    for name in [*SHIPPED, *TERMS, *BANDS, *fields]:
        assert f"`{name}`" in text
