"""The forms of a traced value: where its time is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import fx

from snn_deploy.graph.readers.builder import Terms

Form = Literal["sequence", "folded", "samples", "rows", "still", "step", "part", "mean", "sum"]
TRANSPOSED: dict[str, Form] = {"sequence": "samples", "samples": "sequence"}
FOLDED: dict[str, Form] = {"sequence": "folded", "samples": "rows"}
TIME_AXIS = {"sequence": 0, "samples": 1}
REDUCED = ("part", "mean", "sum")
"""Forms of what was made of several steps."""
LAID_OUT = {
    "sequence": "[T, B, ...]",
    "folded": "[T B, ...]",
    "samples": "[B, T, ...]",
    "rows": "[B T, ...]",
    "still": "[B, ...]",
    "step": "one step, [B, ...]",
    "part": "the sum of the first steps",
    "mean": "the mean over time",
    "sum": "the sum over time",
}
"""The forms in words."""


@dataclass(frozen=True, slots=True)
class Value:
    """A value: all steps as ``sequence [T, B, ...]``, ``folded [T B, ...]``, ``samples [B, T, ...]`` or
    ``rows [B T, ...]``; ``still [B, ...]``, the same in every step; of one ``step [B, ...]``; ``part``: the
    sum of the first ``count`` steps; ``mean`` or ``sum`` of all. ``axis``: a still value or step with an axis
    of one time step there."""

    terms: Terms
    form: Form
    step: int = 0
    count: int = 1
    axis: int | None = None

    @property
    def words(self) -> str:
        """For messages."""
        more = "" if self.axis is None else f", with an axis of one step at {self.axis}"
        return LAID_OUT[self.form] + more

    def lead(self, steps: int, batch: int) -> tuple[int, ...]:
        """Sizes of its axes of time and batch."""
        whole = {
            "sequence": (steps, batch),
            "samples": (batch, steps),
            "folded": (steps * batch,),
            "rows": (steps * batch,),
        }
        if self.form in whole:
            return whole[self.form]
        return (batch,) if self.axis is None else (1, batch) if self.axis == 0 else (batch, 1)


@dataclass(frozen=True, slots=True)
class State:
    """What a neuron at ``path`` remembers after a step: what it returns at ``place``."""

    path: str
    step: int
    place: int


def accumulated(left: Value, right: Value) -> Value | None:
    """The sum of the first steps of a value and its next step; None where the two are nothing of the kind."""
    a, b = sorted((left, right), key=lambda v: (v.form != "part", v.step))
    if a.form in ("part", "step") and b.form == "step" and a.terms == b.terms and a.axis == b.axis is None:
        count = a.count if a.form == "part" else a.step + 1
        if count == b.step and (a.form == "part" or a.step == 0):
            return Value(a.terms, "part", count=count + 1)
    return None


def called(result: Any) -> str:
    """The kind of what a forward returns."""
    return "tuple" if isinstance(result, tuple | list) else type(result).__name__


def is_zero(value: Any) -> bool:
    """Whether ``value`` is a constant that adds nothing."""
    if isinstance(value, int | float):
        return value == 0
    return isinstance(value, torch.Tensor) and not bool(value.any())


def argument(node: fx.Node, place: int, name: str, otherwise: Any = None) -> Any:
    """An argument of a traced call, by place or by name."""
    return node.args[place] if len(node.args) > place else node.kwargs.get(name, otherwise)


def axes(node: fx.Node, rank: int) -> tuple[int, ...]:
    """The axes that a traced mean or sum goes over, counted from the first; all where none are named."""
    given: Any = argument(node, 1, "dim", node.kwargs.get("axis"))
    named = range(rank) if given is None else (given,) if isinstance(given, int) else tuple(given)
    return tuple(axis % rank for axis in named)


def picked(form: Form, index: Any) -> int | None:
    """The step that ``index`` takes of a value of all steps; None where it takes something else."""
    indices = list(index) if isinstance(index, tuple) else [index]
    while len(indices) > 1 and (indices[-1] is Ellipsis or indices[-1] == slice(None)):
        indices.pop()
    due = TIME_AXIS.get(form)
    if due is None or len(indices) != due + 1 or not isinstance(indices[due], int):
        return None
    return indices[due] if indices[:due] == [slice(None)] * due else None


def repeated(given: torch.Tensor, base: torch.Tensor) -> tuple[Form, int] | None:
    """The form in which ``given`` repeats ``base [B, ...]`` over steps, and how often; else None.

    Where one batch element leaves it open, samples come first: frameworks with a fixed batch of one fold so.
    """
    batch, rest = base.shape[0], tuple(base.shape[1:])
    forms: list[tuple[Form, torch.Tensor, int]] = []
    if given.ndim == base.ndim + 1:
        forms = [("samples", base.unsqueeze(1), 1), ("sequence", base.unsqueeze(0), 0)]
    for form, one, axis in forms:
        steps = int(given.shape[axis])
        wide = (batch, steps, *rest) if axis else (steps, batch, *rest)
        if tuple(given.shape) == wide and torch.equal(given, one.expand(wide)):
            return form, steps
    if given.ndim == base.ndim and tuple(given.shape[1:]) == rest and given.shape[0] % batch == 0:
        steps = int(given.shape[0]) // batch
        if torch.equal(given, base.repeat_interleave(steps, 0)):
            return "rows", steps
        if torch.equal(given, base.repeat(steps, *(1 for _ in rest))):
            return "folded", steps
    return None


def merged(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, int] | None:
    """First and last of the neighbouring axes, counted from the end, that make ``wanted`` of ``shape`` when
    they become one; None where none do."""
    rank = len(shape)
    for start in range(rank):
        for end in range(start + 1, rank):
            if wanted == (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :]):
                return start - rank, end - rank
    return None


def unfolded(value: Value) -> Value:
    """A value of all steps with time and batch as axes of their own."""
    forms: dict[str, Form] = {"folded": "sequence", "rows": "samples"}
    return replace(value, form=forms.get(value.form, value.form))
