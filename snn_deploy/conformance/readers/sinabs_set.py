"""sinabs, its neurons set after loading as NIR means them: one spike per step, reset to 0, no lower bound."""

import nir
import sinabs.layers as sl
import torch
from sinabs.activation import MembraneReset, SingleSpike
from sinabs.nir import from_nir

PACKAGES = ("sinabs", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``; sinabs takes samples and steps as one axis, samples first."""
    steps, batch = x.shape[:2]
    net = from_nir(nir.read(path), batch_size=batch)
    for module in net.modules():
        if isinstance(module, sl.LIF) and not isinstance(module, sl.ExpLeak):
            module.spike_fn, module.reset_fn, module.min_v_mem = SingleSpike, MembraneReset(), None
    y = net(torch.from_numpy(x).transpose(0, 1).flatten(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    return y.unflatten(0, (batch, steps)).transpose(0, 1).numpy()
