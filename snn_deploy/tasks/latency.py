"""How long one step of one sample takes on this machine, in every backend that steps the network.

Batch 1, one thread, samples one after the other, each from its start: what a stream would wait for. Frames
lie ready in memory. The first samples are not counted; then steps are timed one by one for
:data:`WINDOW_SECONDS`, or :data:`MAX_STEPS` of them. The C program takes its own time, without the pipes
between it and us; ONNX Runtime and the reference are timed with their call from Python. Other work on the
machine shows in the 99th percentile first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

from snn_deploy.core.errors import SnnDeployError
from snn_deploy.core.machine import processor
from snn_deploy.export.c.stepper import CStepper
from snn_deploy.report.blocks import StepLatency
from snn_deploy.simulate.stepping import Frame, Stepper
from snn_deploy.tasks.source import Source
from snn_deploy.tasks.steppers import stepper_of

WARM_SAMPLES = 2
WINDOW_SECONDS = 1.0
MAX_STEPS = 5000
"""All three are our choice."""

Backend = Literal["reference", "onnxruntime", "c"]
WHAT: dict[Backend, str] = {
    "reference": "reference simulator in torch",
    "onnxruntime": "model.step.onnx in ONNX Runtime",
    "c": "model.c, compiled here with -O2",
}


def step_latencies(
    source: Source, x: torch.Tensor, *, clock: Callable[[], float] = time.perf_counter
) -> tuple[StepLatency, ...]:
    """The times of every backend on the samples ``x [T, N, *shape]``."""
    return tuple(_latency(source, x, backend, clock) for backend in WHAT)


def _latency(source: Source, x: torch.Tensor, backend: Backend, clock: Callable[[], float]) -> StepLatency:
    what, machine = WHAT[backend], processor()
    try:
        stepper = stepper_of(source, backend)
        with _one_thread():
            seconds = _timed(stepper, x, clock)
    except SnnDeployError as error:
        return StepLatency(backend=backend, what=what, machine=machine, reason=error.message)
    p50, p99 = np.percentile(seconds, [50, 99])
    return StepLatency(
        backend=backend, what=what, machine=machine, p50=float(p50), p99=float(p99), steps=len(seconds)
    )


def _timed(stepper: Stepper, x: torch.Tensor, clock: Callable[[], float]) -> list[float]:
    """Seconds of single steps: of whole samples, at least one."""
    own = stepper.seconds if isinstance(stepper, CStepper) else None
    found: list[float] = []
    warm, start = WARM_SAMPLES, clock()
    for sample in _samples(x):
        taken = []
        for frame in sample:
            before = clock()
            stepper.step(frame)
            after = clock()
            taken.append(after - before if own is None else own())
        stepper.reset()
        if warm:
            warm, start = warm - 1, clock()
            continue
        found += taken
        if len(found) >= MAX_STEPS or clock() - start >= WINDOW_SECONDS:
            break
    return found


def _samples(x: torch.Tensor) -> Iterator[list[Frame]]:
    """The samples again and again, each as contiguous frames."""
    while True:
        for n in range(x.shape[1]):
            yield [np.ascontiguousarray(frame, np.float32) for frame in x[:, n].cpu().numpy()]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
