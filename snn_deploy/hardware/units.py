"""Units that profiles may be written in, and their size in SI units."""

from __future__ import annotations

from typing import Literal

Dimension = Literal["energy", "power", "power per MHz"]

UNITS: dict[str, tuple[Dimension, float]] = {
    "fJ": ("energy", 1e-15),
    "pJ": ("energy", 1e-12),
    "nJ": ("energy", 1e-9),
    "uJ": ("energy", 1e-6),
    "mJ": ("energy", 1e-3),
    "J": ("energy", 1.0),
    "nW": ("power", 1e-9),
    "uW": ("power", 1e-6),
    "mW": ("power", 1e-3),
    "W": ("power", 1.0),
    "uW/MHz": ("power per MHz", 1e-6),
    "mW/MHz": ("power per MHz", 1e-3),
}

TERMS: dict[str, tuple[Dimension, str]] = {
    "sop": ("energy", "synaptic operation: one weight added to one target"),
    "mac": ("energy", "multiply-accumulate: one weight times one value"),
    "neuron_active": ("energy", "update of an active neuron"),
    "neuron_inactive": ("energy", "update of an inactive neuron"),
    "spike_out": ("energy", "one spike sent"),
    "hop": ("energy", "one spike over one hop of the network on chip"),
    "weight_read_bit": ("energy", "one bit of weight memory read"),
    "state_rw_bit": ("energy", "one bit of neuron state read or written"),
    "static_per_chip": ("power", "power of one chip without activity"),
    "static_per_core": ("power", "power of one core without activity"),
    "idle_clock_per_mhz": ("power per MHz", "clock tree without activity"),
}
"""Every term a profile may price, with its dimension and meaning."""

LABELS: dict[str, str] = {
    "sop": "synaptic operations",
    "mac": "multiply-accumulates",
    "neuron_active": "updates of active neurons",
    "neuron_inactive": "updates of inactive neurons",
    "spike_out": "spike messages",
    "hop": "hops on the network on chip",
    "weight_read_bit": "reads of weight memory",
    "state_rw_bit": "neuron state traffic",
}
"""What a term's occurrences are called."""
