"""The format ``nir``: one NIR file, portable or for one reader, with the discrete-time semantics inside."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np

from snn_deploy.core.errors import ConfigError, Problem, UnsupportedError, did_you_mean
from snn_deploy.core.registry import FORMATS
from snn_deploy.export.base import Calibration, Check, Written, student_check
from snn_deploy.export.foreign import is_installed, readers
from snn_deploy.export.options import NirOptions
from snn_deploy.export.pipelines import PORTABLE, for_reader
from snn_deploy.graph.dynamics import Fire, discretise
from snn_deploy.graph.passes.for_readers.consumers import CONSUMERS
from snn_deploy.graph.passes.for_readers.encoding import PortableEncoding
from snn_deploy.graph.passes.for_readers.for_reader import type_check
from snn_deploy.graph.passes.for_readers.plain_convs import is_plain
from snn_deploy.graph.passes.for_readers.rules import early_biases
from snn_deploy.graph.passes.protocol import Stage
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import COMPATIBLE, name_problems, reset_problems, write_nir
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.trained_form import real_numbers_note
from snn_deploy.graph.types import SPIKING_NODES, Plan

FILE = "model.nir"
RESET_RULE = "reset-in-metadata"
RESETS: dict[str, str] = {"zero": "resets to v_reset", "subtract": "subtracts the threshold"}
"""What a spike does, for texts."""


def fire_words(fire: Fire) -> str:
    """What the neurons of a layer do at a spike."""
    does = {"zero": "reset to a value", "subtract": "subtract the threshold"}
    return f"its neurons {does[fire.reset] if fire.plain else f'reset so: {fire.words}'}"


def write_hub(plan: Plan, path: Path) -> bool:
    """Write the graph itself, as it is in memory, so that a bundle without a portable NIR file can be opened;
    False where a node's name cannot be stored."""
    if name_problems(plan.order):
        return False
    write_nir(PortableEncoding()(plan.graph), path)
    return True


class NirWriter:
    """Writes the portable form of a graph, or the form that one reader executes exactly
    (:mod:`snn_deploy.export.pipelines`).

    Raises:
        ConfigError: no such reader or version.
    """

    def __init__(self, options: NirOptions | None = None) -> None:
        self._options = options or NirOptions()
        reader, version = self._options.reader, self._options.nir_version
        if reader is not None and reader not in CONSUMERS:
            raise ConfigError(
                f"There is no NIR flavour for '{reader}'.{did_you_mean(reader, CONSUMERS)}",
                hint=f"Known: {', '.join(CONSUMERS)}",
            )
        if version not in COMPATIBLE:
            raise ConfigError(
                f"NIR files cannot be written for version '{version}'.",
                hint=f"Known: {', '.join(COMPATIBLE)}",
            )

    @property
    def _version(self) -> str:
        """The oldest NIR library that must read the file."""
        old = self._options.reader is not None and not CONSUMERS[self._options.reader].typed
        return "1.0.4" if old else self._options.nir_version

    def check(self, graph: nir.NIRGraph) -> list[Problem]:
        """Names that HDF5 cannot store, a reset that NIR cannot say, and what the reader cannot do."""
        plan = make_plan(graph)
        problems = name_problems(plan.order) + self._reset_problems(plan)
        nodes: Mapping[str, nir.NIRNode] = plan.graph.nodes
        if self._options.reader is not None:
            try:
                nodes = self._stage(plan).subject.nodes
            except UnsupportedError as error:
                problems += error.problems
                nodes = {}
        return problems + (reset_problems(nodes, self._version) if self._version != COMPATIBLE[0] else [])

    def write(self, graph: nir.NIRGraph, folder: Path, calibration: Calibration) -> Written:
        """Write ``model.nir``; it is proven by the reference simulator and by one foreign reader."""
        if problems := self.check(graph):
            raise UnsupportedError("The graph cannot be written as NIR.", problems=problems)
        plan = make_plan(graph)
        stage = self._stage(plan)
        lowered = stage.subject
        write_nir(copy.deepcopy(lowered), folder / FILE, self._version)  # the proof needs ours untouched
        return Written(
            files={"model": FILE},
            checks=(
                Check("model", "reference"),
                *student_check(graph, "model", "reference", exact=False),
                *self._foreign_checks(lowered),
            ),
            passes=stage.passes,
            approximations=(*self._stated_aside(plan, lowered), *real_numbers_note(graph)),
            lowered=lowered,
        )

    def _stage(self, plan: Plan) -> Stage[nir.NIRGraph]:
        reader, allow = self._options.reader, self._options.allow
        return Stage.of(plan.graph).through(*(for_reader(reader, allow) if reader else PORTABLE))

    def _foreign_checks(self, lowered: nir.NIRGraph) -> tuple[Check, ...]:
        """By the best reader that is installed; without any, the best one says that it is not."""
        able = readers(make_plan(lowered))
        if self._options.reader is not None:
            able = tuple(name for name in able if name == self._options.reader)
        judges = tuple(name for name in able if is_installed(name)) or able
        return tuple(Check("model", name, exact=False) for name in judges[:1])

    def _resets(self) -> tuple[str, ...]:
        """The kinds of reset that readers of the file do: NIR's text knows one."""
        return CONSUMERS[self._options.reader].resets if self._options.reader else ("zero",)

    def _other_fires(self, plan: Plan) -> dict[str, Fire]:
        """How neurons fire that readers of the file let fire otherwise, by the names of the neurons."""
        semantics = read_semantics(plan.graph)
        names: dict[str, list[str]] = {}
        fires: dict[str, Fire] = {}
        for name in plan.of_type(nir.IF, nir.LIF, nir.CubaLIF):
            fire = discretise(plan.node(name), semantics).fire
            assert fire is not None
            if not fire.plain or fire.reset not in self._resets():
                names.setdefault(fire.words, []).append(name)
                fires[fire.words] = fire
        alike = len(plan.of_type(nir.IF, nir.LIF, nir.CubaLIF))
        return {
            "graph" if len(found) == alike else ", ".join(found): fires[words]
            for words, found in names.items()
        }

    def _reset_problems(self, plan: Plan) -> list[Problem]:
        allowed = RESET_RULE in self._options.allow
        who = CONSUMERS[self._options.reader].title if self._options.reader else "NIR"
        does = RESETS[self._resets()[0]]
        return [
            Problem(
                where,
                fire_words(fire),
                rule=f"{who} {does} and has no field for another reset",
                try_instead=f"--allow {RESET_RULE}: readers that ignore our metadata reset in their own way"
                if fire.plain or self._options.reader is None
                else "the portable form",
            )
            for where, fire in self._other_fires(plan).items()
            if not allowed or not (fire.plain or self._options.reader is None)
        ]

    def _stated_aside(self, plan: Plan, lowered: nir.NIRGraph) -> list[str]:
        """What readers of the file cannot know, because NIR has no field for it, or must be told."""
        semantics, reader = read_semantics(plan.graph), self._options.reader
        notes = []
        for where, fire in self._other_fires(plan).items():
            who = "this network" if where == "graph" else where
            does = RESETS[fire.reset] if fire.plain else f"resets so: {fire.words},"
            notes.append(f"That {who} {does} is in the metadata only; its readers reset in their own way.")
        if reader is not None:
            return notes + _reader_notes(plan, reader)
        if semantics.integrator == "exponential":
            notes.append(
                "NIR states no integrator; that this network decays exponentially is in the metadata only."
            )
        if semantics.start == "zero" and not _start_at_reset(plan):
            notes.append(
                "NIR states no start value; that neurons of this network start at 0, not at v_reset, is in "
                "the metadata only."
            )
        elif any(np.any(getattr(plan.node(name), "v_reset", 0.0)) for name in plan.order):
            notes.append(
                "NIR states no start value; neurons of this network start at v_reset, which is not zero."
            )
        odd = [n for n in plan.of_type(nir.Conv1d, nir.Conv2d) if not is_plain(plan.node(n))]
        if odd and type_check(lowered):
            notes.append(
                f"NIR 1.0.8's own type check is wrong for grouped and non-square convolutions and refuses "
                f"{', '.join(odd)}: read with type_check=False, or write with --for NAME."
            )
        return notes


def _start_at_reset(plan: Plan) -> bool:
    semantics = read_semantics(plan.graph)
    neurons = plan.of_type(nir.IF, nir.LIF, nir.CubaLIF)
    return all(discretise(plan.node(name), semantics).starts_at_reset for name in neurons)


def _reader_notes(plan: Plan, name: str) -> list[str]:
    reader = CONSUMERS[name]
    notes = list(reader.setup)
    if len(reader.resets) > 1 and plan.of_type(*SPIKING_NODES):
        notes.append(f"Set the reset of {reader.title} to '{read_semantics(plan.graph).reset}'.")
    if reader.late:
        if early := early_biases(plan, plan.graph.nodes):
            where = ", ".join(problem.where for problem in early)
            notes.append(f"{reader.title} adds the biases of {where} before their first input arrives.")
        layers = len(plan.of_type(*SPIKING_NODES))
        notes.append(f"{reader.title} fires a step late in each of {layers} layers: run {layers} steps more.")
    return notes


@FORMATS.register("nir")
def writer(options: NirOptions) -> Any:
    """The writer of the format ``nir``."""
    return NirWriter(options)
