"""Modules are read and run as copies: nothing of the user's module, nor of random numbers, is touched."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.readers.kinds import is_a, kind
from snn_deploy.graph.readers.torch_modules.known import NEURONS, forget


def fresh_copy(module: nn.Module) -> nn.Module:
    """A copy of ``module`` in eval mode, whose neurons are in their first state, and whose weights are those
    that hooks of torch make of others in every call (weight and spectral norm).

    Raises:
        UnsupportedError: it holds something that cannot be copied.
    """
    memo = {id(tensor): tensor.detach().clone() for tensor in _computed(module)}
    try:
        copied = copy.deepcopy(module, memo).eval()
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        what = f"cannot be copied: {str(error).partition(chr(10))[0]}"
        way = "keep open files, locks and the like outside of the module"
        problem = Problem(type(module).__name__, what, "it is read and run as a copy", try_instead=way)
        raise UnsupportedError("The module cannot be read.", problems=[problem]) from None
    for part in copied.modules():
        forget(part)
        for hook in part._forward_pre_hooks.values():
            if type(hook).__module__.startswith("torch.nn.utils."):
                hook(part, ())
    return copied


def _computed(module: nn.Module) -> Iterator[torch.Tensor]:
    """Tensors that the module keeps and that know what they were computed from; these torch does not copy."""
    for part in module.modules():
        waiting: list[Any] = [v for name, v in vars(part).items() if name not in ("_parameters", "_modules")]
        while waiting:
            value = waiting.pop()
            if isinstance(value, torch.Tensor) and not value.is_leaf:
                yield value
            elif isinstance(value, dict):
                waiting.extend(value.values())
            elif isinstance(value, list | tuple):
                waiting.extend(value)


@contextmanager
def alone(copied: nn.Module) -> Iterator[None]:
    """While ``copied`` runs: random numbers are given back, and snnTorch, whose ``utils.reset`` resets all of
    its neurons everywhere, knows only those of the copy."""
    neurons = [part for part in copied.modules() if is_a(part, "snntorch.SpikingNeuron")]
    bases: list[Any] = [c for part in neurons[:1] for c in type(part).__mro__ if "instances" in vars(c)]
    kept = [base.instances for base in bases]
    for base in bases:
        base.instances = neurons
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for base, instances in zip(bases, kept, strict=True):
            base.instances = instances


def state_changes(module: nn.Module, example: torch.Tensor) -> tuple[list[str], list[str]]:
    """Neurons whose own state is changed by the forward between two of their calls, and those that it changes
    between two forwards, both on ``example``."""
    copied = fresh_copy(module)
    paths = [path for path, part in copied.named_modules() if kind(type(part)) in NEURONS]
    left: dict[str, list[torch.Tensor]] = {}
    found: tuple[list[str], list[str]] = ([], [])
    called: set[str] = set()

    def before(path: str) -> Any:
        def compare(part: nn.Module, _args: Any, _kwargs: Any) -> None:
            now = _state(part)
            changed = path in left and not _same(now, left[path])
            where = found[0] if path in called else found[1]
            if changed and path not in where:
                where.append(path)

        return compare

    def after(path: str) -> Any:
        def keep(part: nn.Module, _args: Any, _result: Any) -> None:
            left[path] = _state(part)
            called.add(path)

        return keep

    for path in paths:
        part = copied.get_submodule(path)
        part.register_forward_pre_hook(before(path), with_kwargs=True)
        part.register_forward_hook(after(path))
    with torch.no_grad(), alone(copied):
        for _ in range(2):
            called.clear()
            copied(example)
    return found


def _state(part: Any) -> list[torch.Tensor]:
    values = [*getattr(part, "_memories", {}).values(), *part.buffers(recurse=False)]
    return [value.detach().clone() for value in values if isinstance(value, torch.Tensor)]


def _same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return len(left) == len(right) and all(map(torch.equal, left, right))
