"""What a network costs while it runs: spikes and synaptic operations, counted on the live modules.

For an input ``x [..., *shape]`` of a weighted module (dense or convolution) and its fan-out ``f [*shape]``,
the number of targets that each element reaches over all connections, zero weights included::

    SOPs = Σ [x ≠ 0] f          f = d (Σ y) / d x  with every weight set to 1

summed over weighted modules, steps and samples. These are the events by site of the exported graph; products
of activities, as in attention, are not among them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from snn_deploy.models.chip_modules import ChipConv2d, ChipLinear, ChipSynapses
from snn_deploy.models.neurons import spiking_layers
from snn_deploy.processes.world import World

_INPUT_AXES: tuple[tuple[type[nn.Module], int], ...] = (
    (nn.Linear, 1),
    (nn.Conv1d, 2),
    (nn.Conv2d, 3),
    (nn.Conv3d, 4),
    (nn.ConvTranspose1d, 2),
    (nn.ConvTranspose2d, 3),
    (nn.ConvTranspose3d, 4),
    (ChipLinear, 1),
    (ChipConv2d, 3),
)
"""Weighted modules and the number of axes of one input."""

_BLOCK = 1 << 18
"""A CPU counts so many elements at a time: they stay in the cache."""


class ActivityMeter:
    """Counts what ``network`` does as long as the context is open, in eval mode; exact whole numbers.

    Attributes:
        layers: module paths of the spiking neurons.
    """

    def __init__(self, network: nn.Module) -> None:
        self.layers = spiking_layers(network)
        self._network = network
        self._spikes: dict[str, torch.Tensor] = {}
        self._sites = dict.fromkeys(self.layers, 0)
        self._sops = torch.zeros((), dtype=torch.int64)
        self._fans: dict[tuple[nn.Module, torch.Size], torch.Tensor] = {}
        self._probing = False
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        for name in self.layers:
            neurons = self._network.get_submodule(name)
            self._hooks.callback(neurons.register_forward_hook(self._fired(name)).remove)
        if self.layers:
            for module in self._network.modules():
                for kind, axes in _INPUT_AXES:
                    if isinstance(module, kind):
                        self._hooks.callback(module.register_forward_pre_hook(self._entered(axes)).remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hooks.close()

    def add_processes(self, world: World) -> None:
        """Count what the network did in all processes of ``world``."""
        if world.size == 1:
            return
        counted = self._counted()
        own = [self.sops or 0, *(int(counted.get(name, 0)) for name in self.layers), *self._sites.values()]
        sops, *counts = world.sum(torch.tensor(own)).tolist()
        sites = counts[len(self.layers) :]
        self._sops = torch.tensor(sops)
        self._sites = dict(zip(self.layers, sites, strict=True))
        self._spikes = {
            name: torch.tensor(spikes)
            for name, spikes, size in zip(self.layers, counts, sites, strict=False)
            if size
        }

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per neuron and step of each spiking layer that ran."""
        return {name: spikes / self._sites[name] for name, spikes in self._counted().items()}

    @property
    def rate(self) -> float | None:
        """Spikes per neuron and step over all neurons; None for a network without any."""
        return sum(self._counted().values()) / sum(self._sites.values()) if self._spikes else None

    @property
    def sops(self) -> int | None:
        """Synaptic operations; None for a network without spiking neurons."""
        return int(self._sops.cpu()) if self.layers else None

    def _counted(self) -> dict[str, float]:
        """Spikes of each layer that ran; a device is asked once for all."""
        if not self._spikes:
            return {}
        return dict(zip(self._spikes, torch.stack(list(self._spikes.values())).cpu().tolist(), strict=True))

    def _fired(self, name: str) -> Callable[..., None]:
        def count(_module: nn.Module, _inputs: object, spikes: torch.Tensor) -> None:
            # Sums over samples and steps are whole numbers below 2^24, which float32 holds exactly.
            total = spikes.flatten(0, 1).sum(0).double().sum()
            self._spikes[name] = self._spikes.get(name, 0) + total
            self._sites[name] += spikes.numel()

        return count

    def _entered(self, axes: int) -> Callable[..., None]:
        def count(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            if self._probing:
                return
            x = inputs[0]
            key = (module, x.shape[-axes:])
            if key not in self._fans:
                plain = module.as_real() if isinstance(module, ChipSynapses) else module
                self._fans[key] = self._fan_out(plain, x, axes)
            self._sops = self._sops + (active(x, axes) * self._fans[key]).sum()

        return count

    def _fan_out(self, module: nn.Module, x: torch.Tensor, axes: int) -> torch.Tensor:
        self._probing = True
        with torch.inference_mode(False), torch.enable_grad():
            ones = {name: torch.ones_like(p, dtype=torch.float64) for name, p in module.named_parameters()}
            shape = (*[1] * (x.ndim - axes), *x.shape[-axes:])
            source = torch.zeros(shape, dtype=torch.float64, device=x.device, requires_grad=True)
            reached = torch.func.functional_call(module, ones, (source,)).sum()
            (fan,) = torch.autograd.grad(reached, source)
        self._probing = False
        return fan.view(x.shape[-axes:]).round().long()


def active(x: torch.Tensor, axes: int) -> torch.Tensor:
    """How often each element of the last ``axes`` axes of ``x`` is not 0, int64."""
    rows = x.detach().reshape(-1, *x.shape[-axes:])
    size = rows.shape[0] if x.is_cuda else max(1, _BLOCK // rows.shape[1:].numel())
    total = torch.zeros(rows.shape[1:], dtype=torch.int64, device=x.device)
    mask = torch.empty_like(rows[:size], dtype=torch.float32)
    for block in torch.split(rows, size):
        total += torch.ne(block, 0, out=mask[: len(block)]).sum(0).long()
    return total
