"""The client of the Lava worker: everything that can go wrong in another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.data import ROOT
from support.lava_nets import random_input, random_net

from snn_deploy.core.errors import ConfigError, DataError, MissingOptionalError, UnsupportedError
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Input, LavaNet
from snn_deploy.simulate.lava import client, jobs
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.lava.jobs import LavaError, LavaTimeoutError
from snn_deploy.simulate.lava.schedule import cores
from snn_deploy.simulate.loihi import Loihi

PYTHON = Path(sys.executable)
SIMULATING_WORKER = f"""
import json, sys
import numpy as np
from pathlib import Path
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from oracles.loihi_integer import simulate
from snn_deploy.graph.lava.io import read_net
job = json.loads(Path(sys.argv[1]).read_text())
net = read_net(Path(job["net"]))
samples = [simulate(net, x) for x in np.load(job["inputs"])["x"]]
first = 0 if job["record"] else len(net.names) - 1
arrays = {{
    f"spikes{{i - first}}": np.stack([sample[i]["s"] for sample in samples])
    for i in range(first, len(net.names))
}}
if job["membrane"]:
    arrays["membrane"] = np.stack([sample[-1]["v"] for sample in samples])
CHANGE
np.savez(job["out"], **arrays)
"""


def _use_worker(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    (folder / "worker.py").write_text(text)
    monkeypatch.setattr(jobs, "WORKER", folder / "worker.py")
    monkeypatch.setattr(jobs.tempfile, "tempdir", str(folder))


def _left_behind(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith("snn-deploy-lava")]


def _input(seed: int, net: LavaNet, steps: int = 4, batch: int = 3) -> torch.Tensor:
    return torch.from_numpy(random_input(net, seed, steps, batch)).float()


def test_without_an_environment_the_command_that_installs_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snn_deploy.simulate.lava.environment.lava_environment", lambda: None)
    monkeypatch.delenv("SNN_DEPLOY_LAVA_PYTHON", raising=False)
    with pytest.raises(MissingOptionalError) as caught:
        Lava(random_net(1))
    assert caught.value.exit_code == 6
    assert "snn-deploy doctor --install-lava" in str(caught.value)


def test_traceback_of_a_failing_worker_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _use_worker(monkeypatch, tmp_path, "print('on the way'); raise ValueError('the child broke')")
    with pytest.raises(LavaError, match=r"exit status 1(.|\n)*the child broke") as caught:
        Lava(random_net(1), python=PYTHON).run(_input(1, random_net(1)))
    assert "Traceback" in str(caught.value) and "on the way" in str(caught.value)
    assert caught.value.exit_code == 4
    assert _left_behind(tmp_path) == []


def _ended(pid: int) -> bool:
    """Whether a process is gone, or dead and only waiting to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z"


HANGING = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({pids!r}, "w").write(str(child.pid))
print("waiting for ever", flush=True)
time.sleep(600)
"""


def test_a_hanging_worker_is_stopped_with_all_its_children(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _use_worker(monkeypatch, tmp_path, HANGING.format(pids=str(tmp_path / "pids")))
    started = time.monotonic()
    with pytest.raises(LavaTimeoutError, match=r"within 1\.5 s(.|\n)*waiting for ever") as caught:
        Lava(random_net(1), python=PYTHON, timeout=1.5).run(_input(1, random_net(1)))
    assert time.monotonic() - started < 15
    assert caught.value.exit_code == 6
    assert _ended(int((tmp_path / "pids").read_text()))
    assert _left_behind(tmp_path) == []


def test_ctrl_c_stops_the_worker_with_all_its_children(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(HANGING.format(pids=str(tmp_path / "pids")))
    client = f"""
import tempfile
tempfile.tempdir = {str(tmp_path)!r}
import torch
from pathlib import Path
from snn_deploy.graph.lava.net import Conv, Cuba, Dense, Input, LavaNet
from snn_deploy.simulate.lava import client as lava, jobs
import numpy as np, sys
jobs.WORKER = Path({str(tmp_path / "worker.py")!r})
net = LavaNet((Input((2,)), Dense(np.array([[2, -2]]), Cuba.of(4096, 0, 10))), ("n",))
lava.Lava(net, python=Path(sys.executable)).run(torch.ones(2, 1, 2))
"""
    process = subprocess.Popen([sys.executable, "-c", client], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in stderr
    assert _ended(int((tmp_path / "pids").read_text()))
    assert _left_behind(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("arrays.pop('spikes0')", "no complete result"),
        ("arrays['spikes1'] = arrays['spikes1'][:, :-1]", "'spikes1' of shape"),
        ("sys.exit(0)", "no complete result"),
        ("Path(job['out']).write_bytes(b'PK'); sys.exit(0)", "no complete result"),
    ],
)
def test_an_incomplete_result_is_an_error(
    change: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _use_worker(monkeypatch, tmp_path, SIMULATING_WORKER.replace("CHANGE", change))
    net = random_net(1)
    with pytest.raises(LavaError, match=message):
        Lava(net, python=PYTHON).run(_input(1, net), record=True)


def test_chunks_and_given_spikes_are_put_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A worker that runs the integer simulator shows that the client cuts, feeds and joins as it should."""
    _use_worker(monkeypatch, tmp_path, SIMULATING_WORKER.replace("CHANGE", ""))
    net = next(n for n in map(random_net, range(100)) if len(n.names) == 4 and len(n.input_shape) == 3)
    x = _input(1, net, steps=3, batch=2)
    ours, lava = Loihi(net), Lava(net, python=PYTHON)
    expected = ours.run(x, record=True)
    generator = torch.Generator().manual_seed(0)
    given = {
        name: (torch.rand(spikes.shape, generator=generator) < 0.4).float()
        for name, spikes in expected.records.items()
        if name != net.names[1]
    }
    judged, found = ours.run(x, record=True, forced=given), lava.run(x, record=True, forced=given)
    for name in net.names:
        assert torch.equal(found.records[name], judged.records[name]), name
    assert torch.equal(found.output, judged.output)
    assert not torch.equal(judged.records[net.names[1]], expected.records[net.names[1]])
    monkeypatch.setattr(client, "CHUNK_ELEMENTS", 1)
    parts = Lava(net, python=PYTHON).run(x, record=False)
    assert torch.equal(parts.output, expected.output) and parts.records == {}


def test_a_judged_run_costs_no_second_free_run_when_nothing_differs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    count = tmp_path / "count"
    _use_worker(
        monkeypatch, tmp_path, SIMULATING_WORKER.replace("CHANGE", f"open({str(count)!r}, 'a').write('x')")
    )
    net = random_net(1)
    x = _input(1, net)
    lava = Lava(net, python=PYTHON)
    free = lava.run(x, record=True)
    workers = count.read_text()
    judged = lava.run(x, record=True, forced=free.records)
    assert count.read_text() == workers == "x" * min(cores(), 3)
    assert all(torch.equal(judged.records[name], free.records[name]) for name in net.names)


def test_readout_is_read_from_the_membrane(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _use_worker(monkeypatch, tmp_path, SIMULATING_WORKER.replace("CHANGE", ""))
    net = random_net(1, "readout")
    x = _input(1, net)
    found, expected = Lava(net, python=PYTHON).run(x, record=True), Loihi(net).run(x, record=True)
    assert torch.equal(found.output, expected.output)
    assert found.records.keys() == expected.records.keys()


def test_what_cannot_be_run_is_refused_before_anything_starts() -> None:
    net = random_net(1)
    lava = Lava(net, python=PYTHON)
    with pytest.raises(ConfigError, match="unknown layers: nowhere"):
        lava.run(_input(1, net), forced={"nowhere": torch.zeros(1)})
    with pytest.raises(DataError, match="has shape"):
        lava.run(torch.zeros(2, 1, 77))
    slow = Input((2,), Cuba.of(100, 0, 10))
    analog = LavaNet((slow, Dense(np.array([[2, -2]]), Cuba.of(4096, 0, 10))), ("in", "out"))
    with pytest.raises(UnsupportedError, match="a current that remembers"):
        Lava(analog, python=PYTHON)


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_tracebacks_of_lavas_own_processes_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """128 groups overflow a signed byte inside a child process, after which plain Lava waits for ever."""
    from snn_deploy.graph.lava import io as lava_io

    monkeypatch.setattr(lava_io, "simulation_problems", lambda net: [])
    weight = np.full((128, 1, 1, 1), 2)
    conv = Conv((128, 2, 2), weight, Cuba.of(4096, 0, 10), groups=128)
    lava = Lava(LavaNet((Input((128, 2, 2)), conv), ("conv",)), timeout=60)
    with pytest.raises(LavaError, match="128 out of bounds for int8"):
        lava.run(torch.ones(2, 1, 128, 2, 2))


@pytest.mark.lava
@pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment")
def test_images_wider_than_a_signed_byte() -> None:
    weight = np.random.default_rng(0).integers(-10, 20, (2, 1, 3, 3)) * 2
    conv = Conv((2, 4, 33), weight, Cuba.of(4096, 0, 40), None, (1, 4), (1, 0))
    net = LavaNet((Input((1, 4, 132)), conv), ("conv",))
    x = (torch.rand(4, 2, 1, 4, 132) < 0.3).float()
    expected = Loihi(net).run(x).output
    assert expected.any()
    assert torch.equal(Lava(net).run(x).output, expected)
