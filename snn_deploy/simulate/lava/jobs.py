"""One job of Lava's worker: a network and samples written to a folder, a process, and its checked result.

The worker is started in a session of its own and killed as a group, so that a hanging or interrupted Lava
leaves no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from snn_deploy.core.errors import MissingOptionalError, ParityError
from snn_deploy.graph.lava.io import write_net
from snn_deploy.graph.lava.net import Dense, Input, LavaNet, Layer

WORKER = Path(__file__).parent / "worker" / "worker.py"
STDERR_LINES = 30
GRACE_SECONDS = 3.0


class LavaError(ParityError):
    """Lava could not run the network, or returned something else than asked for (exit 4)."""


class LavaTimeoutError(MissingOptionalError):
    """Lava did not finish in time, which says nothing about the network (exit 6)."""


@dataclass(frozen=True, slots=True)
class Result:
    """Spikes of every recorded population ``[T, B, *shape]`` and the last membrane, when asked for."""

    spikes: list[torch.Tensor]
    membrane: torch.Tensor | None

    def at(self, sample: int) -> Result:
        """That of one sample."""
        one = slice(sample, sample + 1)
        membrane = None if self.membrane is None else self.membrane[:, one]
        return Result([spikes[:, one] for spikes in self.spikes], membrane)


def join(parts: list[Result]) -> Result:
    """The results of successive samples as one."""
    spikes = [torch.cat(same_layer, 1) for same_layer in zip(*(p.spikes for p in parts), strict=True)]
    membranes = [part.membrane for part in parts if part.membrane is not None]
    return Result(spikes, torch.cat(membranes, 1) if membranes else None)


class Job:
    """A worker on ``units [T, B, *shape]``; it runs until it ends or is closed."""

    def __init__(self, net: LavaNet, units: torch.Tensor, *, record: bool, python: Path) -> None:
        self._net, self._units, self._record = net, units, record
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as failing:
            failing.callback(self._stack.close)
            name = tempfile.TemporaryDirectory(prefix="snn-deploy-lava-", ignore_cleanup_errors=True)
            self._folder = Path(self._stack.enter_context(name))
            self._write()
            stderr = self._stack.enter_context((self._folder / "stderr.txt").open("wb"))
            environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
            self._process = subprocess.Popen(
                [str(python), "-W", "ignore", str(WORKER), str(self._folder / "job.json")],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=self._folder,
                env=environment | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
            failing.pop_all()
        self._began = time.monotonic()

    def close(self) -> None:
        """Stop the worker where it still runs, and remove its files."""
        if self._process.poll() is None:
            _kill_group(self._process)
        self._stack.close()

    @property
    def seconds(self) -> float:
        """Since the worker was started."""
        return time.monotonic() - self._began

    def finished(self) -> bool:
        """Whether the worker has ended."""
        return self._process.poll() is not None

    def wait(self, seconds: float) -> None:
        """Wait for the worker to end.

        Raises:
            LavaTimeoutError: it took longer than ``seconds`` from its start.
        """
        try:
            self._process.wait(max(0.0, seconds - self.seconds))
        except subprocess.TimeoutExpired:
            _kill_group(self._process)
            raise LavaTimeoutError(
                f"Lava did not finish within {seconds:g} s and was stopped.{self._said()}",
                hint="Use fewer samples; Lava needs up to a second per step and sample.",
            ) from None

    def result(self) -> Result:
        """What the worker, which has ended, computed.

        Raises:
            LavaError: it failed, or arrays are missing or have other shapes than asked for.
        """
        if status := self._process.returncode:
            _kill_group(self._process)
            raise LavaError(f"Lava's worker failed (exit status {status}).{self._said()}")
        recorded = self._net.populations if self._record else self._net.populations[-1:]
        return _collect(
            self._folder / "out.npz",
            self._units.shape[:2],
            [layer.shape for layer in recorded],
            membrane=self._net.readout is not None,
        )

    def own_seconds(self) -> float:
        """What the worker, which has ended, needed after it had loaded Lava."""
        report: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            report = json.loads((self._folder / "report.json").read_text())
        return float(report.get("seconds", self.seconds))

    def _write(self) -> None:
        net, units = self._net, self._units
        if net.analog:
            first = net.populations[0]
            assert isinstance(first, Input)
            units = first.weight * units + first.bias
        if isinstance(net.populations[0], Dense):
            units = units.flatten(2)
        write_net(net, self._folder / "model.net")
        np.savez(self._folder / "in.npz", x=units.swapaxes(0, 1).numpy().astype(np.int32))
        job = {
            "net": str(self._folder / "model.net"),
            "inputs": str(self._folder / "in.npz"),
            "out": str(self._folder / "out.npz"),
            "report": str(self._folder / "report.json"),
            "input_bits": 0 if net.analog else net.input_bits,
            "record": self._record,
            "membrane": net.readout is not None,
            "isolate": any(_remembers(layer) for layer in net.layers),
        }
        (self._folder / "job.json").write_text(json.dumps(job))

    def _said(self) -> str:
        """The last lines that the worker wrote, ready to append to a message."""
        lines = (self._folder / "stderr.txt").read_text(errors="replace").strip().splitlines()
        return "\n" + "\n".join(f"  | {line}" for line in lines[-STDERR_LINES:]) if lines else ""


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End the worker and every process it started: asked first, so that Python's resource tracker, which
    ignores the request, can remove their shared memory once they are gone; then killed."""
    if not hasattr(os, "killpg"):
        process.kill()
        process.wait()
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _collect(file: Path, frames: torch.Size, shapes: list[tuple[int, ...]], *, membrane: bool) -> Result:
    """Read a result and check that it is complete."""
    steps, batch = frames
    wanted: Mapping[str, tuple[int, ...]] = {f"spikes{i}": shape for i, shape in enumerate(shapes)}
    if membrane:
        wanted = {**wanted, "membrane": shapes[-1]}
    try:
        with np.load(file, allow_pickle=False) as content:
            arrays = {name: content[name] for name in wanted}
    except (OSError, KeyError, ValueError) as error:
        raise LavaError(f"Lava's worker returned no complete result: {error}") from None
    for name, shape in wanted.items():
        if arrays[name].shape != (batch, steps, *shape):
            due = (batch, steps, *shape)
            raise LavaError(f"Lava's worker returned '{name}' of shape {arrays[name].shape}; due was {due}.")
    tensors = {name: torch.from_numpy(a.swapaxes(0, 1).astype(np.float32)) for name, a in arrays.items()}
    return Result([tensors[f"spikes{i}"] for i in range(len(shapes))], tensors.get("membrane"))


def _remembers(layer: Layer) -> bool:
    """Whether spikes of one sample would reach the next one, because resets do not clear synapses."""
    return isinstance(layer, Dense) and (layer.recurrent is not None or layer.delay is not None)
