"""The result of a check on synthetic inputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Probed:
    """What synthetic inputs showed of one file.

    Attributes:
        seed, frames, sequences, steps: of the probes: steps without memory, and sequences of ``steps``.
        nodes: how many nodes were fed on their own.
        compared, differing: output elements of all nodes; differing beyond rounding.
        undecided: spikes that float32 cannot decide, which were not compared.
        weights, weights_alone, weights_held: how many weights there are, how many were the only ones in some
            sum, and how many all files of the graph hold bit for bit.
        where: nodes that differ.
    """

    seed: int
    frames: int
    sequences: int
    steps: int
    nodes: int = 0
    compared: int = 0
    differing: int = 0
    undecided: int = 0
    weights: int = 0
    weights_alone: int = 0
    weights_held: int = 0
    where: tuple[str, ...] = ()
