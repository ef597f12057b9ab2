"""The parts of a float32 C program, as the templates need them.

Inside the program every array of two or more axes lies with its channels last (position, channel), so that
all weights of one input's targets lie side by side; the input and the output are in the hub's order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.export.c.tables import Table, lines

Shape = tuple[int, ...]
FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the elements of a node: one number for all, or a table per channel or per element.

    ``text`` is the C expression of it inside the loops over positions ``p``, channels ``c``, elements ``i``.
    """

    text: str
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What a node remembers from step to step: a member of the model's struct.

    ``start``: the C expression of its value at the beginning, inside the same loops.
    """

    name: str
    size: int
    start: str = "0.0f"


@dataclass(frozen=True, slots=True)
class Extent:
    """An array of ``shape`` in the hub's order: its elements, channels, and positions of each."""

    shape: Shape

    @property
    def count(self) -> int:
        return math.prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[0] if len(self.shape) > 1 else 1

    @property
    def positions(self) -> int:
        return self.count // self.channels


@dataclass(frozen=True, slots=True)
class CNode:
    """One node of the graph.

    Attributes:
        name: C identifier; ``title`` is the graph's own name.
        kind: macro of ``nodes.c.jinja`` that writes it.
        out, fed: its output, and what enters it.
        terms: C expressions of element ``i`` of everything that is added up to its input.
        place: first element of its output among the work space.
        tables: constant arrays by the end of their names.
        values: everything else its macro needs.
    """

    name: str
    title: str
    kind: str
    words: str
    out: Extent
    fed: Extent
    terms: tuple[str, ...]
    place: int
    tables: dict[str, Table] = field(default_factory=dict)
    states: tuple[State, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return self.out.count

    @property
    def constant_bytes(self) -> int:
        return sum(table.bytes for table in self.tables.values())

    @property
    def state_bytes(self) -> int:
        return FLOAT_BYTES * sum(state.size for state in self.states)

    @property
    def nested(self) -> bool:
        """Whether its loop goes over positions and channels: where a table has an entry per channel."""
        return any("[c]" in str(text) for text in (*self.values.values(), *(s.start for s in self.states)))

    def x(self, index: str) -> str:
        """The C expression of the element ``index`` of its input."""
        return " + ".join(term.format(index) for term in self.terms)


@dataclass(frozen=True, slots=True)
class FloatProgram:
    """A network as C: its nodes in order, and the work space that they share."""

    nodes: tuple[CNode, ...]
    work: int
    before: tuple[CNode, ...]
    timesteps: int
    decode_last: bool
    classes: tuple[str, ...]

    @property
    def inputs(self) -> int:
        return self.nodes[0].count

    @property
    def outputs(self) -> int:
        return self.nodes[-1].count

    @property
    def ram_bytes(self) -> int:
        fed_back = sum(node.count for node in self.before)
        return sum(node.state_bytes for node in self.nodes) + FLOAT_BYTES * (self.work + fed_back)

    @property
    def constant_bytes(self) -> int:
        return sum(node.constant_bytes for node in self.nodes)


def number(value: float | np.floating[Any]) -> str:
    """A float32 constant: the shortest decimal that reads back as the same number."""
    short = str(np.float32(value))
    return f"{short}f" if any(mark in short for mark in ".e") else f"{short}.0f"


def numbers(values: npt.NDArray[Any]) -> Table:
    """``values``, flattened, as a constant float array."""
    flat = np.asarray(values, np.float32).reshape(-1)
    return Table("float", lines([number(v) for v in flat]), flat.size, FLOAT_BYTES * flat.size)


def inside(values: npt.NDArray[Any], lead: int = 0) -> npt.NDArray[Any]:
    """An array of the hub, flattened in the program's order behind its first ``lead`` axes."""
    moved = np.moveaxis(values, lead, -1) if values.ndim > lead else values
    return moved.reshape(*values.shape[:lead], -1)
