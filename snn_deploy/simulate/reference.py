"""The reference simulator: a NIR graph, step by step in discrete time, batched over samples.

Nodes outside loops see a whole block of time at once: weights are applied to T x B inputs together, only
neurons walk through time. Nodes of a loop advance together, one step after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Literal, cast

import nir
import numpy as np
import numpy.typing as npt
import torch

from snn_deploy.core.errors import ConfigError, DataError, did_you_mean
from snn_deploy.core.memory import keep_freed_memory
from snn_deploy.core.registry import BACKENDS
from snn_deploy.graph.dynamics import discretise
from snn_deploy.graph.plan import loop_groups, make_plan, observed_layers
from snn_deploy.graph.readers.io import read_nir
from snn_deploy.graph.semantics import read_semantics
from snn_deploy.graph.types import SPIKING_NODES, WEIGHT_NODES, Plan, Trace
from snn_deploy.simulate.base import require_shape
from snn_deploy.simulate.layers import DelayLayer, Stateless, stateless
from snn_deploy.simulate.neurons import DelayState, NeuronLayer, NeuronState, PreviousOutput
from snn_deploy.simulate.single_nodes import node_outputs

BLOCK_ELEMENTS = {"cpu": 2**20, "cuda": 2**25}
"""Elements of the largest activation in one block of time: on a CPU what the cache holds."""

COMPUTING_NODES = (*WEIGHT_NODES, nir.AvgPool2d, nir.SumPool2d, nir.Scale)

Record = bool | Literal["all"]
State = dict[str, tuple[torch.Tensor, ...]]


class Reference:
    """Executes a graph in float32 or float64 on one device.

    Args:
        graph: a NIR graph, or the plan of one.
        dtype: ``torch.float32`` or ``torch.float64``.
        device: where parameters lie and computation happens; results stay there.

    Raises:
        DataError, UnsupportedError: see :func:`snn_deploy.graph.plan.make_plan`.
    """

    def __init__(
        self,
        graph: nir.NIRGraph | Plan,
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.plan = graph if isinstance(graph, Plan) else make_plan(graph)
        self.semantics = read_semantics(self.plan.graph)
        self._dtype, self._device = dtype, torch.device(device)
        self._stateless: dict[str, Stateless] = {}
        self._neurons: dict[str, NeuronLayer] = {}
        self._delays: dict[str, DelayLayer] = {}
        for name in self.plan.order:
            node, shape = self.plan.node(name), self.plan.shapes[name]
            function = stateless(node, self.semantics, dtype, self._device)
            if function is not None:
                self._stateless[name] = function
            elif isinstance(node, nir.Delay):
                self._delays[name] = DelayLayer(node, self.semantics, shape, dtype, self._device)
            else:
                neuron = discretise(node, self.semantics)
                self._neurons[name] = NeuronLayer(neuron, shape, dtype, self._device)
        self._groups = loop_groups(self.plan)
        self._feeding_back = {source for found in self.plan.feedback.values() for source in found}
        self._last_use = _last_use(self.plan, self._groups)
        self._passing = _passing(self.plan) - self._feeding_back

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the spiking layers in execution order."""
        return self.plan.of_type(*SPIKING_NODES)

    def initial_state(self, batch: int) -> State:
        """State before the first step, typed per node; see :mod:`snn_deploy.simulate.neurons`."""
        state: State = {name: layer.start(batch) for name, layer in self._neurons.items()}
        state |= {name: layer.start(batch) for name, layer in self._delays.items()}
        for name in sorted(self._feeding_back):
            shape = (batch, *self.plan.shapes[name])
            state[previous(name)] = PreviousOutput(torch.zeros(shape, dtype=self._dtype, device=self._device))
        return state

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """One step: ``x [B, *shape]`` and the state before it to the output and the state after it."""
        trace = self.run(x[None], state=state)
        return trace.output[0], trace.state

    @torch.no_grad()
    def run(
        self,
        x: torch.Tensor,
        *,
        record: Record = False,
        forced: Mapping[str, torch.Tensor] | None = None,
        state: State | None = None,
    ) -> Trace:
        """Run ``x [T, B, *shape]`` from zero state, or on from ``state``, which is left unchanged.

        Args:
            record: True records the input, spiking and integrating nodes, ``"all"`` every node.
            forced: see :class:`snn_deploy.simulate.base.Executable`; any node can be forced.

        Raises:
            DataError: ``x``, ``forced`` or ``state`` do not have the shapes of the graph.
            ConfigError: ``forced`` names an unknown node.
        """
        x = self._checked("the input", self.plan.input, x)
        steps, batch = x.shape[:2]
        fixed = self._checked_forced(forced or {}, steps, batch)
        current = self._checked_state(state, batch) if state is not None else self.initial_state(batch)
        kept = {*self._recorded(record), self.plan.output} - {self.plan.input}
        spare = self._passing - kept - fixed.keys()
        keep_freed_memory()
        whole = {self.plan.input: x}
        with _exact_kernels(self._device):
            for begin, end in self._blocks(steps, batch):
                known = {name: y[begin:end] for name, y in fixed.items()}
                for name, y in self._advance(x[begin:end], known, current, spare):
                    if name in kept:
                        _put(whole, name, y, begin, steps)
        records = {name: whole[name] for name in self._recorded(record)}
        return Trace(output=whole[self.plan.output], records=records, state=current)

    @torch.no_grad()
    def run_nodes(
        self,
        x: torch.Tensor,
        forced: Mapping[str, torch.Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        output: str,
    ) -> dict[str, torch.Tensor]:
        """Own outputs of the nodes of ``shapes``, those behind a node in ``forced`` fed with its value; the
        network's output goes by the name ``output``. Nothing else is computed.

        Raises:
            DataError: the graph has no such nodes, or of other shapes.
        """
        wanted = {self.plan.output if name == output else name: name for name in shapes}
        if missing := [name for name in (*forced, *wanted) if name not in self.plan.shapes]:
            raise DataError(f"The graph has no nodes {', '.join(missing)}.")
        x = self._checked("the input", self.plan.input, x)

        def given(name: str) -> torch.Tensor | None:
            if name == self.plan.input:
                return x
            known = name in forced
            return self._checked(f"forced '{name}'", name, forced[name], *x.shape[:2]) if known else None

        with _exact_kernels(self._device):
            found = node_outputs(self.plan, self._alone, given, wanted)
        if found is None:
            found = self.run(x, record="all", forced=dict(forced)).records
        return {wanted[name]: y for name, y in found.items() if name in wanted}

    def constants(self, names: Sequence[str]) -> Iterator[tuple[str, list[npt.NDArray[np.float32]]]]:
        """Weights and biases of each node, where it has any."""
        for name in names:
            node = self.plan.graph.nodes.get(name)
            kept = [getattr(node, field) for field in ("weight", "bias") if hasattr(node, field)]
            yield name, [np.asarray(array, np.float32) for array in kept]

    def _alone(self, name: str, x: torch.Tensor) -> torch.Tensor:
        layer = self._neurons.get(name) or self._delays.get(name)
        return self._node(name, x, {} if layer is None else {name: layer.start(x.shape[1])})

    def blocks(
        self, x: torch.Tensor, *, record: Record = True, also: Collection[str] = ()
    ) -> Iterator[dict[str, torch.Tensor]]:
        """Run ``x [T, B, *shape]`` from zero state; give the records of one block of time after the other.

        They are those of :meth:`run`, cut in time, and of the nodes ``also``; memory holds one block at once.

        Raises:
            DataError: ``x`` does not have the shape of the graph's input.
        """
        x = self._checked("the input", self.plan.input, x)
        state, kept = self.initial_state(x.shape[1]), {*self._recorded(record), *also}
        keep_freed_memory()
        for begin, end in self._blocks(*x.shape[:2]):
            with torch.no_grad(), _exact_kernels(self._device):
                moved = self._advance(x[begin:end], {}, state, self._passing - kept)
                records = {name: y for name, y in moved if name in kept}
            yield records
            del records  # so that the next block finds this one's memory

    def _advance(
        self, x: torch.Tensor, forced: Mapping[str, torch.Tensor], state: State, spare: Set[str]
    ) -> Iterator[tuple[str, torch.Tensor]]:
        """Run one block of time; yields every node with its own output, moves ``state`` on. The outputs of
        ``spare`` nodes are gone once their reader has run."""
        visible: dict[str, torch.Tensor] = {}
        for position, group in enumerate(self._groups):
            name = group[0]
            if name == self.plan.input:
                outputs = {name: x}
            elif len(group) == 1 and name not in self.plan.feedback:
                terms = [visible[source] for source in self.plan.sources[name]]
                overwrite = len(terms) > 1 or self.plan.sources[name][0] in spare
                outputs = {name: self._node(name, _sum(terms), state, overwrite=overwrite)}
            else:
                outputs = self._loop(group, visible, forced, state, x.shape[0])
            for member, y in outputs.items():
                visible[member] = forced.get(member, y)
                yield member, y
            for done in self._last_use[position]:
                visible.pop(done, None)

    def _node(self, name: str, x: torch.Tensor, state: State, *, overwrite: bool = False) -> torch.Tensor:
        function = self._stateless.get(name)
        if function is not None:
            y = function(x.flatten(0, 1))
            return y.view(*x.shape[:2], *y.shape[1:])
        if name in self._delays:
            y, state[name] = self._delays[name].run(x, cast(DelayState, state[name]))
        else:
            y, state[name] = self._neurons[name].run(x, cast(NeuronState, state[name]), overwrite=overwrite)
        return y

    def _loop(
        self,
        group: tuple[str, ...],
        visible: Mapping[str, torch.Tensor],
        forced: Mapping[str, torch.Tensor],
        state: State,
        steps: int,
    ) -> dict[str, torch.Tensor]:
        outputs: dict[str, list[torch.Tensor]] = {name: [] for name in group}
        for t in range(steps):
            now: dict[str, torch.Tensor] = {}
            for name in group:
                terms = [now[s] if s in now else visible[s][t] for s in self.plan.sources[name]]
                terms += [state[previous(s)][0] for s in self.plan.feedback.get(name, ())]
                y = self._node(name, _sum(terms)[None], state)[0]
                outputs[name].append(y)
                now[name] = forced[name][t] if name in forced else y
            for name in self._feeding_back.intersection(group):
                state[previous(name)] = PreviousOutput(now[name])
        return {name: torch.stack(found) for name, found in outputs.items()}

    def _recorded(self, record: Record) -> tuple[str, ...]:
        if record == "all":
            return self.plan.order
        return (self.plan.input, *observed_layers(self.plan)) if record else ()

    def _blocks(self, steps: int, batch: int) -> Iterator[tuple[int, int]]:
        largest = max(prod(shape) for shape in self.plan.shapes.values())
        length = max(1, BLOCK_ELEMENTS[self._device.type] // (largest * batch))
        return ((begin, min(begin + length, steps)) for begin in range(0, steps, length))

    def _checked(self, what: str, name: str, y: torch.Tensor, *leading: int) -> torch.Tensor:
        shape = self.plan.shapes[name]
        require_shape(what, y, shape, leading, f"node '{name}'")
        return y.to(self._device, self._dtype)

    def _checked_forced(
        self, forced: Mapping[str, torch.Tensor], steps: int, batch: int
    ) -> dict[str, torch.Tensor]:
        for name in forced:
            if name not in self.plan.shapes:
                known = ", ".join(self.layers)
                near = did_you_mean(name, self.layers)
                raise ConfigError(f"Cannot force '{name}': no such node.{near}", hint=f"Layers: {known}")
        return {n: self._checked(f"forced '{n}'", n, y, steps, batch) for n, y in forced.items()}

    def _checked_state(self, state: State, batch: int) -> State:
        fresh = self.initial_state(batch)
        for name, expected in fresh.items():
            found = state.get(name)
            if found is None or [t.shape for t in found] != [t.shape for t in expected]:
                shapes = "nothing" if found is None else [list(t.shape) for t in found]
                wanted = [list(t.shape) for t in expected]
                raise DataError(f"The state of '{name}' has the shapes {shapes}; expected {wanted}.")
        return {name: type(kind)(*(t.clone() for t in state[name])) for name, kind in fresh.items()}


def previous(name: str) -> str:
    """Key of a :class:`PreviousOutput` in the state: the value that ``name`` feeds back."""
    return f"{name}@t-1"


def _sum(terms: list[torch.Tensor]) -> torch.Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _put(whole: dict[str, torch.Tensor], name: str, y: torch.Tensor, begin: int, steps: int) -> None:
    """Put the block ``y``, which starts at the step ``begin``, to its place among all ``steps``."""
    if len(y) == steps:
        whole[name] = y
        return
    if begin == 0:
        whole[name] = y.new_empty(steps, *y.shape[1:])
    whole[name][begin : begin + len(y)] = y


def _passing(plan: Plan) -> set[str]:
    """Nodes that compute new values for a single reader."""
    readers = Counter(source for sources in plan.sources.values() for source in sources)
    return {name for name in plan.of_type(*COMPUTING_NODES) if readers[name] == 1}


def _last_use(plan: Plan, groups: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """Per group, the nodes whose output no later group reads."""
    position = {name: number for number, group in enumerate(groups) for name in group}
    last = dict(position)
    for name, sources in plan.sources.items():
        for source in sources:
            last[source] = max(last[source], position[name])
    done: list[list[str]] = [[] for _ in groups]
    for name, number in last.items():
        done[number].append(name)
    return done


@contextmanager
def _exact_kernels(device: torch.device) -> Iterator[None]:
    """On CUDA: full float32 convolutions (no TF32) and the same kernel every time."""
    if device.type != "cuda":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


@BACKENDS.register("reference")
def load(path: Path) -> Reference:
    """The float32 reference simulator on a NIR file."""
    return Reference(read_nir(path))
