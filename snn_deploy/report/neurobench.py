"""Counts under NeuroBench's keys: what its benchmark would print for the same network and inputs.

NeuroBench decides between accumulates and multiply-accumulates call by call; here an edge is one or the other
for the whole run, which is the same where all steps are one call. The sum of both is the same in any case.
"""

from __future__ import annotations

import json

import numpy as np

from snn_deploy.energy.counts import Counts
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.report.blocks import NeuroBench, SynapticOperations
from snn_deploy.report.model import ReportData


def neurobench(counts: Counts, plan: Plan, accuracy: float | None) -> NeuroBench:
    """The metrics of a run of ``plan``."""
    effective = {True: 0, False: 0}
    for edge in counts.edges:
        unary = edge.edge_class in {"binary", "signed unary"} and edge.quantum in {1.0, None}
        effective[unary] += int(edge.sites_nonzero.sum())
    spiking = [neurons for neurons in counts.neurons if neurons.spiking]
    updates = sum(neurons.size for neurons in spiking) * counts.timesteps * counts.samples
    weights = [np.asarray(plan.node(name).weight) for name in plan.of_type(*WEIGHT_NODES)]
    size = sum(weight.size for weight in weights)
    return NeuroBench(
        SynapticOperations=SynapticOperations(
            Effective_MACs=effective[False] / counts.samples,
            Effective_ACs=effective[True] / counts.samples,
            Dense=float(counts.connections * counts.timesteps),
        ),
        ActivationSparsity=1.0 - int(counts.spikes().sum()) / updates if updates else 0.0,
        ConnectionSparsity=round(1 - sum(np.count_nonzero(w) for w in weights) / size, 4) if size else 0.0,
        ClassificationAccuracy=accuracy,
    )


def neurobench_json(data: ReportData) -> str:
    """The block alone, as NeuroBench saves its results."""
    content = data.neurobench.model_dump(exclude_none=True) if data.neurobench is not None else {}
    return json.dumps(content, indent=4) + "\n"
