"""Networks in micro-steps as C, integer and float: the whole numbers that the network itself fires."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from support.c_float import compiled
from support.micro_steps import Expanded

from snn_deploy.export.base import Calibration
from snn_deploy.export.c.compiler import SANITIZERS
from snn_deploy.export.c.runtime import CProgram
from snn_deploy.export.c.writer import CWriter
from snn_deploy.export.options import COptions
from snn_deploy.simulate.loihi import Loihi
from snn_deploy.simulate.reference import Reference

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 60))]


def numbers_in_c(seed: int, folder: Path, extra: tuple[str, ...] = ()) -> int:
    """Compare the numbers of every neuron and all outputs; returns how many spikes fell."""
    net = Expanded(seed)
    CWriter(COptions()).write(net.binary.graph, folder, Calibration(net.frames))
    binary = Reference(net.binary).run(net.frames)
    chip = Loihi(folder / "model.net").run(net.frames, record=True)
    found = CProgram(folder / "model.net", extra=extra).run(net.frames, record=True)
    assert list(found.records) == list(chip.records)
    assert all(torch.equal(found.records[name], spikes) for name, spikes in chip.records.items())
    assert net.differing(found.records) == 0
    assert torch.equal(found.output, binary.output)
    for plan, x in ((net.binary, net.frames), (net.whole, net.x)):
        made = compiled(plan.graph, folder / str(len(x)), extra=extra)
        assert torch.equal(made.run(x).output, Reference(plan).run(x).output)
        run = made.run(x, record=True).records
        if plan is net.binary:
            assert net.differing(run) == 0
        else:
            assert all(torch.equal(run[name], net.wanted.records[name]) for name in net.names)
    return sum(int(spikes.sum()) for spikes in net.wanted.records.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_c_fires_the_whole_numbers(seed: int, tmp_path: Path) -> None:
    assert numbers_in_c(seed, tmp_path) > 0


@pytest.mark.parametrize("seed", [1, 4])
def test_sanitizers_find_nothing_in_micro_steps(seed: int, tmp_path: Path) -> None:
    numbers_in_c(seed, tmp_path, SANITIZERS)
