"""The equations of a chain of layers, run in float64, and compared with the graph it was made from."""

from __future__ import annotations

import nir
import numpy as np
import torch
from torch.nn import functional

from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.loihi import Lower
from snn_deploy.graph.passes.to_chip.windows import FloatArray, Window
from snn_deploy.simulate.reference import Reference


def _currents(layer: ChipLayer, x: torch.Tensor) -> torch.Tensor:
    weight = torch.from_numpy(np.array(layer.map.weight))
    if layer.relays:
        weight[-layer.relays :] *= 1.5 * layer.threshold
    frames = x.flatten(0, 1)
    if isinstance(layer.map, Window):
        geometry = (layer.map.stride, layer.map.padding, layer.map.dilation, layer.map.groups)
        found = functional.conv2d(frames, weight, None, *geometry)
    else:
        found = functional.linear(frames.flatten(1), weight)
    return found.unflatten(0, x.shape[:2])


def run_chain(chain: Chain, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Output and spikes of the equations in the module's text, in float64."""
    x = x.double()
    spikes: dict[str, torch.Tensor] = {}
    for layer in chain.layers:

        def wide(values: FloatArray, rank: int = len(layer.shape)) -> torch.Tensor:
            array = np.asarray(values)
            return torch.from_numpy(array.reshape(-1, *[1] * (rank - 1)) if array.ndim else array)

        u = v = torch.zeros(x.shape[1], *layer.shape, dtype=torch.float64)
        outputs = []
        for current in _currents(layer, x):
            if layer.recurrent is not None and outputs:
                current = current + outputs[-1] @ torch.from_numpy(layer.recurrent).T
            u = (1 - wide(layer.current_leak)) * u + current
            before = v
            v = (1 - wide(layer.voltage_leak)) * v + u + wide(layer.map.bias)
            if layer.threshold is None:
                outputs.append(v - before if chain.readout == "current" else v)
                continue
            fired = v >= layer.threshold if layer.fires_at == ">=" else v > layer.threshold
            v = torch.where(fired, 0.0, v)
            outputs.append(fired.double())
        x = torch.stack(outputs)
        members = [(m.name, slice(m.first, m.first + m.count)) for m in layer.members]
        for name, channels in members or [(layer.name, slice(None))]:
            if layer.threshold is not None:
                spikes[name] = x[:, :, channels]
    return x, spikes


def assert_exact(net: nir.NIRGraph, x: torch.Tensor) -> Chain:
    """The chain of ``net``, after checking that it fires like it; every layer must fire."""
    chain = Lower()(net)
    output, spikes = run_chain(chain, x)
    expected = Reference(net, dtype=torch.float64).run(x.double(), record=True)
    for name, found in spikes.items():
        if "@" in name:
            continue
        assert found.any(), f"'{name}' is silent, the comparison says nothing"
        assert torch.equal(found, expected.records[name]), name
    torch.testing.assert_close(output, expected.output, rtol=1e-9, atol=1e-9)
    return chain
