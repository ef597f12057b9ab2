"""An ANN as a graph: NIR's weights and pools with rectifiers and maxima between them, which NIR does not
have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from snn_deploy.convert.neuron import quantised
from snn_deploy.graph.semantics import Semantics
from snn_deploy.graph.shapes import Shape
from snn_deploy.simulate.layers import stateless


@dataclass(eq=False)
class Rectifier(nir.NIRNode):
    """``y = min(max(0, x), ceiling)``; without a ceiling ``y = max(0, x)``. No node of NIR.

    One that was fine-tuned (:mod:`snn_deploy.convert.clip_floor_shift`) has a threshold ``theta [C]`` and a
    number of ``levels`` L: ``y = theta / L clip(floor(x L / theta + 1/2), 0, L)``.
    """

    ceiling: float | None = None
    theta: npt.NDArray[np.float32] | None = None
    levels: int = 0

    def __post_init__(self) -> None:
        self.input_type = {"input": None}
        self.output_type = {"output": None}


@dataclass(eq=False)
class MaxPool(nir.NIRNode):
    """The largest value of every window of ``kernel``; padding never wins. No node of NIR."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __post_init__(self) -> None:
        self.input_type = {"input": None}
        self.output_type = {"output": None}

    def pooled_by(self, kind: type[nir.NIRNode]) -> nir.NIRNode:
        """A pool of NIR over the same windows."""
        return kind(*(np.array(value) for value in (self.kernel, self.stride, self.padding)))


@dataclass(frozen=True, slots=True)
class Ann:
    """An ANN ready to run.

    Attributes:
        name: for titles.
        nodes: in order of execution; several sources of a node add.
        sources: per node, the nodes whose outputs are summed into it.
        shapes: output shape of every node, without B.
        input, output: names of the two doors.
        remarks: what is not as the author wrote it, a sentence each.
    """

    name: str
    nodes: Mapping[str, nir.NIRNode]
    sources: Mapping[str, tuple[str, ...]]
    shapes: Mapping[str, Shape]
    input: str
    output: str
    remarks: tuple[str, ...] = field(default=())

    @property
    def rectifiers(self) -> tuple[str, ...]:
        """Names of the rectifiers in order of execution."""
        return tuple(name for name, node in self.nodes.items() if isinstance(node, Rectifier))

    @property
    def edges(self) -> list[tuple[str, str]]:
        """All edges, in order of execution of their ends."""
        return [(a, b) for b, found in self.sources.items() for a in found]

    def readers(self) -> dict[str, list[str]]:
        """Per node, the nodes that read it."""
        found: dict[str, list[str]] = {name: [] for name in self.nodes}
        for a, b in self.edges:
            found[a].append(b)
        return found


Function = Callable[[torch.Tensor], torch.Tensor]


def function_of(node: nir.NIRNode, dtype: torch.dtype = torch.float32) -> Function:
    """What ``node`` computes: ``[B, *in] -> [B, *out]``."""
    if isinstance(node, Rectifier) and node.theta is not None:
        return partial(quantised, theta=torch.from_numpy(node.theta).to(dtype), timesteps=node.levels)
    if isinstance(node, Rectifier):
        ceiling = node.ceiling
        return lambda x: x.clamp(0.0, ceiling)
    if isinstance(node, MaxPool):
        kernel, stride, padding = node.kernel, node.stride, node.padding
        return lambda x: functional.max_pool2d(x, kernel, stride, padding)
    found = stateless(node, Semantics(), dtype, torch.device("cpu"))
    assert found is not None, type(node)
    return found


def added(terms: Iterable[torch.Tensor]) -> torch.Tensor:
    """The sum of at least one term."""
    return reduce(torch.add, terms)


class Runner:
    """Runs an ANN, or a part of it, in float32 on the CPU."""

    def __init__(self, ann: Ann) -> None:
        self.ann = ann
        self.functions = {name: function_of(node) for name, node in ann.nodes.items()}

    @torch.no_grad()
    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Scores ``[B, K]`` of ``x [B, *shape]``."""
        values = {self.ann.input: x}
        left = {name: len(found) for name, found in self.ann.readers().items()}
        for name in self.ann.nodes:
            if name != self.ann.input:
                entering = added(values[source] for source in self.ann.sources[name])
                values[name] = self.functions[name](entering)
                for source in self.ann.sources[name]:
                    left[source] -= 1
                    if not left[source]:
                        del values[source]
        return values[self.ann.output]
