"""What a module of a user's own, or the code that makes it, does not say itself; and whether code may run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_deploy.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Own:
    """Facts about a module, each stated or left to the module, its code and the data.

    Attributes:
        weights: ``.pt`` (a state dict) or ``.safetensors``.
        arguments: of the constructor.
        shape: of its input, without T and B; by default that of the data.
        timesteps: T; by default that of the data.
        classes: their names, in order; by default those of the data set.
        trust: the Python files that a run's recipe names may be run.
    """

    weights: Path | str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None
    timesteps: int | None = None
    classes: tuple[str, ...] = ()
    trust: bool = False

    def given(self) -> tuple[str, ...]:
        """Names of what is stated of a module."""
        values = {
            "weights": self.weights,
            "arguments": self.arguments,
            "shape": self.shape,
            "timesteps": self.timesteps,
            "classes": self.classes,
        }
        return tuple(name for name, value in values.items() if value)

    def require_nothing(self, source: Path) -> None:
        """Check that nothing is stated of ``source``, which is no module.

        Raises:
            ConfigError: something is.
        """
        if given := self.given():
            raise ConfigError(
                f"'{source}' says its {', '.join(given)} itself.", hint="These are for FILE.py:NAME."
            )


NOTHING_OWN = Own()
