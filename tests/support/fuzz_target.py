"""What a fuzzed format is."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from snn_deploy.core.errors import DataError, SnnDeployError, UnsupportedError
from support.mutation import Mutation


@dataclass(frozen=True)
class Target:
    """A format: its valid files, how they are damaged, who reads them, and the errors that refuse them.

    At least ``refused`` of all damaged files are no valid ones.
    """

    suffix: str
    seeds: Callable[[], list[bytes]]
    mutations: tuple[Mutation, ...]
    run: Callable[[Path], None]
    refusals: tuple[type[SnnDeployError], ...] = (DataError, UnsupportedError)
    refused: float = 0.5

    def case(self, number: int) -> bytes:
        """The damaged file of this number; always the same."""
        rng = random.Random(f"{self.suffix} {number}")
        return rng.choice(self.mutations)(rng.choice(self.seeds()), rng)
