r"""When layers listen and when they fire, as frames for a network in micro-steps and back.

With D micro-steps in a window and layers of level 1 to L (the input has level 0), in windows from 0:

========= =================================================
window    for step t of T
========= =================================================
2t        the input comes, in the first micro-step
2t + l-1  layer of level l listens
2t + l    layer of level l fires, at most D spikes
========= =================================================

So a layer fires while those of the next level listen, and every other window it listens itself: 2D
micro-steps for each step, :math:`(2T + L - 1) D` in all. Beside the input, a frame has *signals*: for every
level one that marks the first micro-step of its windows to listen (T + 1 of them), and one for those to fire
(T).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import prod
from typing import Literal

import nir
import torch

from snn_deploy.core.errors import DataError

KEY = "snn_deploy_micro_steps"
Kind = Literal["listen", "fire"]
LISTEN: Kind = "listen"
FIRE: Kind = "fire"
Signal = tuple[int, Kind]
"""A level and what its layers do. The level behind the last one is the readout's: it never listens, and its
``fire`` comes with that of the last level."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How a network of whole numbers is run in micro-steps.

    Attributes:
        steps: T of the network of whole numbers.
        levels: D, its most spikes in a step.
        depth: L, the highest level of a population.
        shape: of its input.
        copies: per level from 1 how many neurons carry its two signals to its layers, ``(listen, fire)``.
        populations: level of every population by name.
    """

    steps: int
    levels: int
    depth: int
    shape: tuple[int, ...]
    copies: tuple[tuple[int, int], ...]
    populations: dict[str, int]

    @property
    def micro_steps(self) -> int:
        """Frames of a run."""
        return (2 * self.steps + self.depth - 1) * self.levels

    @property
    def words(self) -> tuple[str, str]:
        """How frames are made, for people."""
        return (
            f"A step of {self.shape} is {2 * self.levels} frames: the input of step t, flattened, is frame "
            f"{2 * self.levels} t; the others hold zeros there.",
            f"{len(self.signals(0))} entries behind the input mark when layers listen and fire, 0 or 1, the "
            "same for every sample; graph metadata 'snn_deploy_micro_steps' say which.",
        )

    def signals(self, level: int) -> list[Signal]:
        """What ``level`` (0 is the input) sends on: to the next level in copies, to later ones once."""
        listen, fire = self.copies[level]
        carried = _repeated(level + 1, listen, fire)
        for later, (listen, fire) in enumerate(self.copies[level + 1 :], level + 2):
            carried += _repeated(later, min(listen, 1), min(fire, 1))
        return carried

    def frames(self, x: torch.Tensor) -> torch.Tensor:
        """``x [T, B, *shape]`` as frames ``[micro-steps, B, inputs + signals]``.

        Raises:
            DataError: x has another shape.
        """
        if tuple(x.shape[2:]) != self.shape or x.shape[0] != self.steps:
            raise DataError(
                f"Input of {x.shape[0]} steps of {tuple(x.shape[2:])}; the schedule is for {self.steps} of "
                f"{self.shape}."
            )
        signals = self.signals(0)
        made = x.new_zeros(self.micro_steps, x.shape[1], prod(self.shape) + len(signals))
        made[: 2 * self.steps * self.levels : 2 * self.levels, :, : prod(self.shape)] = x.flatten(2)
        for place, signal in enumerate(signals, prod(self.shape)):
            for window in self._windows(signal):
                if window * self.levels < len(made):
                    made[window * self.levels, :, place] = 1.0
        return made

    def spikes(self, name: str, fired: torch.Tensor) -> torch.Tensor:
        """Whole numbers ``[T, B, N]`` of a population's binary spikes ``fired [micro-steps, B, N]``.

        Raises:
            DataError: it fired in a window in which it has to listen.
        """
        level = self.populations[name]
        windows = self._by_window(fired)
        counted = windows[level : level + 2 * self.steps : 2]
        if counted.sum() != windows.sum():
            raise DataError(f"'{name}' fired while it had to listen.")
        return counted

    def output(self, summed: torch.Tensor) -> torch.Tensor:
        """Scores ``[T, B, K]`` of a readout of currents ``summed [micro-steps, B, K]``, one row per step."""
        return self._by_window(summed)[self.depth : self.depth + 2 * self.steps : 2]

    def _by_window(self, values: torch.Tensor) -> torch.Tensor:
        return values.view(-1, self.levels, *values.shape[1:]).sum(1)

    def _windows(self, signal: Signal) -> range:
        level, kind = min(signal[0], self.depth), signal[1]
        count = self.steps + (kind == LISTEN)
        first = level - (kind == LISTEN)
        return range(first, first + 2 * count, 2)


def _repeated(level: int, listen: int, fire: int) -> list[Signal]:
    return [*[(level, LISTEN)] * listen, *[(level, FIRE)] * fire]


def write_schedule(graph: nir.NIRGraph, schedule: Schedule) -> None:
    """Store ``schedule`` in the metadata of ``graph`` (in place)."""
    graph.metadata[KEY] = json.dumps(asdict(schedule), sort_keys=True)


def read_schedule(graph: nir.NIRGraph) -> Schedule | None:
    """The schedule stored in ``graph``; None where its steps are steps.

    Raises:
        DataError: what is stored is damaged.
    """
    raw = graph.metadata.get(KEY)
    if raw is None:
        return None
    try:
        content = json.loads(raw.decode() if isinstance(raw, bytes) else str(raw))
        content["shape"] = tuple(int(size) for size in content["shape"])
        content["copies"] = tuple((int(a), int(b)) for a, b in content["copies"])
        content["populations"] = {str(name): int(level) for name, level in content["populations"].items()}
        schedule = Schedule(**content)
        if min(schedule.steps, schedule.levels, schedule.depth, *schedule.shape) < 1:
            raise ValueError("sizes below 1")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"The graph's '{KEY}' metadata are damaged: {error}") from None
    return schedule
