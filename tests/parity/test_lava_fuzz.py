"""Random legal networks in Lava itself and in our simulator: not one spike may differ."""

from __future__ import annotations

import pytest
import torch
from support.lava_nets import KINDS, random_input, random_net

from snn_deploy.simulate.lava import Lava
from snn_deploy.simulate.lava_install import lava_environment
from snn_deploy.simulate.loihi import Loihi

NETWORKS = 300
PER_TEST = 10
STEPS, SAMPLES = 12, 3


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
@pytest.mark.parametrize("first", range(1000, 1000 + NETWORKS, PER_TEST))
def test_no_spike_of_any_layer_differs(first: int) -> None:
    differing: dict[str, int] = {}
    spikes = 0
    for seed in range(first, first + PER_TEST):
        net = random_net(seed, KINDS[seed % len(KINDS)])
        x = torch.from_numpy(random_input(net, seed, STEPS, SAMPLES)).float()
        expected = Lava(net).run(x, record=True)
        found = Loihi(net).run(x, record=True)
        spikes += sum(int(layer.sum()) for layer in expected.records.values())
        flips = {
            f"{seed} {name}": int((found.records[name] != layer).sum())
            for name, layer in expected.records.items()
        }
        flips[f"{seed} output"] = int((found.output != expected.output).sum())
        differing |= {name: count for name, count in flips.items() if count}
    assert spikes > 0
    assert differing == {}
