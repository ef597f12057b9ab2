"""What a dialect is: what one framework means by the NIR files that it writes.

NIR leaves discrete time open, and every exporter fills the gap in its own way. A dialect rewrites nodes so
that the hub's equations (:mod:`snn_deploy.graph.dynamics`) compute what the framework computed, and says what
the file could not tell. Each rule was found in the framework's source and holds against the framework itself:
0 differing spikes in the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import ConfigError, Problem
from snn_deploy.graph.semantics import Comparison, Integrator, Reset, StatedSpikes
from snn_deploy.graph.shapes import Shape
from snn_deploy.graph.timing import Reading

Array = npt.NDArray[np.float64]
NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
ENDLESS = 2.0**60
"""A time constant in steps whose leak float64 rounds to nothing."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a writer means: the fields of :class:`Reading` that follow, and a sentence per assumption."""

    integrator: Integrator
    fires_at: Comparison
    reset: Reset
    dt: float | None = None
    spikes: StatedSpikes = "one"
    v_min: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """The files of one framework.

    Attributes:
        title: name and version of the framework whose source the rules are from.
        read: rewrites the nodes of a graph in place under what the caller states, and says what it means; it
            is told the input shapes that nodes say they have.
        signs: a sentence on what in a graph only this framework writes; empty where nothing is.
        takes: the fields of :class:`Reading` that may be stated beside the writer.
        resets: kinds of reset that the framework has.
    """

    title: str
    read: Callable[[nir.NIRGraph, Reading, Mapping[str, Shape]], Meaning]
    signs: Callable[[nir.NIRGraph], str] = field(default=lambda _graph: "")
    takes: tuple[str, ...] = ()
    resets: tuple[Reset, ...] = ("zero",)

    def check(self, name: str, reading: Reading) -> None:
        """Refuse what the framework does not have.

        Raises:
            ConfigError: a stated field or reset that ``title`` leaves no choice of.
        """
        problems = [
            Problem(
                _option(given),
                "is stated",
                f"{self.title} leaves no choice of it",
                try_instead="leave it out",
            )
            for given in reading.given()
            if given not in {"writer", "trace", "leave_out", *self.takes}
        ]
        wanted = [("--reset", reading.reset), *((node, kind) for node, kind in reading.resets)]
        problems += [
            Problem(where, f"'{kind}'", f"resets of {self.title}: {', '.join(self.resets)}")
            for where, kind in wanted
            if kind is not None and "reset" in self.takes and kind not in self.resets
        ]
        if problems:
            raise ConfigError(f"This does not go with --from {name}.", problems=problems)


def _option(name: str) -> str:
    options = {"v_min": "--min-membrane", "resets": "--reset NODE=KIND"}
    return options.get(name, "--" + name.replace("_", "-"))


@dataclass(frozen=True, slots=True)
class Place:
    """A neuron of a graph: its full name, the (nested) graph that holds it, and its name there."""

    name: str
    graph: nir.NIRGraph
    key: str
    nested: bool

    @property
    def node(self) -> nir.NIRNode:
        """The neuron as it is now."""
        return self.graph.nodes[self.key]

    def put(self, node: nir.NIRNode) -> None:
        """Let ``node`` take its place, with its metadata."""
        node.metadata = dict(self.node.metadata)
        self.graph.nodes[self.key] = node


def neurons(graph: nir.NIRGraph, prefix: str = "") -> Iterator[Place]:
    """All neurons and integrators, those of nested graphs with the names that dissolving gives them."""
    for key, node in list(graph.nodes.items()):
        if isinstance(node, nir.NIRGraph):
            yield from neurons(node, f"{prefix}{key}.")
        elif isinstance(node, NEURONS):
            yield Place(prefix + key, graph, key, nested=bool(prefix))


def numbers(value: object) -> Array:
    """A parameter in float64."""
    return np.array(value, dtype=np.float64)


def steps_of(decay: Array) -> Array:
    """The time constant in steps whose forward Euler keeps ``decay`` (clipped to 0..1) of a state."""
    lost = 1.0 - np.clip(decay, 0.0, 1.0)
    return np.where(lost > 0, 1.0 / np.where(lost > 0, lost, 1.0), ENDLESS)
