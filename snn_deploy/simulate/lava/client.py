"""Lava itself as a backend: a worker process in the Lava environment, driven through files.

Samples go through in chunks, a worker for every core. When layers are judged on given input, the network is
cut after every given layer whose own spikes differ from the given ones, and each piece runs by itself.

A run takes as long as it takes; :meth:`Lava.run_ahead` takes a given time, and keeps what it finished.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import torch

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.lava.io import read_net
from snn_deploy.graph.lava.net import DECAY_ONE, LavaNet, neuron_of
from snn_deploy.graph.lava.spans import join as join_given
from snn_deploy.graph.lava.spans import spiking_layers, split
from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.simulate.lava.environment import require_lava
from snn_deploy.simulate.lava.jobs import Job, Result, join
from snn_deploy.simulate.lava.pieces import piece
from snn_deploy.simulate.lava.schedule import cores, run_within
from snn_deploy.simulate.loihi import input_units, read_membrane

CHUNK_ELEMENTS = 1 << 24
"""Elements of input and recorded output that one worker holds."""
TIMEOUT_SECONDS = 600.0


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
        self._last: tuple[torch.Tensor, Result] | None = None
        self._ahead: dict[bytes, Result] = {}
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
        given = given_spikes(forced, self.layers)
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

    def run_ahead(
        self, x: torch.Tensor, seconds: float, report: Callable[[str], None] = lambda line: None
    ) -> list[int]:
        """Run as many of the samples ``x [T, B, *shape]`` as ``seconds`` allow; returns which.

        They are recorded and kept, so that later runs on them cost nothing. Empty when not a single one is
        finished in half the time.

        Raises:
            DataError, LavaError: see :meth:`run`.
        """
        units = input_units(self.net, x)
        fitting = self._fitting(units, record=True)

        def start(begin: int, end: int) -> Job:
            return Job(self.net, units[:, begin:end], record=True, python=self._python)

        found = run_within(start, units.shape[1], seconds, at_most=fitting, report=report)
        self._ahead |= {_digest(units, sample): result for sample, result in found.items()}
        return sorted(found)

    def _free_run(self, units: torch.Tensor, record: bool) -> Result:
        """All populations on their own; the last result is kept, since a judged run needs it again."""
        known = [self._ahead.get(_digest(units, sample)) for sample in range(units.shape[1])]
        if self._ahead and None not in known:
            return join([result for result in known if result is not None])
        if self._last is not None and torch.equal(self._last[0], units):
            return self._last[1]
        result = self._run_net(self.net, units, record)
        if record:
            self._last = (units, result)
        return result

    def _forced_run(self, units: torch.Tensor, free: Result, given: Mapping[str, torch.Tensor]) -> Result:
        """Results in which every layer has seen the given spikes of the layer before it."""
        spikes, membrane = list(free.spikes), free.membrane
        seen = [
            join_given(self.net, name, own, given) for name, own in zip(self.net.names, spikes, strict=True)
        ]
        differing = [i for i in range(len(spikes) - 1) if not torch.equal(spikes[i], seen[i])]
        for number, position in enumerate(differing):
            end = differing[number + 1] + 1 if number + 1 < len(differing) else len(spikes)
            part = piece(self.net, position + 1, end)
            result = self._run_net(part, seen[position].float(), record=True)
            spikes[position + 1 : end] = result.spikes
            membrane = result.membrane if end == len(spikes) else membrane
        return Result(spikes, membrane)

    def _fitting(self, units: torch.Tensor, *, record: bool) -> int:
        """Samples that one worker can hold."""
        recorded = self.net.populations if record else self.net.populations[-1:]
        elements = units[0, 0].numel() + sum(math.prod(layer.shape) for layer in recorded)
        return max(1, CHUNK_ELEMENTS // (units.shape[0] * elements))

    def _run_net(self, net: LavaNet, units: torch.Tensor, record: bool) -> Result:
        batch, workers = units.shape[1], cores()
        size = min(self._fitting(units, record=record), -(-batch // workers))
        starts = range(0, batch, size)
        parts: list[Result] = []
        for first in range(0, len(starts), workers):
            parts += self._at_once(
                net, [units[:, i : i + size] for i in starts[first : first + workers]], record
            )
        return join(parts)

    def _at_once(self, net: LavaNet, chunks: Sequence[torch.Tensor], record: bool) -> list[Result]:
        """Each of the chunks in a worker of its own; all end with the first that fails."""
        with ExitStack() as running:
            jobs = [
                running.enter_context(closing(Job(net, units, record=record, python=self._python)))
                for units in chunks
            ]
            for job in jobs:
                job.wait(self._timeout)
            return [job.result() for job in jobs]


def _digest(units: torch.Tensor, sample: int) -> bytes:
    """What tells one sample of ``units [T, B, *shape]`` from others."""
    return hashlib.sha256(units[:, sample].contiguous().numpy().tobytes()).digest()


@BACKENDS.register("lava")
def open_lava(path: Path) -> Lava:
    """Lava's own CPU simulation, in its own environment."""
    return Lava(path)
