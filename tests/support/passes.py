"""Graphs through the pipelines of the NIR writer, with what stands in the way."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import nir

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.export.pipelines import PORTABLE, for_reader
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.types import Plan


@dataclass(slots=True)
class Flavour:
    """A graph for one reader and the passes that made it, or what the reader cannot do."""

    graph: nir.NIRGraph | None
    passes: tuple[dict[str, Any], ...] = ()
    problems: list[Problem] = field(default_factory=list)


def flavour(plan: Plan, reader: str, allow: Collection[str] = ()) -> Flavour:
    """The graph of ``plan`` as ``reader`` must find it."""
    try:
        made = Stage.of(plan.graph).through(*for_reader(reader, allow))
    except UnsupportedError as error:
        return Flavour(None, problems=list(error.problems))
    return Flavour(made.subject, made.passes)


def portable(plan: Plan) -> tuple[nir.NIRGraph, tuple[dict[str, Any], ...]]:
    """The portable form of a graph, and its passes."""
    made = Stage.of(plan.graph).through(*PORTABLE)
    return made.subject, made.passes
