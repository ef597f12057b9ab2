"""NIRTorch's own maps, which other readers build upon: weights, pools and Flatten, no neurons."""

import nir
import nirtorch
import torch

PACKAGES = ("nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``."""
    net = nirtorch.nir_to_torch(nir.read(path), {})
    outputs = []
    for frame in torch.from_numpy(x):
        y = net(frame)
        outputs.append(y[0] if isinstance(y, tuple) else y)
    return torch.stack(outputs).numpy()
