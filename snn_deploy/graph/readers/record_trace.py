"""Write the trace of a network of snnTorch, Norse, SpikingJelly, sinabs or Rockpool: its own spikes and more.

>>> import snn_deploy as sd
>>> sd.record_trace(net, x, "net.trace.npz")  # doctest: +SKIP

Then ``--trace net.trace.npz`` proves that we read the file exported from ``net`` as it computes. sinabs
and Rockpool need an older NIR than we do: there, install us with ``pip install --no-deps``; it needs torch
and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from snn_deploy.core.errors import ConfigError

MEMBRANE = ".v"
"""Behind the name of a node: its membrane."""
STATES = ("mem", "v_threshold", "v_mem", "tau_mem", "p")
"""Attributes by which layers with a state are known."""
PACKAGES = ("snntorch", "norse", "spikingjelly", "sinabs", "rockpool")


@torch.no_grad()
def record_trace(
    module: nn.Module, x: torch.Tensor, path: Path | str, *, names: Mapping[str, str] | None = None
) -> Path:
    """Run ``module`` on ``x [T, B, *shape]`` from its start state and write what its neurons gave.

    Networks of snnTorch, Norse and SpikingJelly's single-step mode are called once per step, with their state
    handed on where they give one; SpikingJelly's multi-step mode, sinabs' layers and Rockpool's modules get
    the whole sequence.

    Args:
        module: the network that was exported.
        x: input.
        path: where the trace goes, ``.npz``.
        names: nodes of the NIR file by names of submodules, where they differ.

    Raises:
        ConfigError: ``module`` has no neurons of these frameworks.
    """
    neurons = {
        name: part for name, part in nn.Module.named_modules(module) if _package(part) and _is_neuron(part)
    }
    if not neurons:
        raise ConfigError(
            f"{type(module).__name__} has no neurons that are known.", hint=f"Known: {', '.join(PACKAGES)}"
        )
    seen: dict[str, list[torch.Tensor]] = {}
    handles = [part.register_forward_hook(_keeping(name, seen)) for name, part in neurons.items()]
    _forget(module)
    try:
        whole = _run(module, x, next(iter(neurons.values())))
    finally:
        for handle in handles:
            handle.remove()
    _forget(module)
    renamed = names or {}
    values = {}
    for key, found in seen.items():
        name = key.removesuffix(MEMBRANE)
        stacked = torch.stack(found) if not whole else _time_first(found[0], x)
        values[renamed.get(name, name) + key[len(name) :]] = stacked.numpy()
    target = Path(path)
    np.savez_compressed(target, allow_pickle=False, x=x.numpy(), **values)
    return target


def _run(module: nn.Module, x: torch.Tensor, neuron: nn.Module) -> bool:
    """Run the sequence; whether it went through at once."""
    package = _package(neuron)
    if package == "sinabs":
        batch_first = x.transpose(0, 1)
        module(batch_first.flatten(0, 1) if type(neuron).__name__.endswith("Squeeze") else batch_first)
        return True
    if package == "rockpool":
        module(x.transpose(0, 1))
        return True
    if package == "spikingjelly" and getattr(neuron, "step_mode", "s") == "m":
        module(x)
        return True
    state: Any = None
    for x_t in x:
        y = module(x_t, state) if package == "norse" else module(x_t)
        state = y[1] if package == "norse" else None
    return False


def _time_first(y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Outputs ``[T, B, ...]``, ``[B, T, ...]`` or ``[B T, ...]``, time first."""
    steps, batch = x.shape[:2]
    if y.shape[0] == batch * steps and y.shape[:2] != (steps, batch):
        return y.reshape(batch, steps, *y.shape[1:]).transpose(0, 1).contiguous()
    return y if y.shape[0] == steps else y.transpose(0, 1).contiguous()


def _keeping(name: str, seen: dict[str, list[torch.Tensor]]) -> Any:
    def keep(module: nn.Module, _inputs: Any, output: Any) -> None:
        spikes, *rest = output if isinstance(output, tuple) else (output,)
        seen.setdefault(name, []).append(spikes.detach().clone())
        v = (
            getattr(rest[0], "v", None)
            if rest and _package(module) == "norse"
            else getattr(module, "mem", None)
        )
        if isinstance(v, torch.Tensor) and v.shape == spikes.shape:
            seen.setdefault(name + MEMBRANE, []).append(v.detach().clone())

    return keep


def _package(module: nn.Module) -> str:
    package = type(module).__module__.partition(".")[0]
    return package if package in PACKAGES else ""


def _parts(module: nn.Module) -> list[nn.Module]:
    """``module`` and all in it; Rockpool's ``modules()`` is something else."""
    return [part for _, part in nn.Module.named_modules(module)]


def _is_neuron(module: nn.Module) -> bool:
    """A layer with a state of its own: it has no such layers inside, and is no container or pool."""
    own, *inner = (any(hasattr(part, name) for name in STATES) for part in _parts(module))
    return own and not any(inner)


def _forget(module: nn.Module) -> None:
    """Take the state from all neurons."""
    for part in _parts(module):
        for name in ("reset_mem", "reset_states", "reset_state", "reset"):
            if _package(part) and callable(getattr(part, name, None)):
                getattr(part, name)()
                break
