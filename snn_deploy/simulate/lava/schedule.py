"""As many samples as a given time allows, a worker for every core; what is finished is never lost.

The first sample of every worker tells what one costs. Later chunks take at most half of the time that is
left, so that the end of it finds little unfinished (our choice, like the other shares here).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass

from snn_deploy.simulate.lava.jobs import Job, Result

FIRST_SHARE = 0.5
"""Of the time, in which the first sample has to be finished."""
CHUNK_SHARE = 0.5
"""Of the time left, which a chunk is planned to take."""
POLL_SECONDS = 0.05
QUIET_SECONDS = 10.0

Report = Callable[[str], None]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class _Cost:
    """Seconds of a worker: once, and for every sample."""

    start: float
    sample: float

    def fitting(self, seconds: float) -> int:
        """Samples that a chunk is given when ``seconds`` are left; 0 when even one would not be finished."""
        if self.start + self.sample > seconds:
            return 0
        return max(1, int((seconds * CHUNK_SHARE - self.start) / max(self.sample, 1e-6)))


def run_within(
    start: Callable[[int, int], Job],
    total: int,
    seconds: float,
    *,
    at_most: int,
    report: Report = lambda line: None,
) -> dict[int, Result]:
    """Results of single samples by number: of all ``total``, or of those finished within ``seconds``.

    Args:
        start: makes the job of the samples from one number to before another.
        total: how many samples there are.
        seconds: of wall clock.
        at_most: samples of one job.
        report: is given lines about the progress.

    Raises:
        LavaError: a worker failed.
    """
    began = spoke = time.monotonic()
    done: dict[int, Result] = {}
    cost: _Cost | None = None
    given, workers = 0, cores()
    running: dict[Job, tuple[int, int]] = {}
    with ExitStack() as everything:
        while True:
            passed = time.monotonic() - began
            size = 1 if cost is None else min(cost.fitting(seconds - passed), at_most)
            while given < total and len(running) < workers and size:
                end = min(given + min(size, -(-(total - given) // (workers - len(running)))), total)
                running[everything.enter_context(closing(start(given, end)))] = given, end
                given = end
            if not running or passed >= seconds * (1 if done else FIRST_SHARE):
                return done
            for job in [job for job in running if job.finished()]:
                begin, end = running.pop(job)
                result = job.result()
                done |= {begin + i: result.at(i) for i in range(end - begin)}
                cost = _Cost(job.seconds - job.own_seconds(), job.own_seconds() / (end - begin))
                job.close()
            if time.monotonic() - spoke >= QUIET_SECONDS:
                spoke = time.monotonic()
                report(f"Lava finished {len(done)} of {total} samples in {passed:.0f} of {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
