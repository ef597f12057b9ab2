"""What every population fires on calibration samples, recorded in parts that fit the memory."""

from __future__ import annotations

from math import prod

import nir
import torch

from snn_deploy.core.chunks import in_chunks, samples_at_once
from snn_deploy.graph.plan import observed_layers
from snn_deploy.simulate.footprint import trace_bytes
from snn_deploy.simulate.reference import Reference

KEPT_ELEMENTS = 1 << 25
"""Elements of a population that are kept (our choice)."""
FEWEST_FRAMES = 96
"""That are kept even where this takes more elements."""


def recorded_spikes(graph: nir.NIRGraph, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Spikes of every population of ``graph`` on ``x [T, B, *shape]``, as bits ``[T, b, *shape]``: on the
    first b of the samples, all of them unless the population is large."""
    reference = Reference(graph)
    plan, steps = reference.plan, len(x)
    fewest = -(-FEWEST_FRAMES // steps)
    kept = {
        name: max(fewest, KEPT_ELEMENTS // (steps * prod(plan.shapes[name])))
        for name in observed_layers(plan)
    }

    def part(chosen: slice) -> dict[str, torch.Tensor]:
        records = reference.run(x[:, chosen], record=True).records
        return {name: records[name][:, : max(0, kept[name] - chosen.start)].bool() for name in kept}

    at_once = samples_at_once(2 * trace_bytes(plan, steps))
    parts = [found for _, found in in_chunks(x.shape[1], at_once, part)]
    return {name: torch.cat([found[name] for found in parts], 1) for name in kept}
