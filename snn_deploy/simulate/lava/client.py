"""Lava itself as a backend: a worker process in the Lava environment, driven through files.

The worker is started in a session of its own and killed as a group, so that a hanging or interrupted Lava
leaves no process behind. Samples go through in chunks. When layers are judged on given input, the network is
cut after every given layer whose own spikes differ from the given ones, and each piece runs by itself.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from snn_deploy.core.errors import ConfigError, MissingOptionalError, ParityError, UnsupportedError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.lava.io import read_net, write_net
from snn_deploy.graph.lava.net import DECAY_ONE, Dense, Input, LavaNet, Layer, neuron_of
from snn_deploy.graph.lava.spans import join, spiking_layers, split
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.lava.environment import require_lava
from snn_deploy.simulate.loihi import input_units, read_membrane

WORKER = Path(__file__).parent / "worker" / "worker.py"
CHUNK_ELEMENTS = 1 << 24
"""Elements of input and recorded output that one worker holds."""
TIMEOUT_SECONDS = 600.0
STDERR_LINES = 30
GRACE_SECONDS = 3.0


class LavaError(ParityError):
    """Lava could not run the network, or returned something else than asked for (exit 4)."""


class LavaTimeoutError(MissingOptionalError):
    """Lava did not finish in time, which says nothing about the network (exit 6)."""


@dataclass(frozen=True, slots=True)
class _Result:
    """Spikes of every recorded population ``[T, B, *shape]`` and the last membrane, when asked for."""

    spikes: list[torch.Tensor]
    membrane: torch.Tensor | None


class Lava:
    """A network in Lava's own simulation; implements :class:`snn_deploy.simulate.base.Executable`.

    Args:
        net: a ``.net`` file, or the network itself.
        python: interpreter of a Lava environment; found by itself when None.
        timeout: seconds that one chunk of samples may take.

    Raises:
        MissingOptionalError: there is no Lava environment.
        UnsupportedError: the network needs what the worker cannot drive.
    """

    def __init__(
        self, net: LavaNet | Path, *, python: Path | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> None:
        self.net = net if isinstance(net, LavaNet) else read_net(net)
        self._python = require_lava() if python is None else python
        self._timeout = timeout
        self._last: tuple[torch.Tensor, _Result] | None = None
        if self.net.analog and int(neuron_of(self.net.populations[0]).current_decay.min()) != DECAY_ONE:
            raise UnsupportedError(
                "An input layer with a current that remembers cannot be driven step by step in Lava.",
                hint="Use our simulator: --backend loihi",
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking populations, in order."""
        return spiking_layers(self.net)

    def run(
        self, x: torch.Tensor, *, record: bool = False, forced: Mapping[str, torch.Tensor] | None = None
    ) -> Trace:
        """Run ``x [T, B, *shape]``, aligned with the input as if no layer cost a step.

        Raises:
            ConfigError: ``forced`` names an unknown layer.
            DataError: x does not fit the network.
            LavaError: the worker failed; the message ends with what it wrote to stderr.
            LavaTimeoutError: it took too long.
        """
        given = dict(forced or {})
        if unknown := set(given) - set(self.layers):
            raise ConfigError(f"Cannot force unknown layers: {', '.join(sorted(unknown))}.")
        units = input_units(self.net, x)
        result = self._free_run(units, record or bool(given))
        if given:
            result = self._forced_run(units, result, given)
        output = result.spikes[-1]
        if self.net.readout is not None:
            assert result.membrane is not None
            output = read_membrane(self.net, result.membrane, output)
        names = self.net.names if len(result.spikes) > 1 else self.net.names[-1:]
        every = split(self.net, dict(zip(names, result.spikes, strict=True)))
        return Trace(output, {name: every[name] for name in self.layers} if record else {})

    def _free_run(self, units: torch.Tensor, record: bool) -> _Result:
        """All populations on their own; the last result is kept, since a judged run needs it again."""
        if self._last is not None and torch.equal(self._last[0], units):
            return self._last[1]
        result = self._run_net(self.net, units, record)
        if record:
            self._last = (units, result)
        return result

    def _forced_run(self, units: torch.Tensor, free: _Result, given: Mapping[str, torch.Tensor]) -> _Result:
        """Results in which every layer has seen the given spikes of the layer before it."""
        spikes, membrane = list(free.spikes), free.membrane
        seen = [join(self.net, name, own, given) for name, own in zip(self.net.names, spikes, strict=True)]
        differing = [i for i in range(len(spikes) - 1) if not torch.equal(spikes[i], seen[i])]
        for number, position in enumerate(differing):
            end = differing[number + 1] + 1 if number + 1 < len(differing) else len(spikes)
            piece = _piece(self.net, position + 1, end)
            result = self._run_net(piece, seen[position].float(), record=True)
            spikes[position + 1 : end] = result.spikes
            membrane = result.membrane if end == len(spikes) else membrane
        return _Result(spikes, membrane)

    def _run_net(self, net: LavaNet, units: torch.Tensor, record: bool) -> _Result:
        steps, batch = units.shape[:2]
        recorded = net.populations if record else net.populations[-1:]
        elements = units[0, 0].numel() + sum(math.prod(layer.shape) for layer in recorded)
        size = max(1, CHUNK_ELEMENTS // (steps * elements))
        parts = [self._run_chunk(net, units[:, i : i + size], record) for i in range(0, batch, size)]
        spikes = [torch.cat(same_layer, 1) for same_layer in zip(*(p.spikes for p in parts), strict=True)]
        membranes = [part.membrane for part in parts if part.membrane is not None]
        return _Result(spikes, torch.cat(membranes, 1) if membranes else None)

    def _run_chunk(self, net: LavaNet, units: torch.Tensor, record: bool) -> _Result:
        if net.analog:
            first = net.populations[0]
            assert isinstance(first, Input)
            units = first.weight * units + first.bias
        if isinstance(net.populations[0], Dense):
            units = units.flatten(2)
        recorded = net.populations if record else net.populations[-1:]
        with tempfile.TemporaryDirectory(prefix="snn-deploy-lava-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            write_net(net, folder / "model.net")
            np.savez(folder / "in.npz", x=units.swapaxes(0, 1).numpy().astype(np.int32))
            job = {
                "net": str(folder / "model.net"),
                "inputs": str(folder / "in.npz"),
                "out": str(folder / "out.npz"),
                "report": str(folder / "report.json"),
                "input_bits": 0 if net.analog else net.input_bits,
                "record": record,
                "membrane": net.readout is not None,
                "isolate": any(_remembers(layer) for layer in net.layers),
            }
            (folder / "job.json").write_text(json.dumps(job))
            self._work(folder)
            return _collect(folder / "out.npz", units.shape[:2], [layer.shape for layer in recorded], job)

    def _work(self, folder: Path) -> None:
        """Run the worker to its end.

        Raises:
            LavaError: it failed or took longer than the time-out.
        """
        environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PYTHONHOME"}}
        command = [str(self._python), "-W", "ignore", str(WORKER), str(folder / "job.json")]
        with (folder / "stderr.txt").open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                cwd=folder,
                env=environment | {"OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )
            try:
                status = process.wait(self._timeout)
            except subprocess.TimeoutExpired:
                _kill_group(process)
                raise LavaTimeoutError(
                    f"Lava did not finish within {self._timeout:g} s and was stopped.{_said(folder)}",
                    hint="Use fewer samples; Lava needs up to a second per step and sample.",
                ) from None
            except BaseException:
                _kill_group(process)
                raise
        if status:
            _kill_group(process)
            raise LavaError(f"Lava's worker failed (exit status {status}).{_said(folder)}")


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


def _said(folder: Path) -> str:
    """The last lines that the worker wrote, ready to append to a message."""
    lines = (folder / "stderr.txt").read_text(errors="replace").strip().splitlines()[-STDERR_LINES:]
    return "\n" + "\n".join(f"  | {line}" for line in lines) if lines else ""


def _collect(
    file: Path, frames: torch.Size, shapes: list[tuple[int, ...]], job: Mapping[str, object]
) -> _Result:
    """Read a result and check that it is complete.

    Raises:
        LavaError: arrays are missing or have other shapes than asked for.
    """
    steps, batch = frames
    wanted = {f"spikes{i}": shape for i, shape in enumerate(shapes)}
    if job["membrane"]:
        wanted["membrane"] = shapes[-1]
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
    return _Result([tensors[f"spikes{i}"] for i in range(len(shapes))], tensors.get("membrane"))


def _remembers(layer: Layer) -> bool:
    """Whether spikes of one sample would reach the next one, because resets do not clear synapses."""
    return isinstance(layer, Dense) and (layer.recurrent is not None or layer.delay is not None)


def _piece(net: LavaNet, start: int, end: int) -> LavaNet:
    """The populations ``start`` to ``end`` of ``net`` as a network fed with the spikes of ``start - 1``."""
    positions = [i for i, layer in enumerate(net.layers) if any(layer is p for p in net.populations)]
    between = net.layers[positions[start] : positions[end - 1] + 1]
    last = end == len(net.populations)
    return replace(
        net,
        layers=(Input(net.populations[start - 1].shape), *between),
        names=net.names[start:end],
        spans=net.spans[start:end],
        input_range=(0, 1),
        input_scale=1.0,
        readout=net.readout if last else None,
    )


@BACKENDS.register("lava")
def open_lava(path: Path) -> Lava:
    """Lava's own CPU simulation, in its own environment."""
    return Lava(path)
