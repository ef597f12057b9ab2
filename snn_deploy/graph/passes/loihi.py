r"""Lower the hub graph to what a ``.net`` file can say: a chain of weight layers with CUBA neurons.

Between two populations everything linear becomes one map (pooling is merged into the weights beside it, see
:mod:`snn_deploy.graph.passes.windows`); each neuron takes the form of
:mod:`snn_deploy.graph.passes.chip_neurons`, its input gain and offset folded into weights and biases. A
network that ends in weights or in an integrator is read by the membrane of neurons that never fire. All of it
is exact.

What has no such form is refused, all of it at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import nir
import numpy as np

from snn_deploy.errors import Problem, UnsupportedError
from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.passes.chip_neurons import CubaForm, per_channel
from snn_deploy.graph.passes.windows import (
    FloatArray,
    Matrix,
    MergeError,
    Window,
    as_window,
    identity,
    merge,
    merge_into_matrix,
    scaled,
    with_groups,
)
from snn_deploy.graph.semantics import Comparison, Semantics, read_semantics
from snn_deploy.graph.shapes import ShapeError
from snn_deploy.graph.types import INTEGRATOR_NODES, Plan

NETX = "lava-dl 0.6.0, netx"
SIGNED_BYTE = 127
"""Lava keeps the geometry of a convolution, groups included, in signed bytes."""
ReadoutKind = Literal["current", "membrane"]


@dataclass(frozen=True, slots=True, eq=False)
class ChipLayer:
    """One population and the weights before it, in real numbers.

    Attributes:
        name: hub name of the neurons, or of the weights when nothing fires.
        weights_name: hub name of the weights; the neurons' when there are none.
        map: the linear map, bias included (b of the equations above).
        shape: shape of the population.
        flattens: whether the population before is flattened on the way.
        current_leak, voltage_leak: shares in [0, 1] lost per step; a number, or one per channel.
        threshold: None when the layer is a readout.
        fires_at: ``>=`` or ``>``.
    """

    name: str
    weights_name: str
    map: Window | Matrix
    shape: tuple[int, ...]
    flattens: bool
    current_leak: FloatArray
    voltage_leak: FloatArray
    threshold: float | None
    fires_at: Comparison


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """A network without branches, ready to be quantised."""

    layers: tuple[ChipLayer, ...]
    input_name: str
    input_shape: tuple[int, ...]
    readout: ReadoutKind | None
    semantics: Semantics
    passes: tuple[str, ...] = field(default=())


def lower(plan: Plan) -> Chain:
    """The chain of ``plan``.

    Raises:
        UnsupportedError: with every node that cannot be said in a ``.net`` file, the rule, and what to try.
    """
    lowering = _Lowering(plan)
    for name in _chain_order(plan, lowering.problems):
        lowering.take(name)
    lowering.finish()
    if lowering.problems:
        count = len(lowering.problems)
        raise UnsupportedError(
            f"{count} part{'s' if count > 1 else ''} of the network cannot be written for Lava.",
            problems=lowering.problems,
        )
    return Chain(
        layers=tuple(lowering.layers),
        input_name=plan.input,
        input_shape=plan.shapes[plan.input],
        readout=lowering.readout,
        semantics=lowering.semantics,
        passes=tuple(lowering.passes),
    )


def _chain_order(plan: Plan, problems: list[Problem]) -> list[str]:
    """All nodes but input and output, in order; branches and loops become problems."""
    consumers: dict[str, int] = dict.fromkeys(plan.order, 0)
    for name in plan.order:
        for source in plan.sources[name]:
            consumers[source] += 1
        if len(plan.sources[name]) > 1:
            problems.append(
                Problem(
                    name,
                    f"adds {len(plan.sources[name])} inputs ({', '.join(plan.sources[name])})",
                    "a .net file is a chain without sums",
                    NETX,
                    "train without skip connections for this target",
                )
            )
        if name in plan.feedback:
            problems.append(
                Problem(name, "is fed back", "no loops between layers", NETX, "train without recurrence")
            )
    problems += [
        Problem(name, f"feeds {count} nodes", "a .net file is a chain without branches", NETX)
        for name, count in consumers.items()
        if count > 1
    ]
    return [name for name in plan.order if name not in {plan.input, plan.output}]


class _Lowering:
    """Walks the chain and closes a layer at every neuron."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.semantics = read_semantics(plan.graph)
        self.layers: list[ChipLayer] = []
        self.problems: list[Problem] = []
        self.passes: list[str] = []
        self.readout: ReadoutKind | None = None
        self._shape = plan.shapes[plan.input]
        self._start_map()

    def _start_map(self) -> None:
        self._map: Window | Matrix | None = None
        self._weights_name: str | None = None
        self._flattens = False
        self._faults_before = len(self.problems)

    def _sound(self) -> bool:
        """Whether nothing of the open layer was refused; what is refused has no map to close."""
        return len(self.problems) == self._faults_before

    def _problem(self, name: str, what: str, rule: str, try_instead: str = "") -> None:
        self.problems.append(Problem(name, what, rule, NETX, try_instead))

    def take(self, name: str) -> None:
        """Add one node to the open layer, or close it."""
        node = self._plan.node(name)
        if self.readout == "membrane":
            self._problem(name, "follows an integrator", "only the last layer may be read by its membrane")
        elif isinstance(node, nir.Conv2d | nir.AvgPool2d | nir.SumPool2d):
            self._window(name, node)
        elif isinstance(node, nir.Affine | nir.Linear):
            self._matrix(name, node)
        elif isinstance(node, nir.Flatten):
            self._flatten(name)
        elif isinstance(node, nir.Scale):
            self._scale(name, node)
        elif isinstance(node, nir.IF | nir.LIF | nir.CubaLIF | nir.I | nir.LI | nir.CubaLI):
            self._neuron(name, node)
        else:
            self._problem(name, f"node type '{type(node).__name__}'", "conv, dense, pooling and CUBA neurons")
        self._shape = self._plan.shapes[name]

    def finish(self) -> None:
        """Close what is open at the output."""
        if self._map is not None and self._sound():
            last = self._weights_name or self._plan.sources[self._plan.output][0]
            self._close(last, np.ones(()), np.zeros(()), threshold=None)
            self.readout = "current"
        elif self._flattens:
            self._problem(
                self._plan.sources[self._plan.output][0], "flattens the output", "no layer follows it"
            )
        if not self.layers and not self.problems:
            self._problem(self._plan.output, "no layer with weights", "at least one conv or dense layer")

    def _window(self, name: str, node: nir.NIRNode) -> None:
        try:
            window = as_window(node, self._shape)
            if isinstance(self._map, Matrix) or self._flattens:
                raise MergeError("follows a flat layer without neurons between them")
            if self._map is not None:
                window = merge(self._map, window)
                self.passes.append(f"merge '{name}' with the weights beside it")
        except (MergeError, ShapeError) as error:
            self._problem(name, str(error), "one linear map between two populations", _window_hint(node))
            return
        self._map = window
        if not window.pools:
            self._weights_name = self._weights_name or name

    def _matrix(self, name: str, node: nir.NIRNode) -> None:
        weight = np.asarray(node.weight, np.float64)
        bias = np.asarray(getattr(node, "bias", np.zeros(len(weight))), np.float64)
        matrix = Matrix(weight, bias)
        if isinstance(self._map, Window) and self._map.pools:
            self.passes.append(f"merge the pooling before '{name}' into its weights")
            matrix = merge_into_matrix(self._map, matrix)
        elif self._map is not None:
            self._problem(
                name,
                f"follows the weights '{self._weights_name}' without neurons between them",
                "one linear map between two populations",
                "put neurons between them, or multiply the two layers",
            )
            return
        self._map, self._weights_name = matrix, name

    def _flatten(self, name: str) -> None:
        if self._plan.shapes[name] != (int(np.prod(self._shape)),):
            self._problem(name, f"flattens only some axes of {self._shape}", "all axes or none")
        elif isinstance(self._map, Window) and not self._map.pools:
            self._problem(
                name,
                f"lies between the weights '{self._weights_name}' and their neurons",
                "weights and neurons have the same shape",
                "flatten after the neurons",
            )
        elif len(self._shape) > 1:
            self._flattens = True

    def _scale(self, name: str, node: nir.Scale) -> None:
        rows = per_channel(node.scale, self._shape)
        if rows is None:
            self._problem(name, "scales neurons of a channel differently", "one factor per channel")
            return
        if self._map is None and not rows.ndim and not self._flattens:
            self._map = identity(self._shape)
        if self._map is None or (rows.ndim and self._map_pools()):
            self._problem(name, "scales the input of a layer per channel", "scale after the weights")
            return
        self._map = scaled(self._map, rows)

    def _map_pools(self) -> bool:
        return isinstance(self._map, Window) and self._map.pools

    def _neuron(self, name: str, node: nir.NIRNode) -> None:
        neuron = discretise(node, self.semantics)
        cuba = CubaForm.of(neuron, self._plan.shapes[name])
        reads = isinstance(node, INTEGRATOR_NODES)
        if cuba is None:
            self._problem(
                name,
                "parameters differ between neurons of a channel",
                "one set of parameters per layer, or per channel in simulation",
            )
            cuba = CubaForm.neutral()
        if neuron.fire is not None and neuron.fire.reset == "subtract":
            self._problem(
                name,
                "subtracts the threshold at a spike (soft reset)",
                "every Lava neuron resets to 0",
                "train with a hard reset (v_reset=0.0)",
            )
        if cuba.threshold is not None and not (cuba.threshold > 0).all():
            self._problem(name, f"v_threshold - v_reset is {cuba.threshold.min():g}", "positive")
        if reads and cuba.start.any():
            self._problem(name, "starts away from 0 (v_leak)", "membranes start at 0", "set v_leak to 0")
        if self._map is None:
            self._map = identity(self._shape)
            if self._flattens:
                self._problem(name, "neurons without weights after a Flatten", "put weights between them")
        if self._sound():
            self._close_neuron(name, cuba, reads)
        self._start_map()

    def _close_neuron(self, name: str, cuba: CubaForm, reads: bool) -> None:
        assert self._map is not None
        if self._map.bias.any() and (cuba.current_leak < 1).any():
            self._problem(
                name,
                f"the bias of '{self._weights_name}' enters a current that remembers",
                "biases act on the voltage",
                "train the layer before a CUBA neuron without bias",
            )
        self._map = scaled(self._map, cuba.gain)
        offset = np.broadcast_to(cuba.offset, self._map.bias.shape)
        self._map = replace(self._map, bias=self._map.bias + offset)
        threshold = cuba.threshold
        if threshold is not None and threshold.ndim:
            self._map = scaled(self._map, 1.0 / threshold)
            threshold = np.ones(())
            self.passes.append(f"divide the weights of '{name}' by its thresholds")
        self._close(
            name, cuba.current_leak, cuba.voltage_leak, None if threshold is None else float(threshold)
        )
        self.readout = "membrane" if reads else None

    def _close(
        self, name: str, current_leak: FloatArray, voltage_leak: FloatArray, threshold: float | None
    ) -> None:
        assert self._map is not None
        linear = self._map
        if isinstance(linear, Window):
            linear = with_groups(linear, SIGNED_BYTE)
            if max(*linear.kernel, *linear.stride, *linear.padding, *linear.dilation) > SIGNED_BYTE:
                self._problem(
                    name,
                    f"kernel {linear.kernel}, stride {linear.stride}, padding {linear.padding} after merging",
                    f"sizes up to {SIGNED_BYTE}",
                    "smaller pooling windows",
                )
            shape: tuple[int, ...] = (len(linear.weight), *linear.size_out)
        else:
            shape = (len(linear.weight),)
        self.layers.append(
            ChipLayer(
                name=name,
                weights_name=self._weights_name or name,
                map=linear,
                shape=shape,
                flattens=self._flattens,
                current_leak=current_leak,
                voltage_leak=voltage_leak,
                threshold=threshold,
                fires_at=self.semantics.fires_at,
            )
        )


def _window_hint(node: nir.NIRNode) -> str:
    if isinstance(node, nir.Conv2d):
        return "put neurons before it, or pad the image so that the pooling divides it"
    return "pool with windows that divide the image, or use a strided convolution"
