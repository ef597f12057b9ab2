"""Short labels drop what all names share, and never become empty or equal."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from snn_deploy.report.view.names import short_names

part = st.sampled_from(["a", "b", "neuron", "0", "1"])
paths = st.lists(part, min_size=1, max_size=4).map(".".join)


def test_by_hand():
    assert short_names(["net.block1.neuron", "net.block2.neuron"]) == {
        "net.block1.neuron": "block1",
        "net.block2.neuron": "block2",
    }
    assert short_names(["only.neuron"]) == {"only.neuron": "only.neuron"}
    assert short_names(["a.neuron", "a.b.neuron"]) == {"a.neuron": "a.neuron", "a.b.neuron": "b"}


@example(["a", "a.a"])
@settings(max_examples=300)
@given(st.lists(paths, unique=True, max_size=6))
def test_labels_stay_distinct(names):
    labels = short_names(names)
    assert set(labels) == set(names)
    assert all(labels.values())
    assert len(set(labels.values())) == len(names)
