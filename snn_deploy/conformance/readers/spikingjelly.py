"""SpikingJelly's NIR exchange, stepped through time; it is told the step."""

import torch
from spikingjelly.activation_based import nir_exchange

PACKAGES = ("spikingjelly", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``."""
    net = nir_exchange.import_from_nir(path, dt=dt)
    state, outputs = None, []
    for frame in torch.from_numpy(x):
        *several, state = net(frame) if state is None else net(frame, state)
        if len(several) != 1:
            raise ValueError(f"gives {len(several)} outputs")
        outputs.append(several[0])
    return torch.stack(outputs).numpy()
