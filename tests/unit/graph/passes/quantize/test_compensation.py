"""Rounding that makes up for its errors, against least squares solved anew after every weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.graph.passes.quantize import compensation
from snn_deploy.graph.passes.quantize.columns import apply_map, columns
from snn_deploy.graph.passes.quantize.compensation import MAX_INPUTS, compensated, correlations
from snn_deploy.graph.passes.quantize.rounding import round_to_grid
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Matrix, Window


def _columns(linear: Window | Matrix, frames: torch.Tensor) -> FloatArray:
    """X of every group ``[G, K, P]``: currents of a neuron with the weight 1 at one input, 0 elsewhere."""
    groups = 1 if isinstance(linear, Matrix) else linear.groups
    rows = len(linear.weight) // groups
    found = []
    for place in np.ndindex(linear.weight.shape[1:]):
        one = np.zeros_like(linear.weight)
        one[(slice(None), *place)] = 1.0
        found.append(
            apply_map(replace(linear, weight=one), frames).transpose(0, 1).flatten(1)[::rows].double().numpy()
        )
    return np.stack(found, 1)


def _compensated(
    linear: Window | Matrix, frames: torch.Tensor, scales: FloatArray, bits: int
) -> torch.Tensor:
    known = correlations(columns(linear, frames, torch.arange(len(frames)), 1 << 24))
    assert known is not None
    return compensated(linear.weight, known, scales, bits)


def _one_by_one(weight: FloatArray, x: FloatArray, bits: int) -> FloatArray:
    """Integers of ``weight [rows, K]``: round one, then solve for the best of those that are left."""
    gram = x @ x.T
    gram += 0.01 * np.diag(gram).mean() * np.eye(len(gram))
    order = np.argsort(-np.diag(gram), kind="stable")
    best, found = weight.copy(), np.zeros_like(weight)
    for i, column in enumerate(order):
        found[:, column] = round_to_grid(torch.from_numpy(best[:, column]), bits).numpy()
        done, left = order[: i + 1], order[i + 1 :]
        error = (weight - found)[:, done] @ gram[np.ix_(done, left)]
        best[:, left] = weight[:, left] + error @ np.linalg.inv(gram[np.ix_(left, left)])
    return found


def _random(seed: int) -> tuple[Window | Matrix, torch.Tensor]:
    rng = np.random.default_rng(seed)
    frames = torch.from_numpy(rng.integers(0, 2, (7, 4, 6, 5))).float()
    if rng.random() < 0.3:
        return Matrix(rng.normal(size=(3, 120)), np.zeros(3)), frames
    groups = int(rng.choice([1, 2, 4]))
    kernel, stride, dilation = (tuple(int(n) for n in rng.integers(1, 3, 2)) for _ in range(3))
    padding = tuple(int(n) for n in rng.integers(0, 2, 2))
    weight = rng.normal(size=(4, 4 // groups, *kernel))
    return Window(weight, np.zeros(4), stride, padding, dilation, groups, (6, 5)), frames


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), bits=st.integers(2, 8))
def test_equals_least_squares_solved_anew_after_every_weight(seed: int, bits: int) -> None:
    linear, frames = _random(seed)
    scales = 100.0 * np.linspace(0.3, 1.0, 3)
    found = _compensated(linear, frames, scales, bits)
    x = _columns(linear, frames)
    for number, scale in enumerate(scales):
        rows = (scale * linear.weight).reshape(len(x), -1, x.shape[1])
        expected = np.concatenate([_one_by_one(*group, bits) for group in zip(rows, x, strict=True)])
        assert np.array_equal(found[number].flatten(1).numpy(), expected)


def test_blocks_of_columns_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    linear, frames = Matrix(np.random.default_rng(1).normal(size=(5, 120)), np.zeros(5)), _random(0)[1]
    whole = _compensated(linear, frames, np.array([80.0]), 4)
    monkeypatch.setattr(compensation, "_BLOCK", 7)
    blocks = _compensated(linear, frames, np.array([80.0]), 4)
    assert torch.equal(whole, blocks)


def test_inputs_that_are_independent_leave_the_nearest_integers() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 16))
    found = _compensated(Matrix(weight, np.zeros(4)), torch.eye(16), np.array([90.0]), 6)
    assert torch.equal(found[0], round_to_grid(torch.from_numpy(90.0 * weight), 6))


def test_two_inputs_that_fire_together_share_an_error() -> None:
    """Worked by hand, in steps of 2: the nearest of 0.8 and 0.8 are 0 and 0. Rounding the first to 0
    leaves its 0.8 to the second, less the damping (1 / 1.01 of it), and the nearest of 1.59 is 2."""
    linear = Matrix(np.array([[0.4, 0.4]]), np.zeros(1))
    found = _compensated(linear, torch.ones(3, 2), np.array([2.0]), 8)
    assert found.tolist() == [[[0.0, 2.0]]]


def test_a_scale_for_every_channel() -> None:
    linear, frames = Matrix(np.random.default_rng(2).normal(size=(3, 120)), np.zeros(3)), _random(3)[1]
    scales = np.array([20.0, 60.0, 100.0])
    together = _compensated(linear, frames, scales[None], 5)
    for row, scale in enumerate(scales):
        alone = _compensated(linear, frames, np.array([scale]), 5)
        assert torch.equal(together[0, row], alone[0, row])


@pytest.mark.parametrize(("inputs", "frame"), [(MAX_INPUTS + 1, 1.0), (8, 0.0)])
def test_too_many_inputs_and_silence_are_left_alone(inputs: int, frame: float) -> None:
    assert correlations(torch.full((1, inputs, 2), frame)) is None
