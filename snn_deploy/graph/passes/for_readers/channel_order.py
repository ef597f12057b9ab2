"""Dense weights behind a Flatten for readers whose tensors have the channels last (H, W, C).

Only the columns move: column ``(h W + w) C + c`` holds what column ``(c H + h) W + w`` held. A metadata entry
of the node keeps (C, H, W), so that reading the file gives the hub's order back.
"""

from __future__ import annotations

import nir
import numpy as np

KEY = "snn_deploy_channels_last"


def channels_last(node: nir.NIRNode, shape: tuple[int, int, int]) -> nir.NIRNode:
    """A weight node behind the Flatten of ``shape`` (C, H, W), for an input flattened as (H, W, C)."""
    weight = np.asarray(node.weight)
    moved = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(weight.shape)
    return _with(node, moved, {**node.metadata, KEY: np.array(shape)})


def channels_first(node: nir.NIRNode) -> nir.NIRNode:
    """The hub's form of ``node``; itself unless it was written by :func:`channels_last`."""
    if KEY not in node.metadata or not isinstance(node, nir.Affine | nir.Linear):
        return node
    weight, shape = np.asarray(node.weight), np.asarray(node.metadata[KEY])
    if shape.shape != (3,) or (shape < 1).any() or int(np.prod(shape, dtype=object)) != weight.shape[-1]:
        raise ValueError(f"'{KEY}' is {shape.tolist()} for weights of shape {weight.shape}")
    c, h, w = (int(size) for size in shape)
    moved = weight.reshape(-1, h, w, c).transpose(0, 3, 1, 2).reshape(weight.shape)
    return _with(node, moved, {name: value for name, value in node.metadata.items() if name != KEY})


def _with(node: nir.NIRNode, weight: np.ndarray, metadata: dict[str, object]) -> nir.NIRNode:
    stored = np.ascontiguousarray(weight)
    if isinstance(node, nir.Affine):
        return nir.Affine(stored, node.bias, metadata=metadata)
    return nir.Linear(stored, metadata=metadata)
