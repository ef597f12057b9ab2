from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.data.sets.splits import stratified_split


@given(
    st.lists(st.integers(0, 3), max_size=80),
    st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4),
)
def test_every_sample_is_in_one_part_and_shares_hold(labels, fractions):
    labels = np.array(labels, int)
    parts = stratified_split(labels, fractions)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    slack = 1 - 1 / len(fractions)
    for part, fraction in zip(parts, fractions, strict=True):
        assert part.tolist() == sorted(part.tolist())
        for label in range(4):
            share = (labels == label).sum() * fraction / sum(fractions)
            got = (labels[part] == label).sum()
            assert got - share <= slack + 1e-9
            assert share - got <= (len(fractions) - 1) * slack + 1e-9


def test_split_by_hand():
    # Shares 0.6 and 0.4: the first lacks most at 1, 3, 5; classes do not disturb each other.
    parts = stratified_split(np.array([0, 0, 1, 0, 0, 0, 1]), (0.6, 0.4))
    assert [part.tolist() for part in parts] == [[0, 2, 3, 5], [1, 4, 6]]
