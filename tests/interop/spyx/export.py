"""Runs in Spyx' own environment: make networks, export them, and write what Spyx computes.

python export.py FOLDER
"""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import nir
import numpy as np
from flax import nnx
from spyx import nn as snn
from spyx.nir import to_nir

STEPS, BATCH, INPUTS, HIDDEN, OUTPUTS = 40, 6, 12, 24, 20


def dense(neuron):
    rngs = nnx.Rngs(0)
    return snn.Sequential(
        nnx.Linear(INPUTS, HIDDEN, rngs=rngs), neuron(HIDDEN), nnx.Linear(HIDDEN, OUTPUTS, rngs=rngs),
        neuron(OUTPUTS),
    )  # fmt: skip


def convolving(neuron):
    rngs = nnx.Rngs(0)
    return snn.Sequential(
        nnx.Conv(2, 3, (3, 3), padding="SAME", rngs=rngs), neuron((8, 8, 3)),
        snn.SumPool((2, 2), (2, 2), "VALID", channel_axis=-1), snn.Flatten(),
        nnx.Linear(48, OUTPUTS, rngs=rngs), neuron((OUTPUTS,)),
    )  # fmt: skip


def shaped(count):
    return count if isinstance(count, tuple) else (count,)


NEURONS = {
    "IF": lambda count: snn.IF(shaped(count)),
    "LIF": lambda count: snn.LIF(shaped(count), rngs=nnx.Rngs(1)),
    "LIF 0.8": lambda count: snn.LIF(shaped(count), beta=0.8, rngs=nnx.Rngs(1)),
    "CuBaLIF": lambda count: snn.CuBaLIF(shaped(count), rngs=nnx.Rngs(2)),
    "RIF": lambda count: snn.RIF(shaped(count), rngs=nnx.Rngs(3)),
    "RLIF": lambda count: snn.RLIF(shaped(count), rngs=nnx.Rngs(3)),
    "RCuBaLIF": lambda count: snn.RCuBaLIF(shaped(count), rngs=nnx.Rngs(3)),
    "PSU_LIF": lambda count: snn.PSU_LIF(shaped(count), rngs=nnx.Rngs(4)),
}


def networks():
    """(name, module, shape of a frame in NIR, that of Spyx)."""
    for name, neuron in NEURONS.items():
        yield name, dense(neuron), (INPUTS,)
    for name in ("IF", "LIF 0.8"):
        yield f"{name} conv", convolving(NEURONS[name]), (2, 8, 8)


def main(folder):
    """Write everything; see the module's text."""
    cases = []
    for number, (name, net, shape) in enumerate(networks()):
        random = np.random.default_rng(number)
        for layer in net.layers:
            for key in ("kernel", "bias", "recurrent_w"):
                if getattr(layer, key, None) is not None:
                    value = getattr(layer, key)
                    drawn = random.normal(0.1, 0.5, value[...].shape)
                    value[...] = jnp.asarray(drawn, jnp.float32)
        x = (random.random((STEPS, BATCH, *shape)) < 0.4).astype(np.float32)
        frames = np.moveaxis(x, 2, -1) if len(shape) == 3 else x
        for dt in (1,) if number else (1, 1e-3):
            graph = to_nir(net, {"input": np.array(shape)}, {"output": np.array([OUTPUTS])}, dt=dt)
            wanted, _ = snn.run(net, jnp.asarray(frames))
            label = name if dt == 1 else f"{name} dt {dt}"
            nir.write(folder / f"{label}.nir", graph)
            np.savez(folder / f"{label}.npz", x=x, wanted=np.asarray(wanted))
            np.savez(folder / f"{label}.trace.npz", x=x, output=np.asarray(wanted))
            cases.append({"name": label, "reading": {}, "graded": False})
    (folder / "cases.json").write_text(json.dumps(cases))


jax.config.update("jax_default_matmul_precision", "highest")
main(Path(sys.argv[1]))
