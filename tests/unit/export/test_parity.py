"""The classes of flips, worked by hand on one neuron layer."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snn_deploy.export.parity import Parity, compare_layer, compare_output, join, judge


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


def test_ties_are_set_apart_and_so_is_what_follows_in_the_same_neuron() -> None:
    # neuron 0 flips at steps 1 and 3, neuron 2 at step 0; only neuron 0 was at its threshold, at step 1
    candidate = spikes("011", "100", "011", "100")

    def distance(_layer: str, flips: torch.Tensor) -> torch.Tensor:
        far = torch.ones(flips.shape, dtype=torch.float64)
        far[1, 0, 0] = 1e-7
        return far

    result = compare_layer("a", REFERENCE, candidate, REFERENCE, distance)
    assert (result.differing, result.ties, result.after_ties, result.unexplained) == (3, 1, 1, 1)
    assert result.first == (0, 0, 2)


def test_a_tie_width_that_is_not_met_explains_nothing() -> None:
    candidate = spikes("110", "000", "011", "000")
    result = compare_layer("a", REFERENCE, candidate, REFERENCE, lambda _n, f: torch.full(f.shape, 1.1e-5))
    assert (result.ties, result.unexplained) == (0, 1)


@pytest.mark.parametrize(("value", "outside"), [(0.0, 0), (0.5e-4, 0), (2e-4, 1), (float("nan"), 1)])
def test_outputs_are_compared_within_the_tolerance(value: float, outside: int) -> None:
    reference = torch.zeros(2, 1, 3)
    output = reference.clone()
    output[1, 0, 2] = value
    assert compare_output(reference, output)[0] == outside


def test_verdicts() -> None:
    layer = compare_layer("a", REFERENCE, REFERENCE, REFERENCE, None)
    assert judge(replace(BLANK, layers=(layer,)), max_accuracy_drop=0).verdict == "equal"
    tied = replace(layer, differing=2, ties=1, after_ties=1)
    assert (
        judge(replace(BLANK, layers=(tied,), output_differing=5), max_accuracy_drop=0).verdict == "ties only"
    )
    flipped = replace(layer, differing=3, ties=1, after_ties=1, first=(1, 2, 3))
    failed = judge(replace(BLANK, layers=(layer, flipped)), max_accuracy_drop=0)
    assert failed.verdict == "failed"
    assert "'a' at (step, sample, element) (1, 2, 3)" in failed.reason
    free_only = replace(layer, free_differing=1)
    assert judge(replace(BLANK, layers=(free_only,)), max_accuracy_drop=0).verdict == "failed"
    assert (
        judge(replace(BLANK, output_compared=4, output_differing=1), max_accuracy_drop=0).verdict == "failed"
    )


def test_an_approximate_format_is_judged_by_accuracy() -> None:
    drift = replace(BLANK, exact=False, accuracy_reference=0.97, accuracy=0.955, output_differing=3)
    assert judge(drift, max_accuracy_drop=0.02).verdict == "approximate"
    assert judge(drift, max_accuracy_drop=0.01).verdict == "failed"
    assert judge(replace(drift, accuracy=0.97, output_differing=0), max_accuracy_drop=0).verdict == "equal"


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
