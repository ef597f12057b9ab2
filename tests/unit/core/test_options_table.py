"""The table of options: every option of everything that ships is explained."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import Field

from snn_deploy.core import components, registry
from snn_deploy.core.options_table import OptionRow, option_rows
from snn_deploy.core.registry import Options

REGISTRIES = {
    "method": (registry.METHODS, components.METHODS),
    "student": (registry.STUDENTS, components.STUDENTS),
    "teacher": (registry.TEACHERS, components.TEACHERS),
    "data": (registry.DATASETS, components.DATASETS),
    "format": (registry.FORMATS, components.FORMATS),
    "backend": (registry.BACKENDS, components.BACKENDS),
}


class Inner(Options):
    """An item.

    Attributes:
        side: of the ``window``,
            in pixels.
    """

    side: int = Field(ge=1, lt=9)


class Outer(Options):
    """Two lists.

    Attributes:
        low, high: a bound.
        items: the items.

    More words.
    """

    low: float = 0.5
    high: float | None = None
    items: tuple[Inner, ...] = ()
    kind: Literal["a", "b"] = "a"


class Again(Outer):
    """With words of its own.

    Attributes:
        high: the upper bound.
    """


def test_rows() -> None:
    assert list(option_rows(Outer)) == [
        OptionRow("low", "number", "0.5", "a bound."),
        OptionRow("high", "number | null", "null", "a bound."),
        OptionRow("items", "list: options below", "[]", "the items."),
        OptionRow(
            "items[].side", "integer, at least 1, below 9", "(required)", "of the 'window', in pixels."
        ),
        OptionRow("kind", "a | b", "a", ""),
    ]


def test_a_subclass_has_the_last_word() -> None:
    rows = {row.name: row.meaning for row in option_rows(Again)}
    assert rows["low"] == "a bound."
    assert rows["high"] == "the upper bound."


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, n) for kind, (_, table) in REGISTRIES.items() for n in table]
)
def test_every_option_that_ships_has_a_sentence(kind: str, name: str) -> None:
    rows = option_rows(REGISTRIES[kind][0].options(name))
    assert [row.name for row in rows if not row.meaning] == []
