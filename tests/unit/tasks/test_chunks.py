"""Simulations and counts do not depend on how many samples memory holds, nor on where memory ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from support.graphs import chain, conv, lif
from support.lava_nets import random_input, random_net

from snn_deploy.core.errors import OutOfMemoryError
from snn_deploy.export.verify import Samples
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.readers.io import write_nir
from snn_deploy.simulate.reference import Reference
from snn_deploy.tasks import report, simulate
from snn_deploy.tasks.open import open_source
from snn_deploy.tasks.source import Source

SAMPLES = 23


def _exact() -> nir.NIRGraph:
    """Weights in eighths: sums are the same in any order."""
    first, second = conv(4, 2, 8, seed=1), conv(3, 4, 8, seed=2)
    for node in (first, second):
        node.weight = np.round(8 * node.weight) / 8
        node.bias = np.round(8 * node.bias) / 8
    return chain(first, lif((4, 8, 8)), second, lif((3, 8, 8)), target=(3, 8, 8))


@pytest.fixture(params=["net", "nir"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    if request.param == "net":
        net = random_net(2)
        write_net(net, tmp_path / "case.net")
        x = random_input(net, 2, 8, SAMPLES).astype(np.float32)
    else:
        write_nir(_exact(), tmp_path / "case.nir")
        x = (np.random.default_rng(0).random((6, SAMPLES, 2, 8, 8)) < 0.4).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=np.arange(SAMPLES) % 2)
    return open_source(tmp_path / f"case.{request.param}")


def _simulated(source: Source) -> simulate.Simulation:
    data = str(source.path.parent / "data.npz")
    backend = simulate.default_backend(source)
    return simulate.simulate_source(source, backend, data=data, samples=None)


def _set(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    for module in (simulate, report):
        monkeypatch.setattr(module, "samples_at_once", lambda *_, **__: size)


@pytest.mark.parametrize("size", [1, 4, 22])
def test_simulations_are_the_same(source: Source, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _simulated(source)
    _set(monkeypatch, size)
    assert _simulated(source) == whole
    assert whole.samples == SAMPLES and any(row.spikes for row in whole.layers)


def _limited(run: Callable[..., object], most: int) -> Callable[..., object]:
    def limited(self: object, x: torch.Tensor, **options: object) -> object:
        if x.shape[1] > most:
            raise MemoryError("Unable to allocate")
        return run(self, x, **options)

    return limited


def test_a_simulation_for_which_memory_ends_goes_on_with_less(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, kind = (
        _simulated(source),
        type(simulate.open_backend(source, simulate.default_backend(source))),
    )
    run = kind.run
    monkeypatch.setattr(kind, "run", _limited(run, 3))
    assert _simulated(source) == whole
    monkeypatch.setattr(kind, "run", _limited(run, 0))
    with pytest.raises(OutOfMemoryError, match="single sample"):
        _simulated(source)


@pytest.mark.parametrize("size", [1, 4, 22])
def test_counts_are_the_same(source: Source, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with np.load(source.path.parent / "data.npz") as content:
        samples = Samples(torch.from_numpy(content["x"]))
    whole = report.count_source(source, samples)
    _set(monkeypatch, size)
    parts = report.count_source(source, samples)
    assert parts.samples == whole.samples == SAMPLES
    for one, other in zip((*parts.edges, *parts.neurons), (*whole.edges, *whole.neurons), strict=True):
        for name in ("active", "sites", "sites_nonzero", "units", "spikes", "touched"):
            assert np.array_equal(getattr(one, name, None), getattr(other, name, None)), (one.name, name)


def test_a_count_for_which_memory_ends_goes_on_with_less(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with np.load(source.path.parent / "data.npz") as content:
        samples = Samples(torch.from_numpy(content["x"]))
    whole = report.count_source(source, samples)
    blocks = Reference.blocks
    monkeypatch.setattr(Reference, "blocks", _limited(blocks, 5))
    parts = report.count_source(source, samples)
    assert [edge.sites.tolist() for edge in parts.edges] == [edge.sites.tolist() for edge in whole.edges]
    assert replace(parts, edges=(), neurons=()) == replace(whole, edges=(), neurons=())
