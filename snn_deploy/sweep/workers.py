"""The worker processes of a sweep on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

COMMAND = (sys.executable, "-m", "snn_deploy.sweep.worker")

SECONDS_TO_STOP = 20
"""How long a worker may take to save what it trains before it is killed. Ours."""


class Workers:
    """``count`` processes that run one trial each at a time; one that dies is replaced.

    Args:
        folder: where their logs go.
        count: how many.
        threads: of each.
    """

    def __init__(self, folder: Path, count: int, threads: int) -> None:
        self._folder, self._threads = folder, threads
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * count
        self._busy = [False] * count
        self._selector = selectors.DefaultSelector()

    def idle(self) -> list[int]:
        """Numbers of workers without a trial."""
        return [number for number, busy in enumerate(self._busy) if not busy]

    def give(self, number: int, job: dict[str, Any]) -> None:
        """Let worker ``number`` run a trial."""
        process = self._processes[number] or self._start(number)
        assert process.stdin is not None
        self._busy[number] = True
        with contextlib.suppress(BrokenPipeError):  # it has just died, and `answers` will say so
            process.stdin.write(json.dumps(job).encode() + b"\n")
            process.stdin.flush()

    def answers(self, seconds: float) -> Iterator[tuple[int, dict[str, Any] | None]]:
        """Answers that come within ``seconds``, by worker; None from one that died."""
        for key, _ in self._selector.select(seconds):
            number: int = key.data
            process = self._processes[number]
            assert process is not None and process.stdout is not None
            line = process.stdout.readline()
            was_busy, self._busy[number] = self._busy[number], False
            if line.endswith(b"\n"):
                yield number, json.loads(line)
                continue
            self._forget(number)
            if was_busy:
                yield number, None

    def stop(self) -> None:
        """End all workers; those with a trial may save it first."""
        running = [process for process in self._processes if process is not None]
        for process in running:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.send_signal(signal.SIGTERM)
        for process in running:
            try:
                process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
        for number in range(len(self._processes)):
            self._forget(number)

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        environment = {"OMP_NUM_THREADS": str(self._threads), **os.environ}
        with (self._folder / f"worker-{number}.log").open("ab") as log:
            process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the sweep, which stops its workers
            )
        assert process.stdout is not None
        self._processes[number] = process
        self._selector.register(process.stdout, selectors.EVENT_READ, number)
        return process

    def _forget(self, number: int) -> None:
        process = self._processes[number]
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        self._selector.unregister(process.stdout)
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        process.kill()
        process.wait()
        self._processes[number] = None
