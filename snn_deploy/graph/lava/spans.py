"""Populations of the hub that share a layer of a ``.net`` file: their spikes split, and joined.

A layer without spans is one population, the one it is named after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch

from snn_deploy.graph.lava.net import LavaNet


def spiking_layers(net: LavaNet) -> tuple[str, ...]:
    """Names of everything that spikes, in order: populations of the hub, and relays."""
    names = net.names if net.readout is None else net.names[:-1]
    return tuple(part for name in names for part, _ in _parts(net, name))


def split(net: LavaNet, spikes: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Spikes ``[T, B, C, ...]`` of layers as spikes of what the layers hold."""
    return {part: layer[:, :, where] for name, layer in spikes.items() for part, where in _parts(net, name)}


def join(net: LavaNet, name: str, own: torch.Tensor, given: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The spikes of the layer ``name`` with those of ``given`` in the place of its own."""
    parts = [(part, where) for part, where in _parts(net, name) if part in given]
    if not parts:
        return own
    joined = own.clone()
    for part, where in parts:
        joined[:, :, where] = given[part]
    return joined


def _parts(net: LavaNet, name: str) -> Iterator[tuple[str, slice]]:
    spans = net.spans[net.names.index(name)] if net.spans else ()
    if not spans:
        yield name, slice(None)
    for span in spans:
        yield span.name, slice(span.first, span.first + span.count)
