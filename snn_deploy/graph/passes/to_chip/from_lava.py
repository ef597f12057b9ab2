r"""The hub graph of a ``.net`` network: real weights :math:`W_q / S`, real thresholds :math:`vThMant / S`.

Counting, pricing and reporting work on graphs; this one has exactly the synapses and neurons that the file
holds. Its dynamics are those of the file without the rounding toward zero, the 24-bit limits, and Lava's
delay of one step per layer. Thresholds lie halfway between the last state that does not fire and the first
that does, so that float rounding cannot turn one into the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.core.errors import Problem
from snn_deploy.graph.lava.net import (
    DECAY_ONE,
    STATE_LIMIT,
    Conv,
    Dense,
    Flatten,
    Input,
    IntArray,
    LavaNet,
    Population,
    neuron_of,
)
from snn_deploy.graph.lava.rules import RECURRENT_DELAYS, structure_problems
from snn_deploy.graph.passes.journal import Names
from snn_deploy.graph.passes.keeps import paths
from snn_deploy.graph.passes.protocol import Change, Made, Pass
from snn_deploy.graph.passes.to_chip.branches import branches
from snn_deploy.graph.passes.to_chip.waits import ENDS, waits
from snn_deploy.graph.semantics import Decode, Semantics, read_semantics, write_semantics
from snn_deploy.graph.shapes import shapes_from_input

DT = 1e-3
LARGEST_STATE = (STATE_LIMIT - 1) / 64
"""Of a voltage, in weight units: no neuron fires at a threshold above it."""
FloatArray = npt.NDArray[np.floating[Any]]
Scale = float | FloatArray


@dataclass(frozen=True, eq=False)
class FromLava(Pass[LavaNet, nir.NIRGraph]):
    """The NIR graph of a ``.net`` network.

    A population that is driven through its bias becomes one weight per channel; recurrent weights become a
    node ``NAME.recurrent`` that is fed back. Delays become a node ``NAME.delay`` before the weights or behind
    them; where neither can say them, weights of every number of steps have a branch of their own.

    Attributes:
        scales: S of every population, or of its channels; 1 for a foreign file, whose currents then count
            weight units.
        weights_names: name of every population's weights; ``NAME.weights`` unless given, and where spiking
            neurons have that name themselves.
    """

    name: ClassVar[str] = "graph of a .net file"
    refusal: ClassVar[str] = "The network has no NIR graph."
    scales: Sequence[Scale] | None = field(default=None, metadata={"journal": False})
    weights_names: Sequence[str] | None = field(default=None, metadata={"journal": False})

    def requires(self, before: LavaNet) -> Iterable[Problem]:
        """No network that means nothing; no delays beside recurrence; analog input only as an image; no
        currents or voltages without leak beside others that leak; no readout with a bias and a current that
        remembers."""
        return structure_problems(before) or _problems(before)

    def apply(self, before: LavaNet) -> Made[nir.NIRGraph]:
        """The graph, in the order of the file."""
        net = before
        found = list(self.scales or [1.0] * len(net.names))
        names = list(self.weights_names or [f"{name}.weights" for name in net.names])
        nodes: dict[str, nir.NIRNode] = {net.input_name: nir.Input({"input": np.array(net.input_shape)})}
        ends, shape, position = [net.input_name], net.input_shape, 0
        edges: list[tuple[str, str]] = []
        origins: dict[str, Names] = {}

        def add(name: str, node: nir.NIRNode, origin: str, sources: Sequence[str]) -> list[str]:
            nodes[name], origins[name] = node, (origin,)
            edges.extend((source, name) for source in sources)
            return [name]

        def wait(name: str, steps: IntArray, origin: str, sources: Sequence[str]) -> list[str]:
            return add(name, nir.Delay(DT * steps), origin, sources) if steps.any() else list(sources)

        for layer in net.layers:
            if isinstance(layer, Input) and layer.neuron is None:
                continue
            name = net.names[position]
            if isinstance(layer, Flatten):
                flat = nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
                ends = add(f"{ends[0]}.flatten", flat, name, ends)
                continue
            scale, weights_name = found[position], names[position]
            unit = scale * (net.input_scale if position == 0 else 1.0)
            readout = position == len(net.names) - 1 and net.readout is not None
            if weights_name == name and not readout:
                weights_name = f"{name}.weights"
            if isinstance(layer, Dense) and layer.delay is not None:
                given, ends = ends, []
                for number, branch in enumerate(branches(layer)):
                    part = replace(layer, weight=branch.weight, bias=None if number else layer.bias)
                    last = f"{number + 1}" if number else ""
                    arrived = wait(f"{name}.delay{last}", branch.before, name, given)
                    weighted = add(f"{weights_name}{last}", _weights(part, unit, scale, shape), name, arrived)
                    ends += wait(f"{name}.delay{last}", branch.behind, name, weighted)
            else:
                ends = add(weights_name, _weights(layer, unit, scale, shape), name, ends)
            if weights_name != name:
                ends = add(name, _neurons(layer, scale, readout), name, ends)
            if isinstance(layer, Dense) and layer.recurrent is not None:
                back = nir.Linear((layer.recurrent / _wide(scale, 2)).astype(np.float32))
                edges.append((add(f"{name}.recurrent", back, name, [name])[0], name))
            shape, position = layer.shape, position + 1
        add("output", nir.Output({"output": np.array(shape)}), net.names[-1], ends)
        graph = nir.NIRGraph(nodes, edges, metadata={}, type_check=False)
        decode: Decode = "last" if net.decode == "last" else "mean"
        semantics = Semantics(
            dt=DT, fires_at=">", timesteps=net.timesteps, decode=decode, classes=net.classes
        )
        write_semantics(graph, semantics)
        return Made(graph, origins)

    def ensures(self, change: Change[LavaNet, nir.NIRGraph]) -> Iterable[Problem]:
        """Populations keep their neurons and synapses, in a chain with the loops of the file."""
        net, graph = change.before, change.after
        shapes = shapes_from_input(graph.nodes, graph.edges)
        scales = self.scales or [1.0] * len(net.names)
        for name, layer, scale in zip(net.names, net.populations, scales, strict=True):
            if shapes.get(name) != layer.shape:
                what = f"has the shape {shapes.get(name)}, in the file {layer.shape}"
                yield Problem(name, what, "shapes are kept")
                continue
            made = [graph.nodes[new] for new, origins in change.origins.items() if origins == (name,)]
            synapses = sum(int(np.count_nonzero(getattr(node, "weight", ()))) for node in made)
            if not isinstance(layer, Input) and synapses != _synapses(layer):
                what = f"{synapses} weights, in the file {_synapses(layer)}"
                yield Problem(name, what, "weights other than 0 are kept")
            threshold = getattr(graph.nodes[name], "v_threshold", None)
            reached = np.minimum(neuron_of(layer).threshold, LARGEST_STATE)
            silent = _wide(np.asarray(reached / scale), len(layer.shape))
            if threshold is not None and not (threshold > silent).all():
                what = f"fires at {np.min(threshold):g}"
                yield Problem(name, what, "thresholds lie above the last state that does not fire")
        yield from _wired(net, graph)


def _wired(net: LavaNet, graph: nir.NIRGraph) -> Iterator[Problem]:
    """What is not the chain of the file, with its loops and delays."""
    wanted: Counter[tuple[Names, Names]] = Counter()
    before = (net.input_name,)
    late = waits(graph, read_semantics(graph))
    for name, layer in zip(net.names, net.populations, strict=True):
        apart = len(branches(layer)) if isinstance(layer, Dense) else 1
        here = (name if isinstance(graph.nodes[name], ENDS) else "output",)
        wanted[before, here] = apart
        if _recurrent(layer) is not None:
            wanted[here, here] = 1
        if isinstance(layer, Dense) and layer.delay is not None and layer.weight.any():
            used = layer.delay[layer.weight != 0]
            if (found := late[here[0]].get(before[0])) != (span := (int(used.min()), int(used.max()))):
                yield Problem(name, f"delays {found}, in the file {span}", "delays are kept")
        before = here
    if before != ("output",):
        wanted[before, ("output",)] = 1
    if (found_ways := paths(graph, lambda name: (name,), ENDS)) != wanted:
        yield Problem("graph", f"ways {sorted(found_ways)}", "a chain with the loops of the file")


def _recurrent(layer: Population) -> IntArray | None:
    return layer.recurrent if isinstance(layer, Dense) else None


def _synapses(layer: Conv | Dense) -> int:
    recurrent = _recurrent(layer)
    return sum(int(np.count_nonzero(part)) for part in (layer.weight, recurrent) if part is not None)


def _problems(net: LavaNet) -> list[Problem]:
    problems: list[Problem] = []
    last = net.names[-1] if net.readout is not None else None
    for name, layer in zip(net.names, net.populations, strict=True):
        neuron = neuron_of(layer)
        remembers = _remembers(layer)
        biased = not isinstance(layer, Input) and layer.bias is not None and bool(layer.bias.any())
        if isinstance(layer, Input) and (len(layer.shape) < 3 or remembers):
            what = f"neurons of shape {layer.shape} driven through their bias"
            problems.append(Problem(name, what, "an image (C, H, W), and currents without memory"))
        if isinstance(layer, Dense) and layer.delay is not None and layer.recurrent is not None:
            problems.append(Problem(name, "delays beside recurrent weights", RECURRENT_DELAYS))
        if remembers and biased and name == last:
            what = "a readout with a bias and a current that remembers"
            problems.append(Problem(name, what, "integrators start at their resting potential"))
        if remembers and not ((neuron.current_decay > 0).all() and (neuron.voltage_decay > 0).all()):
            problems.append(Problem(name, "currents or voltages without leak", "finite time constants"))
        elif (neuron.voltage_decay > 0).any() and not (neuron.voltage_decay > 0).all():
            problems.append(Problem(name, "neurons with and without leak", "one kind of neuron per layer"))
    return problems


def _weights(layer: Population, unit: Scale, scale: Scale, shape: tuple[int, ...]) -> nir.NIRNode:
    if isinstance(layer, Input):
        weight = np.full((shape[0], 1, 1, 1), layer.weight, np.float32) / _wide(unit, 4)
        bias = np.full(shape[0], layer.bias, np.float32) / _wide(scale, 1)
        return nir.Conv2d((shape[1], shape[2]), weight, 1, 0, 1, shape[0], bias)
    weight = (layer.weight / _wide(unit, layer.weight.ndim)).astype(np.float32)
    bias = np.zeros(len(weight), np.float32)
    if layer.bias is not None and not _remembers(layer):
        bias += layer.bias / _wide(scale, 1)
    if isinstance(layer, Dense):
        return nir.Affine(weight, bias) if bias.any() else nir.Linear(weight)
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return nir.Conv2d((shape[1], shape[2]), weight, *geometry, bias)


def _remembers(layer: Population) -> bool:
    """Whether a bias, which acts on the voltage, must not go through the current."""
    return bool((neuron_of(layer).current_decay < DECAY_ONE).any())


def _wide(values: Scale, rank: int) -> FloatArray:
    array = np.asarray(values, np.float64)
    return array.reshape(-1, *[1] * (rank - 1)) if array.ndim else array


def _neurons(layer: Population, scale: Scale, readout: bool) -> nir.NIRNode:
    """IF, LIF or CubaLIF in a form whose input gain is 1; their integrators for a readout. The bias of a
    CubaLIF is the potential that its membrane leaks to, times the leak."""
    neuron = neuron_of(layer)

    def full(value: FloatArray) -> FloatArray:
        return np.broadcast_to(_wide(value, len(layer.shape)), layer.shape).astype(np.float32)

    leak, current_leak = full(neuron.voltage_decay / DECAY_ONE), full(neuron.current_decay / DECAY_ONE)
    resolution = 1.0 if np.isin(leak, (0, 1)).all() and (current_leak == 1).all() else 1 / 64
    zero, threshold = np.zeros_like(leak), full((neuron.threshold + resolution / 2) / scale)
    fires = {} if readout else {"v_threshold": threshold, "v_reset": zero}
    if (current_leak < 1).any():
        bias = None if isinstance(layer, Input) else layer.bias
        offset = zero if bias is None else full(bias / scale)
        return (nir.CubaLI if readout else nir.CubaLIF)(
            tau_syn=DT / current_leak,
            tau_mem=DT / leak,
            r=1 / leak,
            v_leak=offset / leak,
            w_in=1 / current_leak,
            **fires,
        )
    if not leak.any():
        return (nir.I if readout else nir.IF)(r=full(np.asarray(1 / DT)), **fires)
    return (nir.LI if readout else nir.LIF)(tau=DT / leak, r=1 / leak, v_leak=zero, **fires)
