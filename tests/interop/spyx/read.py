"""Runs in Spyx' own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

The files are those of ../sinabs/read.py; besides, a case says how many steps `late` the output comes.
"""

import json
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

import jax.numpy as jnp
import nir
import numpy as np
from spyx.nir import from_nir


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


def main(folder):
    """Run all cases; one that fails leaves its reason instead of its output."""
    reasons = {}
    for case in json.loads((folder / "cases.json").read_text()):
        try:
            np.save(folder / case["out"], run(case, folder))
        except Exception as error:
            reasons[case["name"]] = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            traceback.print_exc()
    (folder / "failed.json").write_text(json.dumps(reasons))
    (folder / "versions.json").write_text(
        json.dumps({name: version(name) for name in ("spyx", "jax", "nir")})
    )


main(Path(sys.argv[1]))
