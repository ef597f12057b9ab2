"""One exception family. Each class owns its exit code; each instance can carry a table of problems.

A message says what happened and where; a :class:`Problem` adds the rule that was broken, the number
that broke it, where the rule comes from and what to try. All problems of one kind are raised together.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

EXIT_OK = 0
MANY_NAMES = 12
NEAREST = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault: ``where`` (a dotted path or node name), ``what`` is wrong, the ``rule`` it breaks,
    the rule's ``source``, and what to ``try_instead``."""

    where: str
    what: str
    rule: str = ""
    source: str = ""
    try_instead: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.what}"]
        if self.rule:
            parts.append(f"rule: {self.rule}" + (f" [{self.source}]" if self.source else ""))
        if self.try_instead:
            parts.append(f"try: {self.try_instead}")
        return "; ".join(parts)


class SnnDeployError(Exception):
    """Base of every error the package raises on purpose. ``exit_code`` is what a command returns. ``alone``:
    of several processes that work together, perhaps only this one knows of it."""

    exit_code = 1
    alone = False

    def __init__(self, message: str, *, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)
        super().__init__(message)

    def __str__(self) -> str:
        lines = [self.message, *(f"  - {problem}" for problem in self.problems)]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join(lines)


class ConfigError(SnnDeployError):
    """A command, recipe or option is wrong (exit 2)."""

    exit_code = 2


class UnsupportedError(SnnDeployError):
    """The target or format cannot express the network (exit 3)."""

    exit_code = 3


class ParityError(SnnDeployError):
    """An exported file does not compute what the student computes (exit 4)."""

    exit_code = 4


class RegressionError(SnnDeployError):
    """A figure is worse than the report it was compared with allows (exit 4)."""

    exit_code = 4


class FitError(SnnDeployError):
    """The network does not fit the chip (exit 5)."""

    exit_code = 5


class MissingOptionalError(SnnDeployError):
    """An optional part (a package or the Lava environment) is not installed (exit 6)."""

    exit_code = 6


class DataError(SnnDeployError):
    """A data set, checkpoint or model file is missing or damaged (exit 7)."""

    exit_code = 7


class DivergedError(SnnDeployError):
    """Training produced a loss that is not finite (exit 8)."""

    exit_code = 8


class OutOfMemoryError(SnnDeployError):
    """Memory does not suffice for the smallest piece of the work (exit 9)."""

    exit_code = 9
    alone = True


class InterruptedRunError(SnnDeployError):
    """The run was interrupted and can be resumed (exit 75)."""

    exit_code = 75


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``' Did you mean 'x'?'`` for a near miss of ``name`` among ``known``, else an empty string."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean '{matches[0]}'?" if matches else ""


def known_names(name: str, known: Iterable[str], everything: str = "") -> str:
    """A hint that lists what is known: all of it, or of more than twelve names the five nearest to ``name``
    and the command that lists ``everything``."""
    names = list(known)
    if len(names) <= MANY_NAMES:
        return f"Known: {', '.join(names)}"
    nearest = difflib.get_close_matches(name, names, n=NEAREST, cutoff=0.0)
    rest = f"; all {len(names)}: {everything}" if everything else f", and {len(names) - NEAREST} more"
    return f"Nearest: {', '.join(nearest)}{rest}"
