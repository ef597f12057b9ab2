"""Spyx' NIR importer; it is told the step, and takes images with the channels last."""

import jax
import jax.numpy as jnp
import nir
import numpy as np
from spyx.nir import from_nir

PACKAGES = ("spyx", "jax", "nir")

jax.config.update("jax_default_matmul_precision", "highest")


def run(path, x, dt):
    """Outputs ``[T, B, ...]``, channels first."""
    frames = np.moveaxis(x, 2, -1) if x.ndim == 5 else x
    _, y = from_nir(nir.read(path), jnp.asarray(frames), dt=dt)
    y = np.asarray(y)
    return np.moveaxis(y, -1, 2) if y.ndim == 5 else y
