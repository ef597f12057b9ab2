"""Typed views that the floors above share: the execution plan of a graph and the trace of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import nir

from snn_deploy.core.errors import ConfigError

if TYPE_CHECKING:
    import torch

WEIGHT_NODES = (nir.Affine, nir.Linear, nir.Conv1d, nir.Conv2d)
SPIKING_NODES = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
INTEGRATOR_NODES = (nir.I, nir.LI, nir.CubaLI)
NEURON_NODES = (*SPIKING_NODES, *INTEGRATOR_NODES)
STATEFUL_NODES = (nir.IF, nir.LIF, nir.CubaLIF, nir.I, nir.LI, nir.CubaLI, nir.Delay)


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph made ready to execute.

    Attributes:
        graph: the flat NIR graph.
        order: node names, every node after its ``sources``.
        sources: per node, the nodes whose outputs of the *same* step are summed into it.
        feedback: per node, the nodes whose outputs of the *previous* step are added to that sum.
        shapes: output shape of every node, without T and B.
        input: name of the one input node.
        output: name of the one output node.
    """

    graph: nir.NIRGraph
    order: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    feedback: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, tuple[int, ...]]
    input: str
    output: str

    def node(self, name: str) -> nir.NIRNode:
        """The node called ``name``."""
        return self.graph.nodes[name]

    def of_type(self, *types: type[nir.NIRNode]) -> tuple[str, ...]:
        """Names of the nodes of the given types, in execution order."""
        return tuple(name for name in self.order if isinstance(self.node(name), types))


@dataclass(slots=True)
class Trace:
    """Recorded activity of one run.

    Attributes:
        output: output of the network, ``[T, B, *shape]``.
        records: output of each recorded node, ``[T, B, *shape]``; the input node is recorded too.
        state: typed final state per stateful node, to continue the run.
    """

    output: torch.Tensor
    records: dict[str, torch.Tensor] = field(default_factory=dict)
    state: dict[str, tuple[torch.Tensor, ...]] = field(default_factory=dict)


def given_spikes(
    forced: Mapping[str, torch.Tensor] | None, layers: Collection[str]
) -> dict[str, torch.Tensor]:
    """The spikes that a run is given in the place of its own; every executable of ``layers`` takes them so.

    Raises:
        ConfigError: they name unknown layers.
    """
    given = dict(forced or {})
    if unknown := set(given) - set(layers):
        raise ConfigError(f"Cannot force unknown layers: {', '.join(sorted(unknown))}.")
    return given
