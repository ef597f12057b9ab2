"""Runs in sinabs' own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

FOLDER/cases.json lists the cases: `file` (NIR), `x` (frames [T, B, ...], .npy), `reset`, `out` (to write).
Besides, `versions.json` gets the versions that ran. sinabs is set up as the manifest of a bundle says.
"""

import sys
from pathlib import Path

import nir
import numpy as np
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, MembraneSubtract, SingleSpike
from sinabs.nir import from_nir

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind the peers, whose names the folders have

from peer_cases import execute


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


execute(run, ("sinabs", "nir"))
