"""The data set ``part``: few training samples of another set for a student, more for its teacher.

With all samples our small sets are easy: students reach their teachers and methods cannot differ. So a
student gets ``train`` samples, its teacher ``more`` besides, and what is left of the training samples is
tested on as well. It is a split of our own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field

from snn_deploy.core.errors import ConfigError
from snn_deploy.core.registry import DATASETS, Options
from snn_deploy.data.sets.splits import stratified_split
from snn_deploy.data.types import DataSet, Split
from snn_deploy.recipes.recipe import Component


class PartOptions(Options):
    """The data set ``of`` (a ``data`` section); samples are spread evenly over its classes. ``whose``
    training samples these are: the student's, or the teacher's, who has the student's too."""

    of: dict[str, Any]
    train: int = Field(ge=1)
    more: int = Field(ge=0)
    whose: Literal["student", "teacher"] = "student"


@dataclass(frozen=True, slots=True)
class Rows:
    """The samples ``rows`` of several splits one after the other. Implements ``Split``."""

    parts: tuple[Split, ...]
    rows: torch.Tensor

    @property
    def labels(self) -> torch.Tensor:
        return torch.cat([part.labels for part in self.parts])[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, indices: torch.Tensor) -> torch.Tensor:
        """Inputs of the samples ``indices``: float32 ``[T, B, C, H, W]``."""
        rows = self.rows[indices]
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        start = 0
        for part in self.parts:
            mine = ((rows >= start) & (rows < start + len(part))).nonzero()[:, 0]
            if len(mine):
                found.append((mine, part.batch(rows[mine] - start)))
            start += len(part)
        places, inputs = zip(*found, strict=True)
        return torch.cat(inputs, 1)[:, torch.cat(places).argsort()]


@DATASETS.register("part", options=PartOptions)
def part(options: PartOptions, *, timesteps: int, cache: Path | None = None) -> DataSet:
    """Few training samples of another set; those it spares are tested on.

    Raises:
        ConfigError: the set does not have so many.
    """
    of = Component.model_validate(options.of)
    whole: DataSet = DATASETS.get(of.name).factory(of.resolve(DATASETS), timesteps=timesteps, cache=cache)
    count = len(whole.train)
    spare = count - options.train - options.more
    if spare < 0:
        raise ConfigError(f"'{of.name}' has {count} training samples; {count - spare} are asked for.")
    shares = (options.train, options.more, spare)
    kept, added, spared = stratified_split(whole.train.labels.numpy(), shares)
    teacher = options.whose == "teacher"
    train = torch.from_numpy(np.concatenate([kept, added]) if teacher else kept)
    test = torch.cat([torch.from_numpy(spared), torch.arange(count, count + len(whole.test))])
    content = f"part {whole.digest} {shares} {options.whose}".encode()
    return replace(
        whole,
        name=f"{whole.name}, a part",
        train=Rows((whole.train,), train),
        test=Rows((whole.train, whole.test), test),
        source=None if whole.source is None else Rows((whole.source,), train),
        digest=hashlib.sha256(content).hexdigest(),
        notes=(
            *whole.notes,
            f"Our own split of the training samples: {len(kept)} train the student, these and {len(added)} "
            f"more its teacher, the other {len(spared)} are tested on as well.",
        ),
    )
