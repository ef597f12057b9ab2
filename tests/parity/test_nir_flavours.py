"""Files written for one reader, executed by it on real samples: the last spike is that of the student.

sinabs and Spyx need environments of their own: ``make interop`` runs them on the same networks.
"""

from __future__ import annotations

import pytest
import torch
from interop.exchange import HERE, execute
from interop.networks import NETWORKS, case, samples
from spikingjelly.activation_based import functional

HARD = [name for name in NETWORKS if "soft" not in name]


@pytest.fixture(scope="module")
def x(tmp_path_factory):
    """Frames of digits-dvs."""
    return samples(32, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize("name", HARD)
def test_every_spike_is_the_students(name, x, tmp_path):
    made, net = case(name, x)
    functional.reset_net(net)
    with torch.no_grad():
        expected = net(x)
    assert 0.01 < expected.mean() < 0.99
    for reader in HERE:
        pytest.importorskip(reader)
        outcome = execute([made], reader, tmp_path)[name]
        assert outcome.state == "ran", outcome.reason
        assert torch.equal(outcome.output, expected), reader
