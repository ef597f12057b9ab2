"""What a sweep may vary: dotted paths of a recipe, and values for each.

::

    train.lr:                       {low: 1.0e-3, high: 2.0e-2, log: true}
    student.blocks.0.channels:      {low: 8, high: 32, step: 8}
    student.neuron.v_threshold:     [0.5, 1.0, 1.5]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from snn_deploy.core.documents import parse_yaml, validation_problems
from snn_deploy.core.errors import ConfigError

Value = StrictBool | StrictInt | Annotated[StrictFloat, FiniteFloat] | StrictStr | None


class Range(BaseModel):
    """Numbers from ``low`` to ``high``, both included: whole ones where both are, in steps of ``step`` where
    there is one, evenly on a logarithmic scale with ``log``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: StrictInt | FiniteFloat
    high: StrictInt | FiniteFloat
    step: StrictInt | FiniteFloat | None = None
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are drawn."""
        return all(isinstance(bound, int) for bound in (self.low, self.high, self.step or 1))

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) is not below high ({self.high})")
        if self.step is not None and not 0 < self.step <= self.high - self.low:
            raise ValueError(f"step ({self.step}) is not above 0 and at most high - low")
        if self.log and (self.low <= 0 or self.step is not None):
            raise ValueError("log wants low above 0, and no step")
        return self


Choices = Annotated[tuple[Value, ...], Field(min_length=2, max_length=1000)]
Axis = Range | Choices
Space = Mapping[str, Axis]


def _one_kind(axis: object) -> object:
    return Range.model_validate(axis) if isinstance(axis, dict) else axis


Axes = Annotated[dict[str, Annotated[Axis, BeforeValidator(_one_kind)]], Field(min_length=1)]
"""A search space as pydantic validates it."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    space: Axes


def parse_space(text: bytes | str, origin: str) -> Space:
    """The search space in a YAML document: paths and their values, and nothing else.

    Raises:
        ConfigError: with one problem per fault, all of them at once.
    """
    content = parse_yaml(text, origin, "search space")
    try:
        return _Document.model_validate({"space": content}).space
    except ValidationError as error:
        problems = list(validation_problems(error, _Document))
        raise ConfigError(
            f"{origin}: {len(problems)} fault(s) in the search space.", problems=problems
        ) from None


def probes(axis: Axis) -> Iterator[object]:
    """Values that stand for an axis when it is checked: both ends of a range, every choice."""
    if isinstance(axis, Range):
        yield from (axis.low, axis.high)
    else:
        yield from axis
