"""The format ``nir``: one portable NIR file, with the discrete-time semantics in its metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np

from snn_deploy.errors import Problem, UnsupportedError
from snn_deploy.export.base import Calibration, Check, Written
from snn_deploy.export.foreign import readers
from snn_deploy.graph.io import name_problems, write_nir
from snn_deploy.graph.passes.portable import portable
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.registry import FORMATS, Options

FILE = "model.nir"


class NirWriter:
    """Writes the portable form of a graph; see :mod:`snn_deploy.graph.passes.portable`."""

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Node names that HDF5 cannot store."""
        return name_problems(make_plan(graph).order)

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write ``model.nir``; it is proven by the reference simulator and by one foreign reader."""
        if problems := self.check(graph):
            raise UnsupportedError("The graph cannot be written as NIR.", problems=problems)
        plan = make_plan(graph)
        lowered, passes = portable(plan)
        write_nir(lowered, folder / FILE)
        foreign = tuple(Check("model", reader, exact=False) for reader in readers(make_plan(lowered))[:1])
        return Written(
            files={"model": FILE},
            checks=(Check("model", "reference"), *foreign),
            passes=tuple(passes),
            approximations=tuple(_stated_aside(plan, read_semantics(graph))),
            lowered=lowered,
        )


def _stated_aside(plan: Plan, semantics: Semantics) -> list[str]:
    """What other readers cannot know, because NIR has no field for it."""
    notes = []
    if semantics.reset == "subtract":
        notes.append(
            "NIR resets to v_reset; that this network subtracts the threshold is in the metadata only."
        )
    if semantics.integrator == "exponential":
        notes.append(
            "NIR states no integrator; that this network decays exponentially is in the metadata only."
        )
    if any(np.any(getattr(plan.node(name), "v_reset", 0.0)) for name in plan.order):
        notes.append(
            "NIR states no start value; neurons of this network start at v_reset, which is not zero."
        )
    return notes


@FORMATS.register("nir", summary="portable NIR file (HDF5)")
def writer(_options: Options) -> Any:
    """The writer of the format ``nir``."""
    return NirWriter()
