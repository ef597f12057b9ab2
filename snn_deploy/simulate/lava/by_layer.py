"""Single populations in Lava, each as a network of its own, where the whole one takes too long.

Every population is given, for a few steps of one sample, the spikes that our fixed-point simulator has at its
input, and starts from zero. What it fires must be what the simulator fires there. Which populations are shown
depends on the time: the last one first, whose output is the network's, then the cheapest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import torch

from snn_deploy.graph.lava.net import Conv, LavaNet
from snn_deploy.graph.lava.spans import split
from snn_deploy.graph.types import Trace
from snn_deploy.simulate.lava.environment import require_lava
from snn_deploy.simulate.lava.jobs import Job, LavaTimeoutError, Result
from snn_deploy.simulate.lava.pieces import piece
from snn_deploy.simulate.lava.schedule import POLL_SECONDS, cores
from snn_deploy.simulate.loihi import Loihi, input_units, read_membrane

STEPS = 4
"""At most so many steps are shown of a sample (our choice)."""


class LavaByLayer:
    """Implements :class:`snn_deploy.simulate.base.Executable` for the one ``x`` that it is made for.

    Args:
        net: the network.
        x: ``[T, 1, *shape]``.
        seconds: of wall clock that all populations may take together.
        python: interpreter of a Lava environment; found by itself when None.
        report: is given a line about every population.

    Raises:
        LavaTimeoutError: not even the last population is finished in this time.
        LavaError: a worker failed.
    """

    def __init__(
        self,
        net: LavaNet,
        x: torch.Tensor,
        seconds: float,
        *,
        python: Path | None = None,
        report: Callable[[str], None] = lambda line: None,
    ) -> None:
        began = time.monotonic()
        self._net, self._python, self._report = net, python or require_lava(), report
        expected = Loihi(net).probe(x)
        feeds = [input_units(net, x), *(expected[name].spikes.float() for name in net.names[:-1])]
        found = self._run(feeds, seconds - (time.monotonic() - began))
        last = net.names[-1]
        if last not in found:
            raise LavaTimeoutError(f"Lava did not finish a single layer of a single sample in {seconds:g} s.")
        spikes = {name: result.spikes[0] for name, result in found.items()}
        self._output = spikes[last]
        if net.readout is not None:
            membrane = found[last].membrane
            assert membrane is not None
            self._output = read_membrane(net, membrane, spikes.pop(last))
        every = split(net, spikes)
        self.shown = tuple(name for name in net.names if name in found)
        self.layers = tuple(every)
        self._records = every

    def run(
        self, x: torch.Tensor, *, record: bool = False, forced: Mapping[str, torch.Tensor] | None = None
    ) -> Trace:
        """What every population did, whose input was the simulator's whether ``forced`` or not."""
        return Trace(self._output, dict(self._records) if record else {})

    def _run(self, feeds: list[torch.Tensor], seconds: float) -> dict[str, Result]:
        """Results of single populations by name, as many as are finished in time."""
        began = time.monotonic()
        waiting = sorted(range(len(feeds)), key=lambda i: (i < len(feeds) - 1, _cost(self._net, i)))
        running: dict[Job, int] = {}
        found: dict[str, Result] = {}
        with ExitStack() as everything:
            while (waiting or running) and time.monotonic() - began < seconds:
                while waiting and len(running) < cores():
                    number = waiting.pop(0)
                    job = Job(
                        piece(self._net, number, number + 1), feeds[number], record=True, python=self._python
                    )
                    running[everything.enter_context(closing(job))] = number
                for job in [job for job in running if job.finished()]:
                    name = self._net.names[running.pop(job)]
                    found[name] = job.result()
                    self._report(f"Lava ran the layer '{name}' by itself in {job.seconds:.0f} s")
                    job.close()
                time.sleep(POLL_SECONDS)
        return found


def _cost(net: LavaNet, number: int) -> float:
    """What a step of a population takes in Lava, in arbitrary units: pairs of channels times pixels."""
    layer = net.populations[number]
    weight = getattr(layer, "weight", 1)
    size = float(np.size(weight))
    return size * float(np.prod(layer.shape[1:])) if isinstance(layer, Conv) else size
