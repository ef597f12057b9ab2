"""Sweeps on a PostgreSQL server: ``make test-services`` starts one on a free port, in a temporary folder.

Two machines (processes) with two workers each; a worker is killed, the server restarted in the middle.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from snn_deploy.sweep.plan import make_plan
from snn_deploy.sweep.study import Study

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
psycopg2 = pytest.importorskip("psycopg2", reason="psycopg2 is not installed")

TRIALS = 60
MACHINE = """
import sys
from snn_deploy.sweep import workers
from snn_deploy.sweep.run import run_sweep

FAKE = '''
import json, os, sys, time
from pathlib import Path
for line in sys.stdin:
    job = json.loads(line)
    folder = Path(job["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    if folder.name == "0005" and not (folder / "begun").exists():
        (folder / "begun").touch()
        os.kill(os.getpid(), 9)
    time.sleep(float(sys.argv[1]))
    width = job["recipe"]["student"]["blocks"][0]["channels"]
    energy = {"low": width * 1e-9, "mid": width * 2e-9, "high": width * 3e-9}
    figures = {"accuracy": 1 - 1 / width, "energy": energy, "unknown": [], "sops": 1.0}
    print(json.dumps({"figures": figures}), flush=True)
'''
folder, storage, trials, seconds = sys.argv[1:]
workers.COMMAND = (sys.executable, "-c", FAKE, seconds)
run_sweep("short-digits-sweep", folder, trials=int(trials), workers=2, storage=storage, device="cpu")
"""


@dataclass
class Server:
    """A server of our own; root may not run one, so it runs as another user then."""

    programs: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://snn@127.0.0.1:{self.port}/postgres"

    def control(self, *words: str) -> None:
        self.call("pg_ctl", "-D", str(self.folder / "data"), "-w", "-l", str(self.folder / "log"), *words)

    def call(self, program: str, *words: str) -> None:
        command = [str(self.programs / program), *words]
        if os.getuid() == 0:
            command = ["runuser", "-u", "postgres", "--", *command]
        subprocess.run(command, check=True, capture_output=True, timeout=120, cwd=self.folder)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder}"
        self.control("-o", options, "start")

    def stop(self) -> None:
        self.control("-m", "immediate", "stop")


@pytest.fixture
def server() -> Iterator[Server]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(p) for p in [shutil.which("initdb")] if p
    ]
    if not found:
        pytest.skip("no PostgreSQL server is installed (Debian: postgresql)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="snn-deploy-postgres-"))
    try:
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
        made = Server(found[-1].parent, folder, port)
        made.call("initdb", "-D", str(folder / "data"), "-U", "snn", "-A", "trust")
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder)


def machine(folder: Path, server: Server, trials: int, seconds: float) -> subprocess.Popen[str]:
    arguments = [str(folder), server.url, str(trials), str(seconds)]
    command = [sys.executable, "-c", MACHINE, *arguments]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def study(server: Server) -> Study:
    plan = make_plan("short-digits-sweep", (), None, profile="loihi1-davies", samples=64, seed=0)
    return Study(plan, server.url)


def wait_for(server: Server, count: int) -> None:
    until = time.monotonic() + 120
    while len(study(server).done()) < count:
        assert time.monotonic() < until
        time.sleep(0.5)


def test_a_killed_worker_and_a_restarted_server_lose_nothing(server: Server, tmp_path: Path) -> None:
    machines = [machine(tmp_path / name, server, TRIALS, 0.3) for name in ("a", "b")]
    wait_for(server, 10)
    server.stop()
    time.sleep(3)
    server.start()
    for process in machines:
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    found = study(server)
    done = found.done()
    assert TRIALS <= len(done) < TRIALS + 4, "machines that begin trials at once may begin one too many each"
    assert all(trial.accuracy is not None for trial in done)
    assert len({trial.number for trial in done}) == len(done)
    assert found.lost() >= 1
    assert found.open_trials() == 0
    ran = [p for name in ("a", "b") for p in (tmp_path / name / "trials").iterdir()]
    assert len({path.name for path in ran}) == len(ran)


def test_how_many_empty_trials_a_minute(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    machines = [machine(tmp_path / name, server, 200, 0.0) for name in ("a", "b")]
    for process in machines:
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, said
    minutes = (time.monotonic() - begun) / 60
    done = len(study(server).done())
    assert done >= 200
    with capsys.disabled():
        print(json.dumps({"trials": done, "per_minute": round(done / minutes), "workers": 4}))
