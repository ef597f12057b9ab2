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
        *several, _ = net(frame)
        if len(several) != 1:
            raise ValueError(f"gives {len(several)} outputs")
        outputs.append(several[0])
    return torch.stack(outputs).numpy()
