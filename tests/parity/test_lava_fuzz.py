"""Random legal networks in Lava itself and in our simulator: not one spike may differ."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.lava_nets import KINDS, random_input, random_net

from snn_deploy.graph.lava.net import LavaNet
from snn_deploy.simulate.lava.client import Lava
from snn_deploy.simulate.lava.environment import lava_environment
from snn_deploy.simulate.lava.jobs import WORKER
from snn_deploy.simulate.loihi import Loihi

NETWORKS = 300
PER_TEST = 10
STEPS, SAMPLES = 12, 3
SECONDS = 300
SERVER = """
import sys
sys.path.insert(0, sys.argv[1])
import worker
for job in sys.stdin:
    worker.main(job.strip())
    print("job done", flush=True)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lava,
    pytest.mark.skipif(lava_environment() is None, reason="needs the Lava environment"),
]


class Served(Lava):
    """Lava with one worker for many networks, which spares starting it."""

    def __init__(self, net: LavaNet, server: subprocess.Popen[bytes]) -> None:
        super().__init__(net)
        self._server = server

    def _work(self, folder: Path) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        os.write(self._server.stdin.fileno(), f"{folder / 'job.json'}\n".encode())
        said = b""
        while not said.endswith(b"job done\n"):
            ready, _, _ = select.select([self._server.stdout], [], [], SECONDS)
            assert ready, f"no answer within {SECONDS} s"
            more = os.read(self._server.stdout.fileno(), 1 << 16)
            assert more, "the worker has ended"
            said += more


@pytest.fixture
def server() -> Iterator[subprocess.Popen[bytes]]:
    command = [str(lava_environment()), "-W", "ignore", "-c", SERVER, str(WORKER.parent)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
    )
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.parametrize("first", range(1000, 1000 + NETWORKS, PER_TEST))
def test_no_spike_of_any_layer_differs(first: int, server: subprocess.Popen[bytes]) -> None:
    differing: dict[str, int] = {}
    spikes = 0
    for seed in range(first, first + PER_TEST):
        net = random_net(seed, KINDS[seed % len(KINDS)])
        x = torch.from_numpy(random_input(net, seed, STEPS, SAMPLES)).float()
        expected = Served(net, server).run(x, record=True)
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
