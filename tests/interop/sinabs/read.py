"""Runs in sinabs' own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

FOLDER/cases.json lists the cases: `file` (NIR), `x` (frames [T, B, ...], .npy), `reset`, `out` (to write).
Besides, `versions.json` gets the versions that ran. sinabs is set up as the manifest of a bundle says.
"""

import json
import sys
import traceback
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, MembraneSubtract, SingleSpike
from sinabs.nir import from_nir


@torch.no_grad()
def run(case, folder):
    """Outputs [T, B, ...] of one case."""
    x = torch.from_numpy(np.load(folder / case["x"]))
    steps, batch = x.shape[:2]
    net = from_nir(nir.read(folder / case["file"]), batch_size=batch)
    for module in net.modules():
        if isinstance(module, sl.LIF):  # IAF too
            if isinstance(module, sl.ExpLeak):
                continue
            module.spike_fn = SingleSpike
            module.reset_fn = MembraneReset() if case["reset"] == "zero" else MembraneSubtract()
            module.min_v_mem = None
    y = net(x.transpose(0, 1).flatten(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    return y.unflatten(0, (batch, steps)).transpose(0, 1).numpy()


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
    (folder / "versions.json").write_text(json.dumps({name: version(name) for name in ("sinabs", "nir")}))


main(Path(sys.argv[1]))
