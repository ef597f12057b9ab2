"""Record what Lava computes for small random networks, so that tests need no Lava.

    PYTHONPATH=tests python tests/golden/make_lava_golden.py

Needs the Lava environment (snn-deploy doctor --install-lava). Each file holds the network, its input and the
spikes of every layer in Lava; run it again only when the networks change, never to make a test pass.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
from support.lava_nets import KINDS, random_input, random_net

from snn_deploy.graph.lava.io import write_net
from snn_deploy.simulate.lava.client import Lava

FOLDER = Path(__file__).parent / "lava"
STEPS, SAMPLES = 12, 2
PER_KIND = dict.fromkeys(KINDS, 3) | {"lowered": 5}


def main() -> None:
    for kind in KINDS:
        kept = 0
        for seed in range(100):
            if kept < PER_KIND[kind] and record(seed, kind):
                kept += 1


def record(seed: int, kind: str) -> bool:
    """Write one file, unless the network's last layer stays silent."""
    net = random_net(seed, kind)
    x = random_input(net, seed, STEPS, SAMPLES)
    trace = Lava(net).run(torch.from_numpy(x).float(), record=True)
    if not trace.output.any():
        return False
    with tempfile.TemporaryDirectory() as folder:
        write_net(net, Path(folder) / "model.net")
        file = np.frombuffer((Path(folder) / "model.net").read_bytes(), np.uint8)
    spikes = {name: value.numpy().astype(np.uint8) for name, value in trace.records.items()}
    path = FOLDER / f"{kind}-{seed}.npz"
    np.savez_compressed(path, net=file, x=x.astype(np.int16), output=trace.output.numpy(), **spikes)
    print(path.name, {name: int(value.sum()) for name, value in spikes.items()})
    return True


if __name__ == "__main__":
    main()
