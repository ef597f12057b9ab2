"""What a check found: a limit broken, a limit that is not known, or something the chip would change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snn_deploy.core.errors import Problem

State = Literal["violated", "unknown", "changed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding.

    Attributes:
        state: ``violated`` (the network does not fit), ``unknown`` (nobody can tell), ``changed`` (the chip
            computes with something rounded or missing; no reason not to fit).
        rule: name of the limit or structural rule.
        where: node, or ``network``.
        found: the offending number, in words.
        limit: what the chip allows, in words.
        sentence: the rule as a sentence.
        source: where the limit stands, with its grade.
        try_instead: what to change in the network.
    """

    state: State
    rule: str
    where: str
    found: str
    limit: str = ""
    sentence: str = ""
    source: str = ""
    try_instead: str = ""

    def problem(self) -> Problem:
        """The same as an entry of an error's table."""
        return Problem(self.where, self.found, self.sentence, self.source, self.try_instead)


def cited(citation: object, grade: str | None) -> str:
    """A source with its grade, as shown to people."""
    return f"{citation} (grade {grade})" if citation else ""
