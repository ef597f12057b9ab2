"""Files written for one reader, executed by it on real samples: the last spike is that of the student.

sinabs and Spyx need environments of their own: ``make interop`` runs them on the same networks.
"""

from __future__ import annotations

import pytest
import torch
from interop.exchange import HERE, Case, execute
from interop.networks import NETWORKS, case, samples
from spikingjelly.activation_based import functional
from support.students import lively

from snn_deploy.core.registry import STUDENTS
from snn_deploy.graph.readers.from_torch import from_torch
from snn_deploy.graph.semantics import Semantics

HARD = [name for name in NETWORKS if "soft" not in name]


@pytest.fixture(scope="module")
def x():
    """Frames of digits-dvs."""
    return samples(32)


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


BRANCHED = {
    "SEW, sum of spikes": ("sew-resnet18", {"widths": [4, 5], "blocks": [1, 2]}),
    "sum of currents": ("resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
    "membrane shortcuts": ("ms-resnet18", {"widths": [4, 5], "blocks": [1, 1]}),
    "maximum over spikes": ("vggsnn", {"stages": [[4], [5]], "pooling": "max"}),
}
READ_BY = {"snntorch": set(BRANCHED), "spikingjelly": set(BRANCHED) - {"maximum over spikes"}}
READ_BY["norse"] = {"maximum over spikes"}


@pytest.mark.parametrize("name", BRANCHED)
def test_branches_and_max_pools_are_read_or_refused_with_the_reason(name, tmp_path):
    """Norse walks depth first, so that of two parallel branches one comes too late; SpikingJelly knows no
    threshold without a membrane."""
    torch.manual_seed(2)
    student, options = BRANCHED[name]
    entry, shape = STUDENTS.get(student), (2, 10, 10)
    net = entry.factory(entry.options.model_validate(options), in_shape=shape, classes=5, timesteps=5)
    net = lively(net)
    x = (torch.rand(5, 16, *shape) < 0.4).float()
    made = Case(name, from_torch(net, shape, semantics=Semantics(timesteps=5)), x)
    functional.reset_net(net)
    with torch.no_grad():
        expected = net(x)
    assert expected.std() > 0.1
    for reader in HERE:
        pytest.importorskip(reader)
        outcome = execute([made], reader, tmp_path)[name]
        if name in READ_BY[reader]:
            assert outcome.state == "ran", outcome.reason
            torch.testing.assert_close(outcome.output, expected, rtol=1e-4, atol=1e-4)
        else:
            assert "parallel branches" in outcome.reason or "does not read it" in outcome.reason
