"""Lava within a given time: what is finished is kept; where nothing is, single layers are shown.

The workers run our integer simulator, and sleep to be as slow as Lava is.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data import ROOT
from support.lava_nets import random_input, random_net

from snn_deploy.export import lava_part as parts
from snn_deploy.export.lava_part import lava_part
from snn_deploy.export.verify import Samples
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.lava import jobs, schedule
from snn_deploy.simulate.lava.by_layer import LavaByLayer
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.jobs import LavaError, LavaTimeoutError
from snn_deploy.simulate.loihi import Loihi

PYTHON = Path(sys.executable)
WORKER = f"""
import json, sys, time
began = time.perf_counter()
import numpy as np
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from oracles.loihi_integer import simulate
from snn_deploy.graph.lava.io import read_net
job = json.loads(Path(sys.argv[1]).read_text())
net = read_net(Path(job["net"]))
x = np.load(job["inputs"])["x"]
SLOW
samples = [simulate(net, one) for one in x]
first = 0 if job["record"] else len(net.names) - 1
arrays = {{
    f"spikes{{i - first}}": np.stack([sample[i]["s"] for sample in samples])
    for i in range(first, len(net.names))
}}
if job["membrane"]:
    arrays["membrane"] = np.stack([sample[-1]["v"] for sample in samples])
np.savez(job["out"], **arrays)
Path(job["report"]).write_text(json.dumps({{"seconds": time.perf_counter() - began}}))
"""


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    def use(slow: str) -> None:
        (tmp_path / "worker.py").write_text(WORKER.replace("SLOW", slow))
        monkeypatch.setattr(jobs, "WORKER", tmp_path / "worker.py")
        monkeypatch.setattr(jobs.tempfile, "tempdir", str(tmp_path))

    yield use
    assert not list(tmp_path.glob("snn-deploy-lava*"))


def _deep() -> LavaNet:
    """Four populations that all fire."""
    nets = (net for net in map(random_net, range(200)) if len(net.names) == 4)
    return next(net for net in nets if all(map(torch.any, _expected(net, _input(net, 1)).records.values())))


def _expected(net: LavaNet, x: torch.Tensor) -> Trace:
    return Loihi(net).run(x, record=True)


def _input(net: LavaNet, batch: int, steps: int = 4) -> torch.Tensor:
    return torch.from_numpy(random_input(net, 7, steps, batch)).float()


def test_all_samples_that_fit_are_kept_and_cost_nothing_later(worker) -> None:
    worker("")
    net = _deep()
    x, lava, lines = _input(net, 9), Lava(net, python=PYTHON), []
    assert lava.run_ahead(x, 60.0, lines.append) == list(range(9))
    worker("sys.exit('a second run')")
    expected = _expected(net, x)
    for chosen in (slice(0, 9), slice(2, 5)):
        found = lava.run(x[:, chosen], record=True)
        assert torch.equal(found.output, expected.output[:, chosen])
        for name, spikes in expected.records.items():
            assert torch.equal(found.records[name], spikes[:, chosen])
    with pytest.raises(LavaError, match="a second run"):
        lava.run(_input(net, 9, steps=5), record=True)


def test_what_is_finished_when_time_ends_is_kept(worker) -> None:
    worker("time.sleep(1.0 if len(x) == 1 else 600)")
    net = _deep()
    x, lava = _input(net, 40), Lava(net, python=PYTHON)
    began = time.monotonic()
    done = lava.run_ahead(x, 12.0)
    assert time.monotonic() - began < 12.0 + 2 * jobs.GRACE_SECONDS
    assert done == list(range(len(done))) and 1 <= len(done) < 40
    assert torch.equal(lava.run(x[:, done], record=True).output, Loihi(net).run(x[:, done]).output)


@pytest.mark.slow
def test_no_chunk_is_started_that_would_not_be_finished(worker) -> None:
    worker("time.sleep(2.0 * len(x))")
    net = _deep()
    x = _input(net, 40)
    began = time.monotonic()
    done = Lava(net, python=PYTHON).run_ahead(x, 16.0)
    assert 2 <= len(done) < 40
    assert time.monotonic() - began < 17.0


def test_progress_is_said(worker, monkeypatch: pytest.MonkeyPatch) -> None:
    worker("time.sleep(0.5)")
    monkeypatch.setattr(schedule, "QUIET_SECONDS", 0.2)
    net, lines = _deep(), []
    Lava(net, python=PYTHON).run_ahead(_input(net, 5), 60.0, lines.append)
    assert any(line.startswith("Lava finished ") and " of 5 samples in " in line for line in lines)


def test_a_failing_worker_ends_it(worker) -> None:
    worker("raise ValueError('broken')")
    net = _deep()
    with pytest.raises(LavaError, match="broken"):
        Lava(net, python=PYTHON).run_ahead(_input(net, 3), 60.0)


def _samples(net: LavaNet, batch: int = 5) -> Samples:
    return Samples(_input(net, batch, steps=6), torch.arange(batch))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("snn_deploy.simulate.lava.client.require_lava", lambda: PYTHON)
    monkeypatch.setattr("snn_deploy.simulate.lava.by_layer.require_lava", lambda: PYTHON)
    net = _deep()
    write_net(net, tmp_path / "model.net")
    return net, tmp_path / "model.net"


@pytest.mark.slow
def test_the_part_holds_the_finished_samples(worker, file) -> None:
    worker("time.sleep(1.0 if len(x) == 1 else 600)")
    net, path = file
    samples = _samples(net, 40)
    part = lava_part(path, samples, 10.0, lambda line: None)
    count = len(part.samples)
    assert 1 <= count < 40
    assert torch.equal(part.samples.x, samples.x[:, :count])
    assert part.samples.labels is not None and part.samples.labels.tolist() == list(range(count))
    assert part.shown == f"{count} of 40 samples; the budget of 10 s allowed no more"
    assert part.opened().run(part.samples.x).output.shape[1] == count


def test_single_layers_where_no_sample_fits(worker, file) -> None:
    worker("time.sleep(600 if len(net.names) > 1 or x.shape[1] > 4 else 0)")
    net, path = file
    part = lava_part(path, _samples(net), 20.0, lambda line: None)
    assert part.samples.x.shape[:2] == (4, 1)
    assert part.shown.startswith("single layers only, 4 of 4, each given our simulator's spikes for 4 steps")
    found, expected = part.opened().run(part.samples.x, record=True), _expected(net, part.samples.x)
    assert all(spikes.any() for spikes in expected.records.values())
    for name in net.names:
        assert torch.equal(found.records[name], expected.records[name]), name
    assert torch.equal(found.output, expected.output)


def test_a_wrong_layer_is_seen_by_itself(worker, file) -> None:
    net, _ = file
    x = _samples(net).x[:4, :1]
    expected = _expected(net, x).records
    worker("")
    text = jobs.WORKER.read_text().replace("np.savez(job", "arrays['spikes0'][..., 0] ^= True\nnp.savez(job")
    jobs.WORKER.write_text(text)
    found = LavaByLayer(net, x, 30.0, python=PYTHON).run(x, record=True).records
    assert not any(torch.equal(found[name], expected[name]) for name in net.names)


@pytest.mark.slow
def test_layers_that_do_not_fit_are_named(worker, file) -> None:
    net, path = file
    shape = net.populations[1].shape
    worker(f"time.sleep(600 if len(net.names) > 1 or net.populations[0].shape == {shape} else 0)")
    if net.populations[-1].shape == shape:
        pytest.skip("the last layer has the shape of the second")
    part = lava_part(path, _samples(net), 16.0, lambda line: None)
    left = [name for name, layer in zip(net.names, net.populations, strict=True) if layer.shape == shape]
    assert part.shown.endswith(f"not shown: {', '.join(left)}")
    assert set(part.opened().run(part.samples.x, record=True).records) == set(net.names) - set(left)


def test_nothing_finished_is_a_time_out_that_says_nothing_about_the_network(worker, file) -> None:
    worker("time.sleep(600)")
    net, path = file
    part = lava_part(path, _samples(net), 2.0, lambda line: None)
    with pytest.raises(LavaTimeoutError, match="single layer") as refused:
        part.opened()
    assert refused.value.exit_code == 6
    assert parts.STEPS == 4


def test_the_readout_of_a_single_layer_is_read(worker) -> None:
    worker("")
    net = random_net(1, "readout")
    x = _input(net, 1)
    found, expected = LavaByLayer(net, x, 30.0, python=PYTHON).run(x, record=True), _expected(net, x)
    assert torch.equal(found.output, expected.output)
    assert found.records.keys() == expected.records.keys()
    assert np.isfinite(found.output.numpy()).all()


def test_what_our_simulator_needs_before_single_layers_counts(
    worker, file, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, _ = file
    worker("")

    def slowly(loihi: Loihi, x: torch.Tensor) -> object:
        time.sleep(0.3)
        return probe(loihi, x)

    probe = Loihi.probe
    monkeypatch.setattr(Loihi, "probe", slowly)
    monkeypatch.setattr("snn_deploy.simulate.lava.by_layer.Job", None)
    with pytest.raises(LavaTimeoutError, match="single layer"):
        LavaByLayer(net, _samples(net).x[:4, :1], 0.2, python=PYTHON)
