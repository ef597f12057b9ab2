"""What quantising keeps: told in relations between the chain and the integer network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    NEVER_FIRES,
    Input,
    LavaNet,
    Pair,
    Population,
    largest_sum,
    neuron_of,
)
from snn_deploy.graph.lava.rules import SUM_MAX
from snn_deploy.graph.passes.quantize.rounding import weight_range
from snn_deploy.graph.passes.to_chip.layers import Chain, ChipLayer
from snn_deploy.graph.passes.to_chip.windows import FloatArray

_NEAR = 1 + 1e-6
"""Weight units by which a threshold may be rounded."""


def rounded_only(chain: Chain, net: LavaNet, scales: Sequence[FloatArray], bits: int) -> Iterator[Problem]:
    """Layers are those of the chain in integers: nothing but rounding has happened to them."""
    if net.names != tuple(layer.name for layer in chain.layers) or net.input_shape != chain.input_shape:
        yield Problem("network", f"layers {', '.join(net.names)} of {net.input_shape}", "those of the chain")
        return
    spans = [net.input_range, *[(0, 1)] * (len(chain.layers) - 1)]
    for layer, made, scale, span in zip(chain.layers, net.populations, scales, spans, strict=True):
        if made.shape != layer.shape:
            yield Problem(layer.name, f"has the shape {made.shape}, before {layer.shape}", "shapes are kept")
        else:
            yield from _weights(layer, made, bits, span)
            yield from _neurons(layer, made, scale)


def _weights(layer: ChipLayer, made: Population, bits: int, span: Pair) -> Iterator[Problem]:
    step, low, high = weight_range(bits)
    assert not isinstance(made, Input)
    if (made.weight % step).any() or made.weight.min() < low or made.weight.max() > high:
        found = f"weights {made.weight.min()}..{made.weight.max()}"
        yield Problem(layer.name, found, f"multiples of {step} in {low}..{high}")
    if made.weight.shape != layer.map.weight.shape:
        what = f"weights of shape {made.weight.shape}, before {layer.map.weight.shape}"
        yield Problem(layer.name, what, "shapes are kept")
    if (largest := largest_sum(made.weight, span)) > SUM_MAX:
        yield Problem(layer.name, f"sums up to {largest}", f"at most {SUM_MAX}")


def _neurons(layer: ChipLayer, made: Population, scale: FloatArray) -> Iterator[Problem]:
    neuron = neuron_of(made)
    own = slice(0, layer.shape[0] - layer.relays)
    threshold, factor = (np.broadcast_to(v, layer.shape[:1])[own] for v in (neuron.threshold, scale))
    if layer.threshold is None:
        kept = bool((threshold >= NEVER_FIRES).all())
    else:
        kept = bool((np.abs(threshold - layer.threshold * factor) <= _NEAR).all())
    if not kept:
        wanted = "never fires" if layer.threshold is None else f"{layer.threshold * factor.max():g} units"
        yield Problem(layer.name, f"threshold {threshold.max()}", f"at most one unit from {wanted}")
    for what, decay, leak in (
        ("current", neuron.current_decay, layer.current_leak),
        ("voltage", neuron.voltage_decay, layer.voltage_leak),
    ):
        if not np.array_equal(decay, np.rint(leak * DECAY_ONE)):
            yield Problem(
                layer.name, f"{what} decay {np.max(decay)}", f"the nearest 4096th to {np.max(leak):g}"
            )
