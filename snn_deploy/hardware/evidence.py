"""What every number of a profile carries: where it stands and how good that evidence is."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def _not_from_memory(value: object) -> object:
    if value == "M":
        raise ValueError("grade M (from memory) never ships; read the source, then grade it A, B or C")
    return value


Grade = Annotated[Literal["A", "B", "C"], BeforeValidator(_not_from_memory)]
"""A: the primary source itself. B: the primary source as quoted elsewhere with its place. C: second-hand."""
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


class Model(BaseModel):
    """Immutable model that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Model):
    """Where a number stands: full citation, and ``where`` in it (table, figure, page)."""

    citation: str = Field(min_length=8)
    doi: str | None = Field(default=None, pattern=r"^10\.\d{4,9}/\S+$")
    where: str = ""
    quote: str = ""

    def __str__(self) -> str:
        return f"{self.citation}, {self.where}" if self.where else self.citation
