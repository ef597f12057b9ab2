"""Rockpool's NIR importer; it takes its step from the neurons of the file."""

import torch
from rockpool.nn.modules.torch.nir import from_nir

PACKAGES = ("rockpool", "nirtorch", "nir")


@torch.no_grad()
def run(path, x, dt):
    """Outputs ``[T, B, ...]``; Rockpool takes whole sequences, samples first."""
    net = from_nir(path)
    y = net(torch.from_numpy(x).transpose(0, 1))
    y = y[0] if isinstance(y, tuple) else y
    return y.transpose(0, 1).numpy()
