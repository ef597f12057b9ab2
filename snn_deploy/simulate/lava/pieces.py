"""Parts of a chain of populations as networks of their own."""

from __future__ import annotations

from dataclasses import replace

from snn_deploy.graph.lava.net import Input, LavaNet


def piece(net: LavaNet, start: int, end: int) -> LavaNet:
    """The populations ``start`` to ``end - 1`` of ``net``, fed with the spikes of ``start - 1``, or with the
    input of the network."""
    positions = [i for i, layer in enumerate(net.layers) if any(layer is p for p in net.populations)]
    last = positions[end - 1] + 1
    part = replace(
        net,
        layers=net.layers[:last],
        names=net.names[start:end],
        spans=net.spans[start:end],
        readout=net.readout if end == len(net.populations) else None,
    )
    if not start:
        return part
    return replace(
        part,
        layers=(Input(net.populations[start - 1].shape), *net.layers[positions[start] : last]),
        input_range=(0, 1),
        input_scale=1.0,
    )
