"""An ANN as a torch module, to be asked or trained: teacher of a distillation, or fine-tuned before it is
converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import nir
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from snn_deploy.convert.ann import Ann, Function, Rectifier, added, function_of
from snn_deploy.graph.passes.fold_batchnorm import bias_of, with_weights
from snn_deploy.graph.shapes import axes, pads
from snn_deploy.graph.types import WEIGHT_NODES

MakeRectifier = Callable[[str, Rectifier], nn.Module]


class Weights(nn.Module):
    """A dense layer or a convolution with the weights of a node; a fixed one has no parameters."""

    weight: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, node: nir.NIRNode) -> None:
        super().__init__()
        self._node = node
        bias = bias_of(node)
        given = {"weight": np.asarray(node.weight), "bias": bias}
        for name, value in given.items():
            tensor = None if value is None else torch.from_numpy(np.array(value, np.float32))
            if tensor is not None and not node.metadata.get("fixed"):
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        self._rank = np.ndim(node.weight) - 2
        if self._rank:
            kernel = np.shape(node.weight)[2:]
            self._stride, self._dilation = (axes(v, self._rank) for v in (node.stride, node.dilation))
            self._groups = axes(node.groups, 1)[0]
            around = pads(node, kernel, self._dilation, self._stride)
            self._around = [n for pair in reversed(around) for n in pair]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self._rank:
            return functional.linear(x, self.weight, self.bias)
        convolve = functional.conv1d if self._rank == 1 else functional.conv2d
        if any(self._around):
            x = functional.pad(x, self._around)
        return convolve(x, self.weight, self.bias, self._stride, 0, self._dilation, self._groups)

    def node(self) -> nir.NIRNode:
        """The node with the weights as they are now."""
        bias = None if self.bias is None else self.bias.detach().cpu().double().numpy()
        return with_weights(self._node, self.weight.detach().cpu().numpy(), bias)


class Apply(nn.Module):
    """What a node without weights computes, with gradients: the simulator's averages have none."""

    def __init__(self, node: nir.NIRNode) -> None:
        super().__init__()
        self._function = _average(node) if isinstance(node, nir.AvgPool2d) else function_of(node)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._function(x)


def _average(node: nir.AvgPool2d) -> Function:
    kernel, stride, padding = (axes(value, 2) for value in (node.kernel_size, node.stride, node.padding))
    return lambda x: functional.avg_pool2d(x, kernel, stride, padding)


class AnnModule(nn.Module):
    """``[B, *shape] -> [B, K]``; layers are called as the nodes, with ``_`` for dots.

    Args:
        ann: the network.
        rectifier: makes the module of a rectifier; by default what it computes.

    Attributes:
        comes_trained: says that its weights are not drawn at random.
    """

    comes_trained = True

    def __init__(self, ann: Ann, rectifier: MakeRectifier = lambda _, node: Apply(node)) -> None:
        super().__init__()
        self.ann = ann
        self._names = {name: name.replace(".", "_") for name in ann.nodes}
        for name, node in ann.nodes.items():
            if isinstance(node, Rectifier):
                made = rectifier(name, node)
            else:
                made = Weights(node) if isinstance(node, WEIGHT_NODES) else Apply(node)
            self.add_module(self._names[name], made)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {self.ann.input: x}
        for name, sources in self.ann.sources.items():
            if name != self.ann.input:
                values[name] = self.of(name)(added(values[source] for source in sources))
        return values[self.ann.output]

    def of(self, name: str) -> nn.Module:
        """The module of a node."""
        return self.get_submodule(self._names[name])

    def as_ann(self, rectifiers: Mapping[str, Rectifier]) -> Ann:
        """The ANN with the weights as they are now, and other ``rectifiers`` by name."""
        nodes = dict(self.ann.nodes)
        for name in nodes:
            module = self.of(name)
            if isinstance(module, Weights) and not nodes[name].metadata.get("fixed"):
                nodes[name] = module.node()
        return replace(self.ann, nodes={**nodes, **rectifiers})
