"""The input contract of a network that is exported, with what its samples show."""

from __future__ import annotations

import torch

from snn_deploy.core.contract import Contract, EventFrames, ImageSteps, Values, make_contract, seen_values

SLACK = 1e-4
"""Rounding of a normalised pixel, generously."""


def contract_of(x: torch.Tensor, made: EventFrames | ImageSteps | None, *, trained: bool) -> Contract:
    """The contract of frames as in ``x [T, B, *shape]`` that are ``made`` so."""
    steps, _, *shape = x.shape
    return make_contract(tuple(shape), steps, made, values_in(x), trained=trained)


def values_in(x: torch.Tensor) -> Values:
    """What the entries of ``x`` are."""
    whole = all(bool((step == step.round()).all()) for step in x)  # a copy of one step, not of all
    return seen_values(float(x.min()), float(x.max()), whole=whole)


def beyond(x: torch.Tensor, contract: Contract) -> str:
    """A sentence, if entries of ``x`` are not what ``contract`` says; else nothing."""
    due, found = contract.values, values_in(x)
    ranks = ("binary", "counts", "real")
    inside = due.low - SLACK <= found.low and found.high <= due.high + SLACK
    if inside and ranks.index(found.kind) <= ranks.index(due.kind):
        return ""
    return (
        f"The samples of this proof are not what the network is made for: entries from {found.low:.4g} to "
        f"{found.high:.4g} ({found.kind}) instead of {due.low:.4g} to {due.high:.4g} ({due.kind})."
    )
