"""What the nodes of a network give on calibration images, from what is kept: the input and the rectifiers.

Everything between rectifiers is linear (or a maximum), and is computed again for each part of the images that
is asked for, so that memory holds spikes as single bytes and nothing else for every step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nir
import torch

from snn_deploy.convert.ann import Ann, MaxPool, Rectifier, added, function_of
from snn_deploy.convert.choices import MaxPooling
from snn_deploy.convert.neuron import per_channel


@dataclass(frozen=True, slots=True)
class Spikes:
    """Spikes ``[T, B, C, ...]``, each of the size ``theta [C]``."""

    bits: torch.Tensor
    theta: torch.Tensor

    def of(self, part: slice) -> torch.Tensor:
        """Their values for a part of the images."""
        bits = self.bits[:, part]
        return bits * per_channel(self.theta, bits[0])


Kept = torch.Tensor | Spikes


class Values:
    """Values ``[S, B, ...]`` of all nodes of ``ann`` with ``nodes``: S is T, or 1 where every step is the
    same.

    ``max_pool`` "or" takes maxima as they are, as an OR of spikes of one size is their maximum.
    """

    def __init__(
        self,
        ann: Ann,
        nodes: Mapping[str, nir.NIRNode],
        kept: Mapping[str, Kept],
        max_pool: MaxPooling = "or",
    ) -> None:
        self._ann = ann
        self._kept = dict(kept)
        self._functions = {name: function_of(stand_in(node, max_pool)) for name, node in nodes.items()}
        self._open = [*ann.rectifiers, ann.output]

    def of(self, name: str, part: slice) -> torch.Tensor:
        """The output of a node for a part of the images."""
        kept = self._kept.get(name)
        if isinstance(kept, Spikes):
            return kept.of(part)
        if kept is not None:
            return kept[:, part]
        x = self.entering(name, part)
        y = self._functions[name](x.flatten(0, 1))
        return y.view(*x.shape[:2], *y.shape[1:])

    def entering(self, name: str, part: slice) -> torch.Tensor:
        """The summed input of a node for a part of the images."""
        return added(self.of(source, part) for source in self._ann.sources[name])

    def leaves(self, name: str) -> set[str]:
        """The rectifiers, or the input, that the input of a node is computed from."""
        found: set[str] = set()
        for source in self._ann.sources[name]:
            ends = source == self._ann.input or isinstance(self._ann.nodes[source], Rectifier)
            found |= {source} if ends else self.leaves(source)
        return found

    def keep(self, name: str, value: Kept) -> None:
        """Hold what the rectifier ``name`` gives, and let go of what no later node needs."""
        self._kept[name] = value
        self._open.remove(name)
        needed = set().union(*(self.leaves(other) for other in self._open))
        self._kept = {key: found for key, found in self._kept.items() if key in needed}

    def replace(self, name: str, node: nir.NIRNode) -> None:
        """From now on ``node`` is called ``name``."""
        self._functions[name] = function_of(node)


def stand_in(node: nir.NIRNode, max_pool: MaxPooling) -> nir.NIRNode:
    """What stands for a maximum among spikes; other nodes stay."""
    if isinstance(node, MaxPool) and max_pool == "average":
        return node.pooled_by(nir.AvgPool2d)
    return node
