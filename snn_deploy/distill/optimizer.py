"""Optimiser and learning rate of a recipe, as functions of the step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import nn

from snn_deploy.recipes.recipe import TrainSpec

_HOW = ("fused", "foreach")
"""Of a group of parameters: what depends on the device, not on the recipe."""


def learning_rate(spec: TrainSpec, step: int, steps_per_epoch: int) -> float:
    """Rate of the 0-based ``step``, with ``w`` warm-up steps out of ``n``::

    warm-up   lr (step + 1) / w                                      step < w
    cosine    lr (1 + cos(pi (step - w) / (n - w))) / 2              else
    """
    total = spec.epochs * steps_per_epoch
    warm_up = min(round(spec.warmup_epochs * steps_per_epoch), total)
    if step < warm_up:
        return spec.lr * (step + 1) / warm_up
    if spec.schedule == "constant":
        return spec.lr
    return spec.lr * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up))) / 2


def make_optimizer(spec: TrainSpec, modules: Iterable[nn.Module]) -> torch.optim.Optimizer:
    """The optimiser over all trainable parameters of ``modules``.

    Parameters with at most one axis (biases, norms, time constants) are not decayed unless
    ``decay_norm_and_bias``.
    """
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    spared = [p for p in parameters if p.ndim <= 1 and not spec.decay_norm_and_bias]
    decayed = [p for p in parameters if p.ndim > 1 or spec.decay_norm_and_bias]
    groups: list[dict[str, Any]] = [
        {"params": group, "weight_decay": decay}
        for group, decay in ((decayed, spec.weight_decay), (spared, 0.0))
        if group
    ]
    # One launch on CUDA; None lets torch choose, as ever on a CPU.
    fused = True if parameters and all(p.is_cuda for p in parameters) else None
    if spec.optimizer == "sgd":
        return _never_compiled(torch.optim.SGD)(groups, lr=spec.lr, momentum=spec.momentum, fused=fused)
    kind = torch.optim.Adam if spec.optimizer == "adam" else torch.optim.AdamW
    return _never_compiled(kind)(groups, lr=spec.lr, fused=fused)


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load ``state``, also one from another device: how the update is computed stays as it is here."""
    own = [{name: group[name] for name in _HOW} for group in optimizer.param_groups]
    groups = [{**group, **how} for group, how in zip(state["param_groups"], own, strict=True)]
    optimizer.load_state_dict({**state, "param_groups": groups})


@cache
def _never_compiled(kind: type[torch.optim.Optimizer]) -> Callable[..., torch.optim.Optimizer]:
    """``kind`` without what it does for ``torch.compile``.

    torch wraps five methods of its optimisers so that the compiler leaves them alone, and the wrappers load
    ``torch._dynamo``: 1.5 s in every process that trains. Here the methods are as they were before.
    """
    outside = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    step = torch.no_grad()(inspect.unwrap(kind.step))
    plain = {name: inspect.unwrap(getattr(kind, name)) for name in outside}
    return type(kind.__name__, (kind,), {**plain, "step": step})
