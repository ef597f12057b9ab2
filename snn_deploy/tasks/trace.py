"""Write the trace of a network in its own framework, from the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from snn_deploy.core.errors import ConfigError
from snn_deploy.data.sets.splits import spread
from snn_deploy.data.types import DataSet
from snn_deploy.graph.readers.record_trace import record_trace
from snn_deploy.models.own import put_weights
from snn_deploy.recipes.own_code import OwnCode
from snn_deploy.tasks.data_options import chosen_data
from snn_deploy.tasks.open_module import build_module, with_data
from snn_deploy.tasks.own import Own
from snn_deploy.tasks.samples import read_samples

RATE = 0.25
"""Share of ones in an input that nobody stated; our choice."""


def write_trace(
    source: Path, out: Path, *, own: Own, data: DataSet | str | None = None, samples: int = 4, seed: int = 0
) -> Path:
    """Run ``FILE.py:NAME`` as its framework does and write what its neurons gave; returns the file.

    Args:
        source: the network, as it was exported to NIR.
        out: the trace, ``.npz``.
        own: its arguments and weights, and what the data do not say: shape and steps.
        data: what it is shown; None for random spikes.
        samples: how many.
        seed: of random spikes.

    Raises:
        ConfigError: no neurons of a known framework; the shape or number of steps is not known; ``out``
            exists.
        DataError: files that are missing or damaged.
    """
    if out.exists():
        raise ConfigError(f"'{out}' exists; it is not overwritten.")
    code = OwnCode.of(source)
    facts, labels = with_data(own, data)
    x = _input(code.name, facts, data, samples, seed)
    module = build_module(code, replace(facts, shape=tuple(x.shape[2:]), timesteps=len(x)), labels)
    if own.weights is not None:
        put_weights(module, Path(own.weights))
    return record_trace(module.eval(), x, out)


def _input(name: str, facts: Own, data: DataSet | str | None, samples: int, seed: int) -> torch.Tensor:
    if isinstance(data, str) and data.endswith(".npz"):
        return read_samples(Path(data), "mean", samples, 0).test.x
    if data is not None:
        dataset = data if isinstance(data, DataSet) else chosen_data(None, data, facts.timesteps, ())[0]
        return dataset.test.batch(spread(len(dataset.test), samples)).float()
    if facts.shape is None or facts.timesteps is None:
        raise ConfigError(
            f"The shape of the input of '{name}' and its steps are not known.",
            hint="State them, --shape 2x34x34 --timesteps 8, or name data: --data test.npz",
        )
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand((facts.timesteps, samples, *facts.shape), generator=generator) < RATE).float()
