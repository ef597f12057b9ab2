"""What one sample of a recorded run takes in memory: the basis of how many go at once."""

from __future__ import annotations

from math import prod

from snn_deploy.graph.plan import observed_layers
from snn_deploy.graph.types import Plan

FLOAT = 4
"""Bytes of an activity as backends return it."""


def recorded_elements(plan: Plan) -> int:
    """Elements per sample and step of what a recorded run keeps: input, neurons and output."""
    kept = {plan.input, plan.output, *observed_layers(plan)}
    return sum(prod(plan.shapes[name]) for name in kept)


def trace_bytes(plan: Plan, timesteps: int, *, itemsize: int = FLOAT) -> int:
    """Bytes that the trace of one sample takes, ``T x elements x itemsize``."""
    return timesteps * recorded_elements(plan) * itemsize


def block_bytes(plan: Plan) -> int:
    """Bytes that a step of one sample takes while all nodes are recorded: what each gives, and its input."""
    return 2 * FLOAT * sum(prod(plan.shapes[name]) for name in plan.order)
