"""Runs in Rockpool's own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

The files are those of ../sinabs/read.py. Rockpool is set up as the manifest of a bundle says.
"""

import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rockpool.nn.modules.torch import LIFTorch  # noqa: E402
from rockpool.nn.modules.torch.nir import from_nir  # noqa: E402

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind the peers, whose names the folders have

from peer_cases import execute  # noqa: E402


@torch.no_grad()
def run(case, folder):
    """Outputs [T, B, ...] of one case."""
    x = torch.from_numpy(np.load(folder / case["x"]))
    net = from_nir(folder / case["file"])
    for module in net.modules():
        if isinstance(module, LIFTorch):
            module.max_spikes_per_dt = torch.tensor(1.0)
    y = net(x.transpose(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    return y.transpose(0, 1).numpy()


execute(run, ("rockpool", "nir"))
