"""What quantising keeps: told in relations between the chain and the integer network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    NEVER_FIRES,
    Dense,
    Input,
    IntArray,
    LavaNet,
    Pair,
    Population,
    layer_bound,
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
    assert not isinstance(made, Input)
    yield from _matrix(layer.name, "weights", made.weight, layer.map.weight, bits)
    recurrent, delay = (made.recurrent, made.delay) if isinstance(made, Dense) else (None, None)
    if recurrent is not None and layer.recurrent is not None:
        yield from _matrix(layer.name, "recurrent weights", recurrent, layer.recurrent, bits)
    elif recurrent is not None or layer.recurrent is not None:
        yield Problem(layer.name, "recurrent weights on one side only", "loops are kept")
    now, before = (np.zeros(0, np.int64) if found is None else found for found in (delay, layer.delay))
    if not np.array_equal(now, before):
        yield Problem(layer.name, "other delays than before", "delays are kept")
    if (largest := layer_bound(made, span)) > SUM_MAX:
        yield Problem(layer.name, f"sums up to {largest}", f"at most {SUM_MAX}")


def _matrix(where: str, what: str, made: IntArray, before: FloatArray, bits: int) -> Iterator[Problem]:
    step, low, high = weight_range(bits)
    if (made % step).any() or made.min() < low or made.max() > high:
        yield Problem(where, f"{what} {made.min()}..{made.max()}", f"multiples of {step} in {low}..{high}")
    if made.shape != before.shape:
        yield Problem(where, f"{what} of shape {made.shape}, before {before.shape}", "shapes are kept")


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
