"""The journal of a graph: which pass made which node, from which nodes as their author called them.

A graph that a reader has already passed through (a traced module, whose batch norms are folded) carries its
journal in its metadata; files do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nir

KEY = "snn_deploy_journal"

Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What one pass did.

    Attributes:
        name: of the pass.
        options: its fields, as far as JSON has them.
        facts: what it found out on the way, for the manifest.
        made: the nodes that are new or differ, each with the author's nodes that it comes from.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Names] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """As the manifest has it; empty parts are left out."""
        made = {name: list(origins) for name, origins in self.made.items()}
        parts = {"options": dict(self.options), "made": made}
        return {"pass": self.name, **self.facts, **{key: part for key, part in parts.items() if part}}


def write_journal(graph: nir.NIRGraph, journal: tuple[Entry, ...]) -> None:
    """Keep ``journal`` in the metadata of ``graph`` (in place)."""
    if journal:
        graph.metadata[KEY] = json.dumps(
            [[entry.name, dict(entry.options), dict(entry.facts), dict(entry.made)] for entry in journal]
        )


def read_journal(graph: nir.NIRGraph) -> tuple[Entry, ...]:
    """The journal that ``graph`` carries, empty without any."""
    content = json.loads(graph.metadata.get(KEY, "[]"))
    return tuple(
        Entry(name, options, facts, {made: tuple(origins) for made, origins in by.items()})
        for name, options, facts, by in content
    )
