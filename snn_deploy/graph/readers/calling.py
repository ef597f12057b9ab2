"""How a torch module wants to be called, and what it returns: found when it becomes a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Time = Literal["sequence", "steps", "repeats"]
Result = Literal["steps", "mean", "sum", "last"]


@dataclass(frozen=True, slots=True)
class Calling:
    """The calling convention of a module.

    Attributes:
        time: ``sequence``: it takes ``[T, B, *shape]``; ``steps``: it takes ``[B, *shape]`` in every step and
            keeps its state; ``repeats``: it takes ``[B, *shape]`` once and runs its own T steps on it.
        result: ``steps``: it returns the output of every step, ``[T, B, ...]``, or of the one that it was
            called for; else their ``mean``, their ``sum`` or the ``last`` of them, ``[B, ...]``.
        first: it returns several things, of which the first is the output.
        layers: module paths of its neurons, in order.
        outputs: module paths whose outputs add up to the output of a step.
        timesteps: that it runs by itself; None: as many as it is given.
    """

    time: Time
    result: Result = "steps"
    first: bool = False
    layers: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    timesteps: int | None = None

    def sentence(self) -> str:
        """What was found, for whoever wrote the module."""
        taken = {
            "sequence": "takes the whole sequence [T, B, ...]",
            "steps": "is called once per step",
            "repeats": f"repeats its input over {self.timesteps} steps by itself",
        }[self.time]
        given = {
            "steps": "returns the output of every step",
            "mean": "returns the mean over the steps",
            "sum": "returns the sum over the steps",
            "last": "returns the last step",
        }[self.result]
        also = ", and more, which is not looked at" if self.first else ""
        return f"The module {taken} and {given}{also}."
