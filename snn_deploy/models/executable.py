"""A trained student as something that can be run and recorded, in the same form as every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.models.neurons import spiking_layers

BLOCK = 2**20
"""Elements of a layer that advance together; our choice."""
_KEEPING = (neuron.IFNode, neuron.LIFNode, neuron.ParametricLIFNode)
"""Neurons that keep the membranes of all steps that they are given, for a backward pass."""


class StudentExecutable:
    """Runs a spikingjelly student in eval mode from zero state and records its neurons by module path."""

    def __init__(self, student: nn.Module) -> None:
        self._student = student.eval()
        self._neurons = {name: student.get_submodule(name) for name in spiking_layers(student)}

    @property
    def layers(self) -> tuple[str, ...]:
        """Module paths of the spiking layers, in the order of definition."""
        return tuple(self._neurons)

    @torch.inference_mode()
    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, C, H, W]``; see :class:`snn_deploy.simulate.base.Executable`."""
        given = given_spikes(forced, self._neurons)
        records: dict[str, torch.Tensor] = {}
        hooks = [
            module.register_forward_hook(_hook(name, records if record else None, given))
            for name, module in self._neurons.items()
        ]
        functional.reset_net(self._student)
        try:
            with _in_blocks(self._neurons.values()):
                output = self._student(x)
        finally:
            for hook in hooks:
                hook.remove()
            functional.reset_net(self._student)
        return Trace(output=output, records=records)


@contextmanager
def _in_blocks(neurons: Iterable[nn.Module]) -> Iterator[None]:
    """Give neurons one block of time after the other: the same operations in a fraction of the memory."""
    changed: list[nn.Module] = []
    for module in neurons:
        if type(module) in _KEEPING and module.step_mode == "m" and not module.store_v_seq:
            module.forward = partial(_blocks, module.forward)
            changed.append(module)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _blocks(forward: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """``forward`` of ``x [T, B, ...]`` in blocks of time; the membranes stay in the neurons in between."""
    steps = max(1, BLOCK // x[0].numel())
    if steps >= len(x):
        return forward(x)
    spikes = x.new_empty(x.shape)
    for begin in range(0, len(x), steps):
        spikes[begin : begin + steps] = forward(x[begin : begin + steps])
    return spikes


def _hook(name: str, records: dict[str, torch.Tensor] | None, forced: Mapping[str, torch.Tensor]):  # type: ignore[no-untyped-def]
    def observe(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if records is not None:
            records[name] = output
        return forced.get(name)

    return observe
