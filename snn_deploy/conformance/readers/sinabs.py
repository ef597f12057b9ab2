"""sinabs' NIR importer as it sets its neurons up: several spikes per step, subtraction, a lower bound."""

import nir
import torch
from sinabs.nir import from_nir

PACKAGES = ("sinabs", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``; sinabs takes samples and steps as one axis, samples first."""
    steps, batch = x.shape[:2]
    net = from_nir(nir.read(path), batch_size=batch)
    y = net(torch.from_numpy(x).transpose(0, 1).flatten(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    return y.unflatten(0, (batch, steps)).transpose(0, 1).numpy()
