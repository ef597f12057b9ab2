"""snnTorch's NIR importer, stepped through time; its step is 1e-4 s whatever it is told."""

import contextlib
import io

import nir
import torch
from snntorch.import_nir import import_from_nir

PACKAGES = ("snntorch", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``; a neuron that gives its state too is read for its spikes."""
    with contextlib.redirect_stdout(io.StringIO()):
        net = import_from_nir(nir.read(path))
    state, outputs = None, []
    for frame in torch.from_numpy(x):
        *several, state = net(frame) if state is None else net(frame, state)
        if len(several) != 1:
            raise ValueError(f"gives {len(several)} outputs")
        outputs.append(several[0][0] if isinstance(several[0], tuple) else several[0])
    return torch.stack(outputs).numpy()
