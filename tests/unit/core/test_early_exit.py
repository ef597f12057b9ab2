"""The rule by hand, and against a loop over samples and steps."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.core.early_exit import (
    ExitRule,
    candidates,
    choose,
    confidence,
    exit_steps,
    exit_words,
    factor,
)
from snn_deploy.core.errors import ConfigError


def test_confidence_by_hand():
    # Scores (0, ln 3): 3/4 at scale 1, 9/10 at scale 2, 1/2 where all are equal.
    scores = np.array([[0.0, math.log(3)], [5.0, 5.0]])
    assert confidence(scores, 1.0).tolist() == pytest.approx([3 / 4, 1 / 2])
    assert confidence(scores, 2.0).tolist() == pytest.approx([9 / 10, 1 / 2])
    # A sum of outputs over T = 4 at scale 8 counts twice, the last output eight times.
    assert (factor(8.0, "mean", 4), factor(8.0, "last", 4)) == (2.0, 8.0)


def test_large_scores_do_not_overflow():
    assert confidence(np.array([1e4, 0.0, -1e4]), 8.0) == 1.0


@given(st.integers(0, 10_000), st.floats(0.1, 1))
def test_exit_steps_against_a_loop(seed, at):
    sure = np.random.default_rng(seed).uniform(0, 1, (5, 7))
    expected = [next((t for t in range(5) if sure[t, n] >= at), 4) for n in range(7)]
    assert exit_steps(sure.copy(), at).tolist() == expected


def test_the_least_threshold_that_keeps_the_accuracy_is_chosen():
    # Both samples are right from step 2 on; the first is surer of its wrong first decision than the second.
    sure = np.array([[0.6, 0.3], [0.7, 0.8], [0.9, 0.9]])
    correct = np.array([[False, False], [True, True], [True, True]])
    at = choose(sure, correct)
    assert 0.6 < at <= 0.7
    assert exit_steps(sure, at).tolist() == [1, 1]
    assert choose(sure, np.ones((3, 2), bool)) == candidates(sure)[0] == 0.3


def test_what_is_only_right_at_the_end_is_not_stopped():
    sure = np.array([[0.5, 0.6], [0.7, 0.8]])
    correct = np.array([[False, False], [True, True]])
    assert exit_steps(sure, choose(sure, correct)).tolist() == [1, 1]


def test_one_step_has_one_candidate():
    assert candidates(np.ones((1, 3))) == (1.0,)


@pytest.mark.parametrize(
    ("at", "scale"), [(0.0, 1.0), (1.1, 1.0), (math.nan, 1.0), (0.5, 0.0), (0.5, math.inf)]
)
def test_rules_that_cannot_be(at, scale):
    with pytest.raises(ConfigError):
        ExitRule(at, scale)


def test_the_words_say_where_a_threshold_comes_from():
    given = {"at": 0.9, "scale": 8.0, "chosen": "given"}
    assert exit_words(given, 8) == (
        "A sample ends with the first step whose confidence is 0.9 or more: the largest softmax of 8 times "
        "the readout accumulated so far."
    )
    chosen = {"samples": 270, "accuracy": 0.974, "accuracy_at_end": 0.978, "mean_steps": 3.14}
    assert "On 270 validation samples" in exit_words({**given, **chosen, "chosen": "validation"}, 8)
