"""Runs in Spyx' own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

The files are those of ../sinabs/read.py; besides, a case says how many steps `late` the output comes.
"""

import sys
from pathlib import Path

import jax.numpy as jnp
import nir
import numpy as np
from spyx.nir import from_nir

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind the peers, whose names the folders have

from peer_cases import execute


def run(case, folder):
    """Outputs [T, B, ...] of one case, channels first, moved to the step they belong to."""
    x = np.load(folder / case["x"])
    late = case["late"]
    x = np.concatenate([x, np.zeros((late, *x.shape[1:]), x.dtype)])
    if x.ndim == 5:
        x = np.moveaxis(x, 2, -1)
    _, y = from_nir(nir.read(folder / case["file"]), jnp.asarray(x))
    y = np.asarray(y)[late:]
    return np.moveaxis(y, -1, 2) if y.ndim == 5 else y


execute(run, ("spyx", "jax", "nir"))
