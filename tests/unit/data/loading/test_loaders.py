from __future__ import annotations

import io
from itertools import chain, islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_deploy.core.errors import DataError
from snn_deploy.data.loading.loaders import BatchOrder

sizes = {"samples": st.integers(1, 50), "batch_size": st.integers(1, 60), "seed": st.integers(0, 2**31 - 1)}


def epochs(order, count):
    return [[batch.tolist() for batch in order] for _ in range(count)]


def saved(order):
    """The state after a round trip through a file read with ``weights_only``."""
    file = io.BytesIO()
    torch.save(order.state_dict(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(**sizes)
def test_an_epoch_visits_every_sample_once(samples, batch_size, seed):
    order = BatchOrder(samples, batch_size, seed)
    (batches,) = epochs(order, 1)
    assert len(batches) == len(order)
    assert sorted(chain(*batches)) == list(range(samples))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert (order.epoch, order.position) == (1, 0)


@given(**sizes, data=st.data())
def test_resumed_order_is_the_order_that_was_interrupted(samples, batch_size, seed, data):
    expected = epochs(BatchOrder(samples, batch_size, seed), 3)
    order = BatchOrder(samples, batch_size, seed)
    done = data.draw(st.integers(0, 2))
    taken = data.draw(st.integers(0, len(order)))
    seen = [*epochs(order, done), [batch.tolist() for batch in islice(order, taken)]]
    resumed = BatchOrder(samples, batch_size, seed)
    resumed.load_state_dict(saved(order))
    rest = epochs(resumed, 3 - done)
    assert [*seen[:-1], seen[-1] + rest[0], *rest[1:]] == expected
    assert (resumed.epoch, resumed.position) == (3, 0)


@given(**sizes)
def test_what_follows_is_the_next_batch_and_is_not_used_up(samples, batch_size, seed):
    order, plain = BatchOrder(samples, batch_size, seed), BatchOrder(samples, batch_size, seed)
    for _ in range(2):
        told = []
        for batch, expected in zip(order, plain, strict=True):
            assert batch.tolist() == expected.tolist()
            assert order.state_dict() == plain.state_dict()
            told.append(order.following().tolist())
        (repeated,) = epochs(resumed(samples, batch_size, seed, order.epoch - 1), 1)
        assert told == [*repeated[1:], []]


def resumed(samples, batch_size, seed, epoch):
    """At the beginning of ``epoch``."""
    order = BatchOrder(samples, batch_size, seed)
    order.load_state_dict({**order.state_dict(), "epoch": epoch})
    return order


def test_orders_differ_between_epochs_and_seeds():
    first, second = epochs(BatchOrder(50, 50, 1), 2)
    other = epochs(BatchOrder(50, 50, 2), 2)
    assert len({tuple(batch[0]) for batch in (first, second, *other)}) == 4


def test_the_order_leaves_torchs_own_generator_alone():
    before = torch.get_rng_state()
    epochs(BatchOrder(9, 2, 0), 2)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 11}, "another run: samples 11, here 10"),
        ({"batch_size": 4, "seed": 1}, "batch_size 4, here 3; seed 1, here 0"),
        ({"position": 5}, "damaged: epoch 0, batch 5"),
        ({"position": -1}, "damaged"),
        ({"epoch": -1}, "damaged"),
        ({"epoch": 0.5}, "damaged"),
        ({"extra": 1}, "damaged"),
    ],
)
def test_foreign_or_damaged_state_is_refused_and_changes_nothing(change, message):
    order = BatchOrder(10, 3, 0)
    with pytest.raises(DataError, match=message):
        order.load_state_dict(order.state_dict() | change)
    assert (order.epoch, order.position) == (0, 0)


@pytest.mark.parametrize(("samples", "batch_size"), [(0, 1), (1, 0)])
def test_nothing_to_batch_is_an_error(samples, batch_size):
    with pytest.raises(ValueError, match="cannot make batches"):
        BatchOrder(samples, batch_size, 0)
