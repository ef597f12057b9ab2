"""Our fixed-point simulator against spikes that Lava computed; see make_lava_golden.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.lava_nets import KINDS

from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.loihi import Loihi

FILES = sorted((Path(__file__).parent / "lava").glob("*.npz"))


def _load(path: Path, folder: Path) -> tuple[Path, torch.Tensor, Trace]:
    with np.load(path, allow_pickle=False) as content:
        arrays = dict(content)
    file = folder / "model.net"
    file.write_bytes(arrays.pop("net").tobytes())
    x = torch.from_numpy(arrays.pop("x")).float()
    output = torch.from_numpy(arrays.pop("output"))
    return file, x, Trace(output, {name: torch.from_numpy(value).float() for name, value in arrays.items()})


def _assert_equal(found: Trace, expected: Trace) -> None:
    assert found.records.keys() == expected.records.keys()
    for name, spikes in expected.records.items():
        assert torch.equal(found.records[name], spikes), name
    assert torch.equal(found.output, expected.output)


def test_there_are_twenty_networks_of_every_kind() -> None:
    assert len(FILES) >= 20
    kinds = {path.stem.split("-")[0] for path in FILES}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_simulator_equals_lava_in_every_spike(path: Path, tmp_path: Path) -> None:
    file, x, expected = _load(path, tmp_path)
    assert sum(int(spikes.sum()) for spikes in expected.records.values()) > 0
    _assert_equal(Loihi(read_net(file)).run(x, record=True), expected)


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if p.stem.endswith("-0") else pytest.mark.slow) for p in FILES],
)
def test_lava_still_computes_the_recorded_spikes(path: Path, tmp_path: Path) -> None:
    file, x, expected = _load(path, tmp_path)
    _assert_equal(Lava(file).run(x, record=True), expected)
