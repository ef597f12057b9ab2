"""A trained student as something that can be run and recorded, in the same form as every backend."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from spikingjelly.activation_based import functional
from torch import nn

from snn_deploy.graph.types import Trace, given_spikes
from snn_deploy.models.neurons import spiking_layers


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
            output = self._student(x)
        finally:
            for hook in hooks:
                hook.remove()
            functional.reset_net(self._student)
        return Trace(output=output, records=records)


def _hook(name: str, records: dict[str, torch.Tensor] | None, forced: Mapping[str, torch.Tensor]):  # type: ignore[no-untyped-def]
    def observe(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor | None:
        if records is not None:
            records[name] = output
        return forced.get(name)

    return observe
