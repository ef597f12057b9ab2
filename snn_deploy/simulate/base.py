"""What every backend offers: run a network on spikes and record what each layer did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch

from snn_deploy.graph.types import Trace


@runtime_checkable
class Executable(Protocol):
    """A loaded network. State starts from zero at every call.

    ``layers`` names the spiking layers in execution order, with the node names of the hub graph.
    """

    @property
    def layers(self) -> tuple[str, ...]: ...

    def run(
        self,
        x: torch.Tensor,
        *,
        record: bool = False,
        forced: Mapping[str, torch.Tensor] | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]``.

        With ``record`` the trace holds the output of every layer. With ``forced`` (layer name to
        ``[T, B, *shape]``) every layer still computes and records its own output, but the layers after it
        see the forced one: one run then judges each layer on the reference's own input.
        """
