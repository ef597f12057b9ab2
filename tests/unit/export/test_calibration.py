"""Spikes for calibration: those of a whole run, whatever memory holds; fewer samples of large ones."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.graphs import chain, conv, lif

from snn_deploy.export import calibration
from snn_deploy.export.calibration import recorded_spikes
from snn_deploy.graph.plan import make_plan
from snn_deploy.simulate.reference import Reference


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize(("elements", "frames", "kept"), [(1 << 25, 96, (11, 11)), (1400, 20, (5, 7))])
def test_equal_to_a_whole_run(
    size: int, elements: int, frames: int, kept: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = conv(4, 2, 8, seed=1), conv(3, 4, 8, seed=2, stride=2)
    for node in (first, second):
        node.weight = np.round(8 * node.weight) / 8
    net = chain(first, lif((4, 8, 8)), second, lif((3, 4, 4)), target=(3, 4, 4))
    x = (torch.rand(4, 11, 2, 8, 8, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    expected = Reference(make_plan(net)).run(x, record=True).records
    monkeypatch.setattr(calibration, "samples_at_once", lambda *_: size)
    monkeypatch.setattr(calibration, "KEPT_ELEMENTS", elements)
    monkeypatch.setattr(calibration, "FEWEST_FRAMES", frames)
    found = recorded_spikes(net, x)
    assert {name: spikes.shape[1] for name, spikes in found.items()} == dict(
        zip(("n1", "n3"), kept, strict=True)
    )
    for name, spikes in found.items():
        assert spikes.dtype == torch.bool and spikes.any()
        assert torch.equal(spikes.float(), expected[name][:, : spikes.shape[1]])
