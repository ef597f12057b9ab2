"""What has a form in micro-steps, and what has none."""

from __future__ import annotations

from collections.abc import Iterator

import nir
import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.dynamics import Membrane, discretise
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.types import INTEGRATOR_NODES, SPIKING_NODES, Plan

NO_LEAK = "membranes change by whole numbers alone: a leak would act in every micro-step"


def problems_of(plan: Plan, semantics: Semantics) -> Iterator[Problem]:
    """Why a network of whole numbers has no binary form in micro-steps, all at once."""
    if semantics.spikes != "rounded" or semantics.fires_at != ">=":
        what = f"neurons give {semantics.spikes} spikes per step, at {semantics.fires_at}"
        yield Problem("neurons", what, "whole numbers, halves up", try_instead="neuron: {kind: ilif, ...}")
    if semantics.timesteps is None:
        yield Problem("graph", "states no number of steps", "T is known", try_instead="--timesteps")
    if semantics.decode != "mean":
        yield Problem("graph", "is read at its last step", "scores are means over steps")
    if semantics.v_min is not None:
        yield Problem("neurons", f"membranes from {semantics.v_min:g}", "no lower bound")
    for name in plan.order:
        node = plan.node(name)
        if name in plan.feedback or isinstance(node, nir.Delay):
            yield Problem(name, "sees what was before", "spikes of the same step", try_instead="no loops")
        elif isinstance(node, INTEGRATOR_NODES):
            way = "readout: linear"
            yield Problem(name, f"an integrator ({type(node).__name__})", NO_LEAK, try_instead=way)
        elif isinstance(node, SPIKING_NODES):
            yield from _neuron_problems(name, node, semantics)


def _neuron_problems(name: str, node: nir.NIRNode, semantics: Semantics) -> Iterator[Problem]:
    if not isinstance(node, nir.IF):
        yield Problem(name, f"neurons of kind {type(node).__name__}", NO_LEAK, try_instead="tau: null")
        return
    neuron = discretise(node, semantics)
    assert neuron.fire is not None and isinstance(neuron.charge, Membrane)
    if neuron.fire.reset != "subtract":
        yield Problem(name, f"reset {neuron.fire.reset}", "subtract", try_instead="v_reset: null")
    if neuron.charge.gain is not None:
        gain = float(np.max(neuron.charge.gain))
        yield Problem(name, f"takes its input times {gain:g}", "a gain of 1", try_instead="r = 1 / dt")
