"""A network that a command was pointed at, opened."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import UnsupportedError
from snn_deploy.core.places import Kind
from snn_deploy.export.parity import Parity
from snn_deploy.graph.pace import slow_warnings, step_warnings
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.types import Plan
from snn_deploy.recipes.recipe import Component, Recipe
from snn_deploy.simulate.base import Executable


@dataclass(frozen=True, slots=True)
class Source:
    """An opened network.

    Attributes:
        name: for titles and file names.
        kind: what it was opened from.
        path: where from.
        plan: the hub graph, ready to execute; only input and output where a ``.net`` file has none.
        executable: what judges: the student itself for a run, the module itself, our fixed-point simulator
            for a ``.net`` file, else the reference simulator.
        student: of a run that was trained under a chip's rules: the student in the chip's arithmetic. Then
            the plan, and ``executable``, are the same network in real numbers.
        recipe: the recipe of a run, and of a bundle made from one.
        shown: the data set that a converted network was measured on, where it is one by name.
        provenance: goes into manifests and reports.
        manifest: of a bundle.
        refusal: why a ``.net`` file has no graph.
        extra: what lies in the folder of a bundle and is not part of it.
    """

    name: str
    kind: Kind
    path: Path
    plan: Plan
    executable: Executable
    student: Executable | None = None
    recipe: Recipe | None = None
    shown: Component | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    manifest: dict[str, Any] | None = None
    refusal: UnsupportedError | None = None
    extra: tuple[str, ...] = ()
    proof: Parity | None = None

    @property
    def still(self) -> bool:
        """Whether the network was converted from an ANN: it sees one image in every step."""
        return "certificate" in self.provenance

    @property
    def semantics(self) -> Semantics:
        """Discrete-time semantics of the hub graph."""
        return read_semantics(self.plan.graph)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What a NIR file left open and how it is taken, and what is no part of a bundle; a sentence each."""
        found = tuple(self.provenance.get("assumed", ()))
        found += tuple(filter(None, [self.provenance.get("reading")]))
        if self.extra:
            found += (f"In the folder '{self.path}', but not part of the bundle: {', '.join(self.extra)}.",)
        semantics = self.semantics
        found += tuple(step_warnings(self.plan, semantics))
        if not semantics.assumed:
            return found
        taken = ", ".join(f"{name} = {getattr(semantics, name)}" for name in semantics.assumed)
        default = f"The NIR file does not state its discrete-time semantics; assumed by default: {taken}."
        return (*found, default)

    def warnings(self, steps: int) -> tuple[str, ...]:
        """What makes a run of ``steps`` steps doubtful, a sentence each."""
        return tuple(slow_warnings(self.plan, self.semantics, steps))
