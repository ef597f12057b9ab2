"""The classes of flips, worked by hand on one neuron layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from snn_deploy.export.parity import LayerParity, Parity, compare_layer, compare_output, join, moments
from snn_deploy.export.proof.coverage import Coverage, LayerCoverage
from snn_deploy.export.proof.evidence import classify
from snn_deploy.export.proof.judge import Limits, judge, verdict_of
from snn_deploy.export.proof.rounded import Decision, Rounded


def spikes(*rows: str) -> torch.Tensor:
    """``spikes("010", "110")``: T rows of one sample with one neuron per character."""
    return torch.tensor([[float(c) for c in row] for row in rows]).unsqueeze(1)


REFERENCE = spikes("010", "000", "011", "000")
BLANK = Parity("nir", "reference", "network", exact=True, samples=1)


def test_equal_spikes() -> None:
    result = compare_layer("a", REFERENCE, REFERENCE, REFERENCE, None)
    assert (result.compared, result.differing, result.first) == (12, 0, None)


def test_a_flip_is_placed_at_its_step_sample_and_element() -> None:
    result = compare_layer("a", REFERENCE, spikes("010", "000", "010", "000"), REFERENCE, None)
    assert (result.differing, result.unexplained, result.first) == (1, 1, (2, 0, 2))


def membranes(*rows: list[float], error: float = 1e-6) -> Decision:
    """Membranes of three neurons over four steps beside a threshold of 1."""
    value = torch.tensor(rows, dtype=torch.float64).unsqueeze(1)
    return Decision(Rounded(value, torch.full_like(value, error)), torch.ones(()).double(), ">=")


def test_ties_are_set_apart_and_so_is_what_follows_in_the_same_neuron() -> None:
    # neuron 0 flips at steps 1 and 3, neuron 2 at step 0; only neuron 0 was at its threshold, at step 1
    candidate = spikes("011", "100", "011", "100")
    own = membranes([0, 2, 0], [1 - 1e-7, 0, 0], [0, 2, 2], [2, 0, 0])
    found = classify(own, REFERENCE.bool(), candidate.bool())
    result = compare_layer("a", REFERENCE, candidate, REFERENCE, found)
    assert (result.differing, result.ties, result.after_ties, result.unexplained) == (3, 1, 1, 1)
    assert result.first == (0, 0, 2)


def test_what_follows_a_tie_must_follow_from_the_neurons_own_membrane() -> None:
    candidate = spikes("010", "100", "011", "100")
    own = membranes([0, 2, 0], [1 - 1e-7, 0, 0], [0, 2, 2], [0.5, 0, 0])
    found = classify(own, REFERENCE.bool(), candidate.bool())
    result = compare_layer("a", REFERENCE, candidate, REFERENCE, found)
    assert (result.differing, result.ties, result.unexplained) == (2, 0, 2)


@pytest.mark.parametrize("error", [0.0, 1e-7])
def test_a_tie_wider_than_rounding_explains_nothing(error: float) -> None:
    candidate = spikes("110", "000", "011", "000")
    own = membranes([1 - 1e-6, 2, 0], [0, 0, 0], [0, 2, 2], [0, 0, 0], error=error)
    found = classify(own, REFERENCE.bool(), candidate.bool())
    result = compare_layer("a", REFERENCE, candidate, REFERENCE, found)
    assert (result.ties, result.unexplained) == (0, 1)


@pytest.mark.parametrize(("value", "outside"), [(0.0, 0), (0.5e-4, 0), (2e-4, 1), (float("nan"), 1)])
@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_outputs_are_compared_within_the_tolerance(value: float, outside: int, scale: float) -> None:
    reference = torch.zeros(2, 1, 3)
    reference[0, 0, 0] = scale
    output = reference.clone()
    output[1, 0, 2] = value * scale
    assert compare_output(reference, output)[0] == outside


def test_verdicts() -> None:
    layer = compare_layer("a", REFERENCE, REFERENCE, REFERENCE, None)
    assert verdict(replace(BLANK, layers=(layer,))) == "equal"
    tied = replace(BLANK, layers=(replace(layer, differing=2, ties=1, after_ties=1),))
    assert verdict(replace(tied, output_free_differing=5)) == "ties only"
    assert verdict(replace(tied, output_differing=5)) == "failed", "a tie does not excuse the readout"
    flipped = replace(layer, differing=3, ties=1, after_ties=1, first=(1, 2, 3))
    failed = judge(replace(BLANK, layers=(layer, flipped)), Limits())
    assert failed.verdict == "failed"
    assert "'a' at (step, sample, element) (1, 2, 3)" in failed.reason
    free_only = replace(layer, free_differing=1)
    assert verdict(replace(BLANK, layers=(free_only,))) == "failed"
    assert verdict(replace(BLANK, output_compared=4, output_differing=1)) == "failed"


def verdict(parity: Parity, **limits: float) -> str:
    return judge(parity, Limits(**limits)).verdict


COVERED = LayerCoverage("a", 3, 3, 3, 3, spikes=4, compared=12)


@pytest.mark.parametrize(
    ("rows", "varies", "what"),
    [
        ((COVERED, replace(COVERED, layer="b", spikes=0, fired=0)), True, "'b' never fires"),
        ((replace(COVERED, fed=False),), True, "'a' sees no input"),
        ((replace(COVERED, spikes=12),), True, "'a' always fires"),
        ((replace(COVERED, spikes=0),), True, "no layer fires"),
        ((COVERED,), False, "the output never changes"),
    ],
)
def test_what_was_not_exercised_is_not_shown(rows, varies: bool, what: str) -> None:
    found = judge(replace(BLANK, coverage=Coverage(rows, varies)), Limits())
    assert found.verdict == "not shown"
    assert what in found.reason
    assert verdict(replace(BLANK, coverage=Coverage((COVERED,), output_varies=True))) == "equal"


def test_a_bundle_is_verified_by_an_independent_runtime_only() -> None:
    own = replace(BLANK, verdict="equal")
    other = replace(own, format="onnx step", runtime="onnxruntime")
    assert verdict_of([own, other]) == ("verified", "")
    assert verdict_of([own])[0] == "not verified"
    assert verdict_of([replace(own, verdict="not run")])[0] == "not verified"
    assert verdict_of([other, replace(own, verdict="not run")])[0] == "not verified"
    assert verdict_of([own, replace(other, verdict="not shown")])[0] == "not verified"
    assert verdict_of([own, other, replace(other, verdict="failed")])[0] == "failed"


def test_an_approximate_format_is_judged_by_accuracy() -> None:
    drift = replace(
        BLANK, exact=False, accuracy_reference=0.97, accuracy=0.955, output_differing=3, same_decision=1,
        output_moments=moments(REFERENCE, 2 * REFERENCE),
    )  # fmt: skip
    assert verdict(drift, max_accuracy_drop=0.02) == "approximate"
    assert verdict(drift, max_accuracy_drop=0.01) == "failed"
    assert verdict(replace(drift, accuracy=0.97, output_differing=0), max_accuracy_drop=0) == "equal"


def test_an_approximate_format_is_judged_without_labels_too() -> None:
    drift = replace(BLANK, exact=False, samples=100, output_differing=3, same_decision=85)
    drift = replace(drift, output_moments=moments(REFERENCE, REFERENCE + 1))
    assert verdict(drift) == "approximate", "12 of 100, and two standard deviations"
    assert verdict(replace(drift, same_decision=80)) == "failed"
    assert verdict(replace(drift, output_moments=moments(REFERENCE, -REFERENCE))) == "failed"
    follows = LayerParity("a", 100, differing=10, spikes_reference=20, spikes=22, spikes_both=16)
    assert follows.correlation == pytest.approx(
        np.corrcoef([1] * 20 + [0] * 80, [1] * 16 + [0] * 4 + [1] * 6 + [0] * 74)[0, 1]
    )
    assert verdict(replace(drift, layers=(follows,))) == "approximate"
    astray = replace(follows, spikes_both=3)
    assert "do not follow" in judge(replace(drift, layers=(astray,)), Limits()).reason
    assert verdict(replace(drift, layers=(replace(follows, spikes=0, spikes_both=0),))) == "failed"


def test_chunks_join_to_the_whole() -> None:
    a = replace(
        BLANK, samples=3, layers=(compare_layer("a", REFERENCE, REFERENCE, REFERENCE, None),), accuracy=1.0
    )
    b = replace(a, samples=1, accuracy=0.0, output_max_difference=0.5, same_decision=1)
    whole = join([a, b])
    assert whole.samples == 4
    assert whole.accuracy == 0.75
    assert whole.layers[0].compared == 24
    assert (whole.output_max_difference, whole.same_decision) == (0.5, 1)


def test_the_first_difference_of_all_chunks_is_the_first_in_time_and_numbered_over_all_samples() -> None:
    spikes = torch.zeros(3, 2, 4)
    late, early = spikes.clone(), spikes.clone()
    late[2, 0, 1] = early[1, 1, 3] = 1
    chunks = [
        replace(BLANK, samples=2, layers=(compare_layer("a", spikes, found, found, None),))
        for found in (spikes, late, early)
    ]
    whole = join(chunks)
    assert whole.layers[0].first == (1, 5, 3)
    assert whole.layers[0].differing == 2
    assert join(chunks[:2]).layers[0].first == (2, 2, 1)
