"""The grid of weights against brute force, and rows that could overflow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_deploy.graph.lava.net import row_bounds
from snn_deploy.graph.lava.rules import SUM_MAX
from snn_deploy.graph.passes.quantize.rounding import round_to_grid, weight_range, within_sums


@pytest.mark.parametrize("bits", range(2, 9))
def test_every_number_goes_to_the_nearest_point_of_the_grid(bits: int) -> None:
    step, low, high = weight_range(bits)
    grid = np.arange(low, high + 1, step)
    assert len(grid) == 2**bits
    scaled = np.concatenate([np.linspace(-400, 400, 4001), grid, grid + step / 2])
    found = round_to_grid(torch.from_numpy(scaled), bits).numpy()
    assert np.isin(found, grid).all()
    nearest = np.abs(scaled[:, None] - grid).min(1)
    np.testing.assert_allclose(np.abs(found - scaled), nearest, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    inputs=st.sampled_from([3, 600, 3000]),
    span=st.sampled_from([(0, 1), (0, 4), (0, 255), (-7, 7), (-3, 15)]),
    bits=st.integers(2, 8),
)
def test_no_row_overflows_and_sound_rows_stay(
    seed: int, inputs: int, span: tuple[int, int], bits: int
) -> None:
    rng = np.random.default_rng(seed)
    step, _, _ = weight_range(bits)
    sizes = 10.0 ** rng.uniform(0, 4, (4, 1)) * rng.choice([-1, 1], (4, 1))
    weight = round_to_grid(torch.from_numpy(np.abs(rng.normal(size=(4, inputs))) * sizes), bits).float()
    found = within_sums(weight, span, bits)
    for before, after in zip(weight.numpy().astype(int), found.numpy().astype(int), strict=True):
        assert row_bounds(after[None], span)[0] <= SUM_MAX
        assert (after % step == 0).all() and (np.abs(after) <= np.abs(before)).all()
        if row_bounds(before[None], span)[0] <= SUM_MAX:
            np.testing.assert_array_equal(after, before)
        else:  # not shrunk by more than the bound asks, and a step
            share = SUM_MAX / row_bounds(before[None], span)[0]
            assert (np.abs(after) >= np.abs(before) * share - step - 1e-6).all()
