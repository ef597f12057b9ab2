r"""What a chip rounds, drops or does at another time, although the network fits.

Weights on b bits are integers :math:`-2^{b-1} \le q < 2^{b-1}` times one step per layer; a leak on a chip of
bit shifts is :math:`2^{-n}` per step, on a chip with b decay bits a multiple of :math:`2^{-b}`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from snn_deploy.graph.dynamics import Membrane, Synaptic, discretise
from snn_deploy.graph.types import STATEFUL_NODES
from snn_deploy.hardware.constraint import span_words
from snn_deploy.hardware.findings import Finding, cited
from snn_deploy.hardware.limits import Limit, Limits
from snn_deploy.hardware.network import Network

GRID_TOLERANCE = 1e-4
"""A weight is on the grid when it is this near to a multiple of the step, in steps (float32 files round)."""
Array = npt.NDArray[np.float64]


def change_findings(network: Network, limits: Limits) -> Iterator[Finding]:
    """Everything of ``network`` that the chip holds in another form."""
    yield from _weights(network, limits)
    yield from _biases(network, limits)
    yield from _leaks(network, limits)
    yield from _classes(network, limits)


def on_grid(weight: npt.NDArray[np.floating], bits: int) -> bool:
    """Whether ``weight`` is integers of ``bits`` bits (sign included) times one step."""
    most = 2 ** (bits - 1)
    flat = np.asarray(weight, np.float64).reshape(-1)
    if len(np.unique(flat[: 16 * most])) > 2 * most:
        return False
    values = np.unique(flat)
    if not values.any():
        return True
    if len(values) > 2 * most:
        return False
    units = values / np.abs(values).max() * np.arange(1, most + 1)[:, None]
    whole = (np.abs(units - np.rint(units)) <= GRID_TOLERANCE).all(1)
    return bool((whole & (units.max(1) < max(most - 0.5, 1.5))).any())


def leaks(network: Network, name: str) -> dict[str, Array]:
    """Shares of current and membrane that a population loses per step; nothing where it does not leak."""
    if not isinstance(network.plan.node(name), STATEFUL_NODES):
        return {}
    charge = discretise(network.plan.node(name), network.semantics).charge
    if isinstance(charge, Synaptic):
        return {"current": 1.0 - charge.i_decay, "membrane": 1.0 - charge.v_decay}
    assert isinstance(charge, Membrane)
    if charge.leak is None:
        return {}
    return {"membrane": 1.0 / charge.leak.value if charge.leak.divides else charge.leak.value}


def _weights(network: Network, limits: Limits) -> Iterator[Finding]:
    for layer in network.layers:
        limit = limits.first_layer.weight_bits if layer.first else None
        limit = limit or limits.weight_bits
        if limit is None or limit.value is None:
            continue
        bits = max(limit.value)
        if not on_grid(layer.weight, bits):
            yield _changed(
                "weight_bits",
                layer.name,
                "real weights",
                f"{bits} bits",
                "Weights are rounded to what the chip stores.",
                limit,
            )


def _biases(network: Network, limits: Limits) -> Iterator[Finding]:
    limit = limits.biases
    if limit is None or limit.value in {None, "every step"}:
        return
    for layer in network.layers:
        if not layer.biases:
            continue
        if limit.value == "none":
            yield Finding(
                state="violated",
                rule="biases",
                where=layer.name,
                found=f"{layer.biases:,} biases",
                limit="none",
                sentence="Weights have no biases.",
                source=cited(limit.source, limit.grade),
                try_instead="train the layer without bias",
            )
        else:
            found = f"{layer.biases:,} biases"
            sentence = "Biases are applied by a slow clock of the chip, not once per step."
            yield _changed("biases", layer.name, found, "slow clock", sentence, limit)


def _leaks(network: Network, limits: Limits) -> Iterator[Finding]:
    for name in network.populations:
        for state, values in leaks(network, name).items():
            rates = np.unique(values[(values > 0) & (values < 1)])
            kind, bits = limits.decays, limits.decay_bits
            limit: Limit[Any]
            if kind is not None and kind.value == "power of two":
                off = rates[np.abs(np.log2(rates) - np.rint(np.log2(rates))) > GRID_TOLERANCE]
                limit, allowed = kind, "1/2, 1/4, 1/8 ..."
            elif bits is not None and bits.value is not None:
                units = rates * 2 ** bits.value[0]
                off = rates[np.abs(units - np.rint(units)) > GRID_TOLERANCE]
                limit, allowed = bits, f"{bits.value[0]} bits"
            else:
                continue
            if len(off):
                found = f"{state} leak {off[0]:.4g} per step"
                yield _changed(
                    "decays", name, found, allowed, "Leaks are rounded to what the chip has.", limit
                )


def _classes(network: Network, limits: Limits) -> Iterator[Finding]:
    limit = limits.classes_max
    outputs = int(np.prod(network.plan.shapes[network.plan.output]))
    if limit is None or limit.value is None or outputs <= limit.value[0]:
        return
    sentence = "The chip's read-out tells so many classes apart; beyond, the host counts spikes."
    allowed = span_words("at most", limit.value)
    yield _changed("classes_max", network.plan.output, f"{outputs:,} outputs", allowed, sentence, limit)


def _changed(rule: str, where: str, found: str, allowed: str, sentence: str, limit: Limit[Any]) -> Finding:
    return Finding("changed", rule, where, found, allowed, sentence, cited(limit.source, limit.grade))
