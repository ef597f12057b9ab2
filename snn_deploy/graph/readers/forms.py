"""The forms of a traced value: where its time is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx

from snn_deploy.graph.readers.builder import Terms

Form = Literal["sequence", "folded", "still", "step", "part", "mean", "sum"]


@dataclass(frozen=True, slots=True)
class Value:
    """A value: ``sequence [T, B, ...]``, ``folded [T B, ...]``, ``still [B, ...]``, the same in every step;
    of one ``step [B, ...]``; ``part``: the sum of the first ``count`` steps; ``mean`` or ``sum`` of all."""

    terms: Terms
    form: Form
    step: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class State:
    """What a neuron at ``path`` remembers after a step."""

    path: str
    step: int


def accumulated(left: Value, right: Value) -> Value | None:
    """The sum of the first steps of a value and its next step; None where the two are nothing of the kind."""
    a, b = sorted((left, right), key=lambda v: (v.form != "part", v.step))
    if a.form in ("part", "step") and b.form == "step" and a.terms == b.terms:
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


def axes(node: fx.Node) -> tuple[int, ...]:
    """The axes that a traced mean or sum goes over."""
    given = node.kwargs.get("dim", node.kwargs.get("axis", node.args[1] if len(node.args) > 1 else None))
    return (given,) if isinstance(given, int) else tuple(given or ())  # type: ignore[arg-type]
