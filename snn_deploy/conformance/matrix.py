"""One column of the matrix: all golden rows put to one reader.

Neurons come first; the other rows are asked with the carrier that the reader reads right, else with one that
it does not refuse. Habits that its neurons show are tried first where another row is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nir

from snn_deploy.conformance.changes import Change
from snn_deploy.conformance.golden import Golden
from snn_deploy.conformance.golden_structure import golden_set
from snn_deploy.conformance.judge import Verdict, judge
from snn_deploy.conformance.known import Reader
from snn_deploy.conformance.loops import Array
from snn_deploy.conformance.runner import Asked, Limits, answers

ORDER = ("right", "wrong", "refuses")


@dataclass(frozen=True, slots=True)
class Column:
    """What one reader makes of the golden set: its verdicts, and the versions that ran."""

    reader: str
    verdicts: tuple[Verdict, ...]
    versions: dict[str, str]
    remark: str = ""

    def count(self, mark: str) -> int:
        """How many rows have ``mark``."""
        return sum(verdict.mark == mark for verdict in self.verdicts)


def conform(
    reader: Reader,
    python: Path | None = None,
    *,
    rows: Sequence[Golden] | None = None,
    seconds: float = 60.0,
    memory: int = 4 << 30,
    report: Callable[[str], None] = lambda line: None,
) -> Column:
    """Put the golden set to ``reader``.

    Args:
        reader: see :func:`~snn_deploy.conformance.known.find_reader`.
        python: the interpreter of its environment; by default this one.
        rows: some of the golden set; by default all.
        seconds: for one row.
        memory: for the reader's process, bytes.
        report: is told what is going on.

    Raises:
        MissingOptionalError: the reader is not installed there.
    """
    asked = list(golden_set() if rows is None else rows)
    referee = _Referee(reader, python or Path(sys.executable), Limits(seconds, memory, reader.nir_version))
    report(f"{reader.name}: rows of one neuron or none")
    first = referee.ask([(row, "") for row in asked if not row.carriers])
    carried = [(row, _carrier(row, first)) for row in asked if row.carriers]
    report(f"{reader.name}: the others, with {', '.join(dict.fromkeys(carrier for _, carrier in carried))}")
    second = referee.ask(carried)
    found = {verdict.name: verdict for verdict in (*first, *second)}
    return Column(reader.name, tuple(found[row.name] for row in asked), referee.versions, reader.remark)


class _Referee:
    """Asks a reader and remembers what its neurons do."""

    def __init__(self, reader: Reader, python: Path, limits: Limits) -> None:
        self._reader, self._python, self._limits = reader, python, limits
        self._habits: tuple[Change, ...] = ()
        self.versions: dict[str, str] = {}

    def ask(self, rows: Sequence[tuple[Golden, str]]) -> list[Verdict]:
        """The verdicts on ``rows``, each with its carrier."""
        graphs = [(row, row.make(self._step(row), carrier), carrier) for row, carrier in rows]
        cases = [Asked(row.name, graph, row.x, self._step(row)) for row, graph, _ in graphs]
        if not cases:
            return []
        found, self.versions = answers(self._reader.script, self._python, cases, self._limits)
        return [self._verdict(row, graph, found[row.name], carrier) for row, graph, carrier in graphs]

    def _step(self, row: Golden) -> float:
        return self._reader.step if row.step is None else row.step

    def _verdict(self, row: Golden, graph: nir.NIRGraph, answer: Array | str, carrier: str) -> Verdict:
        verdict, habits = judge(row, graph, self._step(row), answer, self._habits)
        self._habits += tuple(habit for habit in habits if habit not in self._habits)
        return replace(verdict, carrier=carrier)


def _carrier(row: Golden, verdicts: Sequence[Verdict]) -> str:
    """The first carrier of ``row`` that is read right; else the first not refused; else the first."""
    marks = {verdict.name: verdict.mark for verdict in verdicts}
    return min(row.carriers, key=lambda name: ORDER.index(marks.get(name, "refuses")))
