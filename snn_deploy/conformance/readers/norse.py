"""Norse's NIR importer, stepped through time; it is told the step."""

import nir
import torch
from norse.torch import from_nir

PACKAGES = ("norse", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``."""
    net = from_nir(nir.read(path), ignore_warnings=True, dt=dt)
    state, outputs = None, []
    for frame in torch.from_numpy(x):
        y, state = net(frame, state)
        outputs.append(y)
    return torch.stack(outputs).numpy()
