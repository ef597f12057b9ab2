"""Runs in Rockpool's own environment: execute every case of a folder, and write what came out.

    python read.py FOLDER

The files are those of ../sinabs/read.py. Rockpool is set up as the manifest of a bundle says.
"""

import json
import sys
import traceback
import warnings
from importlib.metadata import version
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from rockpool.nn.modules.torch import LIFTorch  # noqa: E402
from rockpool.nn.modules.torch.nir import from_nir  # noqa: E402


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
    (folder / "versions.json").write_text(json.dumps({name: version(name) for name in ("rockpool", "nir")}))


main(Path(sys.argv[1]))
