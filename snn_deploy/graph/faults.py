"""Collect the problems of a graph before raising them together."""

from __future__ import annotations

from dataclasses import dataclass, field

from snn_deploy.core.errors import DataError, Problem, UnsupportedError


@dataclass(slots=True)
class Faults:
    """Problems of one graph. Damage (exit 7) outranks what is merely not supported (exit 3)."""

    damage: list[Problem] = field(default_factory=list)
    unsupported: list[Problem] = field(default_factory=list)

    def raise_if_any(self) -> None:
        """Raise all problems found so far in one error.

        Raises:
            DataError: at least one is damage.
            UnsupportedError: the graph is sound, but cannot be executed.
        """
        if self.damage:
            raise DataError("The graph is damaged.", problems=[*self.damage, *self.unsupported])
        if self.unsupported:
            raise UnsupportedError("The graph cannot be executed.", problems=self.unsupported)
