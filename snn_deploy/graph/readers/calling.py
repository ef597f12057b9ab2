"""How a torch module wants to be called, and what it returns: found when it becomes a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Time = Literal["sequence", "samples", "rows", "steps", "repeats"]
Result = Literal["steps", "mean", "sum", "last"]
Layout = Literal["sequence", "folded", "samples", "rows"]


@dataclass(frozen=True, slots=True)
class Calling:
    """The calling convention of a module.

    Attributes:
        time: ``sequence``: it takes ``[T, B, *shape]``; ``samples``: ``[B, T, *shape]``; ``rows``:
            ``[B T, *shape]``; ``steps``: it takes ``[B, *shape]`` in every step and keeps its state;
            ``repeats``: it takes ``[B, *shape]`` once and runs its own T steps on it.
        result: ``steps``: it returns the output of every step, or of the one that it was called for; else
            their ``mean``, their ``sum`` or the ``last`` of them, ``[B, ...]``.
        layout: how the outputs of all steps are laid out, where it returns them at once.
        first: it returns several things, of which the first is the output.
        carries: what it returns besides the output is its state, which it takes in the next step.
        layers: module paths of its neurons, in order.
        outputs: module paths whose outputs add up to the output of a step.
        by_sample: module paths among these whose outputs go through all steps of a sample before the next.
        timesteps: that it runs by itself; None: as many as it is given.
        batch: the only number of samples that it takes at once; None: any.
    """

    time: Time
    result: Result = "steps"
    layout: Layout = "sequence"
    first: bool = False
    carries: bool = False
    layers: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    by_sample: tuple[str, ...] = ()
    timesteps: int | None = None
    batch: int | None = None

    def sentence(self) -> str:
        """What was found, for whoever wrote the module."""
        taken = {
            "sequence": "takes the whole sequence [T, B, ...]",
            "samples": "takes whole samples [B, T, ...]",
            "rows": "takes the steps of all samples as rows [B T, ...]",
            "steps": "is called once per step" + (" with the state that it returned" if self.carries else ""),
            "repeats": f"repeats its input over {self.timesteps} steps by itself",
        }[self.time]
        given = {
            "steps": "returns the output of every step",
            "mean": "returns the mean over the steps",
            "sum": "returns the sum over the steps",
            "last": "returns the last step",
        }[self.result]
        also = ", and more, which is not looked at" if self.first and not self.carries else ""
        fixed = "" if self.batch is None else f" It takes {self.batch} at once."
        return f"The module {taken} and {given}{also}.{fixed}"
