r"""The student ``converted``: the network of a conversion as a trainable module.

Layers are those of the network's file, called as there with ``_`` for dots; all weights are trained. What its
neurons are is a choice:

========================== =====================================================================
``neuron``                 first weights and neurons
========================== =====================================================================
``if``, ``v_reset: null``  those of the file: reset by subtraction, each channel with its start
                           (:mod:`~snn_deploy.models.started`); before training its spikes are the
                           conversion's
another                    :func:`~snn_deploy.models.neurons.make_neuron`; the weights in front of a
                           channel with threshold :math:`\theta` are multiplied by ``v_threshold``
                           :math:`/ \theta`, and by ``tau`` where the input decays too: without leak
                           the first spike comes when it came before
========================== =====================================================================

The second is a start and no equality: a hard reset loses what is above the threshold. Both are our choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import reduce
from typing import Any

import nir
import numpy as np
import torch
from spikingjelly.activation_based import layer
from torch import nn

from snn_deploy.core.errors import ConfigError, Problem, UnsupportedError
from snn_deploy.core.registry import STUDENTS
from snn_deploy.graph.passes.fold_batchnorm import bias_of, channel_layer, scaled_outputs
from snn_deploy.graph.passes.to_chip.neurons import per_channel
from snn_deploy.graph.plan import make_plan
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.shapes import axes, flatten_axes, pads
from snn_deploy.graph.types import WEIGHT_NODES, Plan
from snn_deploy.models.neurons import make_neuron, make_surrogate
from snn_deploy.models.options import ConvertedOptions, NeuronOptions
from snn_deploy.models.parts import Shape
from snn_deploy.models.started import StartedIF
from snn_deploy.recipes.kept_files import kept_file

Sources = dict[str, tuple[str, ...]]


class Converted(nn.Module):
    """``[T, B, C, H, W] -> [T, B, K]``: layers in order, each fed with the sum of its ``sources``."""

    def __init__(self, layers: Mapping[str, nn.Module], sources: Sources, output: tuple[str, ...]) -> None:
        super().__init__()
        self._sources, self._output = sources, output
        for name, module in layers.items():
            self.add_module(name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {"": x}
        for name, sources in self._sources.items():
            entering = reduce(torch.add, (values[source] for source in sources))
            values[name] = self.get_submodule(name)(entering)
        return reduce(torch.add, (values[source] for source in self._output))


@STUDENTS.register("converted")
def converted(options: ConvertedOptions, *, in_shape: Shape, classes: int, timesteps: int) -> Converted:
    """The network of a conversion, trained on; spiking, deployable.

    The network does not depend on ``timesteps``.

    Raises:
        ConfigError: it takes other images or gives other scores, or the neuron's threshold is not the file's.
        DataError: the file is missing, damaged or changed.
        UnsupportedError: the file has nodes that no conversion makes.
    """
    plan = make_plan(read_nir(kept_file(options.network, options.sha256)))
    found = plan.shapes[plan.input], plan.shapes[plan.output]
    if found != (in_shape, (classes,)):
        raise ConfigError(
            f"The network '{options.network}' maps {found[0]} to {found[1]}; the data have {in_shape} and "
            f"{classes} classes.",
            hint="Distil on the data that the ANN was converted for.",
        )
    own = options.neuron.kind == "if" and options.neuron.v_reset is None
    if own and options.neuron.v_threshold != 1.0:
        raise ConfigError(
            "A converted network that resets by subtraction keeps its own thresholds.",
            problems=[Problem("student.neuron.v_threshold", f"is {options.neuron.v_threshold:g}", "1")],
        )
    nodes, sources = dict(plan.graph.nodes), {name: plan.sources[name] for name in plan.order}
    if not own:
        nodes, sources = _rescaled(plan, options.neuron)
    return _network(plan, nodes, sources, options.neuron, own)


def _rescaled(plan: Plan, neuron: NeuronOptions) -> tuple[dict[str, nir.NIRNode], Sources]:
    """Nodes and sources with the weights in front of neurons as the module's text says."""
    readers = [a for found in plan.sources.values() for a in found]
    nodes, sources = dict(plan.graph.nodes), dict(plan.sources)
    gain = neuron.tau if neuron.kind != "if" and neuron.decay_input and neuron.tau else 1.0
    ordered: Sources = {}
    for name in plan.order:
        if isinstance(nodes[name], nir.IF):
            shape = plan.shapes[name]
            try:
                factor = neuron.v_threshold * gain / _by_channel(nodes[name].v_threshold, shape)
            except _StrangeNodeError as error:
                raise _strange([(name, error)]) from None
            for source in sources[name]:
                if isinstance(nodes[source], WEIGHT_NODES) and readers.count(source) == 1:
                    nodes[source] = scaled_outputs(nodes[source], factor, np.zeros_like(factor))
                    continue
                between = f"{name}.from.{source}"
                nodes[between], ordered[between] = channel_layer(shape, factor), (source,)
                sources[name] = tuple(between if s == source else s for s in sources[name])
        ordered[name] = sources[name]
    return nodes, ordered


def _network(
    plan: Plan, nodes: Mapping[str, nir.NIRNode], sources: Sources, neuron: NeuronOptions, own: bool
) -> Converted:
    """Modules of all nodes; a sum over a window and a threshold behind it are the maximum of the window."""
    sums = {name: found[0] for name, found in sources.items() if isinstance(nodes[name], nir.Threshold)}
    left = {plan.input, plan.output, *sums.values()}
    flat = {name: "" if name == plan.input else name.replace(".", "_") for name in sources}
    layers: dict[str, nn.Module] = {}
    entering: Sources = {}
    strange = []
    for name in sources:
        if name in left:
            continue
        node, feeding = nodes[name], sources[sums.get(name, name)]
        try:
            if isinstance(node, nir.IF):
                shape = plan.shapes[name]
                layers[flat[name]] = _started(node, shape, neuron) if own else make_neuron(neuron)
            elif name in sums:
                layers[flat[name]] = _maximum(nodes[sums[name]])
            else:
                layers[flat[name]] = _layer(node, len(plan.shapes.get(feeding[0], ())))
        except _StrangeNodeError as error:
            strange.append((name, error))
        entering[flat[name]] = tuple(flat[source] for source in feeding)
    if strange:
        raise _strange(strange)
    return Converted(layers, entering, tuple(flat[source] for source in sources[plan.output]))


class _StrangeNodeError(Exception):
    """A node that no conversion makes."""


def _strange(found: Iterable[tuple[str, _StrangeNodeError]]) -> UnsupportedError:
    problems = [Problem(name, str(error), "what a conversion makes") for name, error in found]
    return UnsupportedError("The network is not one of a conversion.", problems=problems)


def _started(node: nir.IF, shape: tuple[int, ...], neuron: NeuronOptions) -> StartedIF:
    threshold = _by_channel(node.v_threshold, shape)
    drop = threshold - _by_channel(node.v_reset, shape)
    high, drop = (
        torch.tensor(value, dtype=torch.float32).view(-1, *[1] * (len(shape) - 1))
        for value in (threshold, drop)
    )
    return StartedIF(high, drop, make_surrogate(neuron.surrogate), neuron.detach_reset)


def _by_channel(value: Any, shape: tuple[int, ...]) -> Any:
    """``[C]`` of a parameter that is the same at all positions of a channel, in float64."""
    found = per_channel(value, shape)
    if found is None:
        raise _StrangeNodeError("a neuron with thresholds that differ within a channel")
    return np.broadcast_to(found, shape[:1]).copy()


def _layer(node: nir.NIRNode, rank: int) -> nn.Module:
    """The module of a node without state, with its weights; its input has ``rank`` axes without T and B."""
    if isinstance(node, nir.Flatten):
        if flatten_axes(node, rank) != (0, rank - 1):
            raise _StrangeNodeError("a Flatten of some axes")
        made: nn.Module = layer.Flatten(step_mode="m")
        return made
    if isinstance(node, nir.AvgPool2d):
        return _pool(layer.AvgPool2d, node)
    if isinstance(node, nir.Affine | nir.Linear):
        outputs, inputs = np.shape(node.weight)
        weighted: Any = layer.Linear(inputs, outputs, bias=isinstance(node, nir.Affine), step_mode="m")
    elif isinstance(node, nir.Conv1d | nir.Conv2d):
        weighted = _convolution(node)
    else:
        raise _StrangeNodeError(f"a {type(node).__name__}")
    with torch.no_grad():
        weighted.weight.copy_(torch.from_numpy(np.asarray(node.weight, np.float32)))
        if (bias := bias_of(node)) is not None:
            weighted.bias.copy_(torch.from_numpy(bias))
    network: nn.Module = weighted
    return network


def _convolution(node: nir.Conv1d | nir.Conv2d) -> nn.Module:
    outputs, per_group, *kernel = np.shape(node.weight)
    rank, groups = len(kernel), axes(node.groups, 1)[0]
    stride, dilation = axes(node.stride, rank), axes(node.dilation, rank)
    around = pads(node, kernel, dilation, stride)
    if any(before != after for before, after in around):
        raise _StrangeNodeError("a convolution padded unevenly")
    kind = layer.Conv1d if rank == 1 else layer.Conv2d
    padding = tuple(before for before, _ in around)
    made: nn.Module = kind(
        per_group * groups, outputs, tuple(kernel), stride, padding, dilation, groups, step_mode="m"
    )
    return made


def _maximum(node: nir.NIRNode) -> nn.Module:
    """The maximum over the windows in which ``node`` counts spikes."""
    if not isinstance(node, nir.SumPool2d):
        raise _StrangeNodeError("a threshold that no SumPool2d feeds")
    return _pool(layer.MaxPool2d, node)


def _pool(kind: Any, node: nir.AvgPool2d | nir.SumPool2d) -> nn.Module:
    kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
    around = pads(node, kernel, (1, 1), stride)
    made: nn.Module = kind(kernel, stride, tuple(before for before, _ in around), step_mode="m")
    return made
