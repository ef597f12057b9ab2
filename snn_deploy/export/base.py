"""What a format writer is given and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import nir
import torch

from snn_deploy.core.errors import Problem
from snn_deploy.graph.trained_form import read_trained_form

ALLOWABLE = {
    "early-bias": "write a bias that a reader adds before the layer's first input arrives",
    "unreachable": "leave out nodes of a NIR file that no input reaches or that reach no output",
    "reset-in-metadata": "write a reset that the format or its reader knows only from our metadata",
}
"""What ``--allow`` takes: rules that may be broken by name; each use is written in the manifest."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Real samples for writers that quantise or check ranges: ``x [T, B, *shape]``, labels ``[B]``."""

    x: torch.Tensor
    labels: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One proof of a written file: the file of ``role`` run by ``backend`` against ``reference``.

    ``reference`` is ``"network"`` (what was exported: the student, or the graph), ``"student"`` (the same in
    the arithmetic of the chip that it was trained for; where there is none, nothing is checked), or another
    backend's name.
    An ``exact`` check demands equal spikes; the others report drift and judge by accuracy.
    """

    role: str
    backend: str
    reference: str = "network"
    exact: bool = True


def student_check(graph: nir.NIRGraph, role: str, backend: str, *, exact: bool) -> tuple[Check, ...]:
    """The check against the student in the arithmetic of the chip; none for one trained in real numbers."""
    if read_trained_form(graph) is None:
        return ()
    return (Check(role, backend, reference="student", exact=exact),)


@dataclass(frozen=True, slots=True)
class Written:
    """What a writer wrote.

    Attributes:
        files: role to path relative to the bundle, e.g. ``{"step": "model.step.onnx"}``.
        checks: the proofs to run on the files.
        passes: passes applied, in order, each with its parameters, for the manifest.
        approximations: everything that is not exact, one sentence each.
        tables: further tables for the manifest (e.g. quantisation error per layer).
        lowered: the graph that the file holds, after lowering; None when it is the hub graph itself.
    """

    files: dict[str, str]
    checks: tuple[Check, ...]
    passes: tuple[dict[str, Any], ...] = ()
    approximations: tuple[str, ...] = ()
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lowered: nir.NIRGraph | None = None


class Writer(Protocol):
    """A format. ``check`` returns every reason why ``graph`` cannot be written, without writing."""

    def check(self, graph: nir.NIRGraph) -> list[Problem]: ...

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write ``graph`` into ``folder``.

        Raises:
            UnsupportedError: with all problems of :meth:`check`.
        """
