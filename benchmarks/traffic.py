"""What operations of torch read and write, each tensor once an operation."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree as pytree

UNTOUCHED = frozenset(
    {
        *("view", "_unsafe_view", "expand", "permute", "transpose", "t", "slice", "select", "unsqueeze"),
        *("squeeze", "alias", "detach", "as_strided", "unbind", "split", "split_with_sizes", "reshape"),
        *("_reshape_alias", "unfold", "view_as", "lift_fresh", "narrow", "flatten", "chunk", "device"),
        *("is_pinned", "record_stream"),
        *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"),
    }
)
"""Operations that touch no numbers, and launch nothing on a device."""


def name_of(func: Any) -> str:
    """Name of an operation that a dispatch mode is given."""
    name: str = func._schema.name.partition("::")[2]
    return name


def tensors(tree: Any) -> list[torch.Tensor]:
    """Those in arguments or results."""
    return [leaf for leaf in pytree.tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def touched_bytes(x: torch.Tensor) -> int:
    """What is read of ``x``: of a view that repeats itself, what is there."""
    sizes = [size for size, stride in zip(x.shape, x.stride(), strict=True) if stride]
    return torch.Size(sizes).numel() * x.element_size()
