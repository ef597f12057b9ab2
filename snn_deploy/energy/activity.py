"""What enters a weighted node: its values, what they mean in events, and which events they are.

The activity of an edge is the tensor that enters the weight node: the sum of its sources' outputs of the same
step, plus its feedback sources' outputs of the step before. Three kinds of event are told apart:

* a **site** is a non-zero element;
* a **unit** is one quantum of value. The quantum of a spike or of an input event count is 1; summing pools
  keep it, average pools of k x k divide it by k². So the units after a pool are the single spikes that
  entered its windows: what hardware pays that passes single events through pools;
* the **class** of the edge says which values occur: ``binary`` {0, q}, ``signed unary`` {-q, 0, q},
  ``graded`` (whole multiples of q), ``analog`` (anything else; it has no units).

Values of a single magnitude are binary or signed unary whatever that magnitude is: it folds into the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import nir
import torch

from snn_deploy.errors import DataError
from snn_deploy.graph.shapes import Shape, axes
from snn_deploy.graph.types import SPIKING_NODES, Plan, Trace

EdgeClass = Literal["binary", "signed unary", "graded", "analog"]
CLASSES: tuple[EdgeClass, ...] = ("binary", "signed unary", "graded", "analog")
"""From the narrowest to the widest."""

WHOLE = 1e-5
"""How far, relative to max(1, |k|), value / quantum may lie from the whole number k: float32 pooling."""

EXACT_FLOAT32 = 1 << 24
"""Every integer up to here is a float32; a sum of non-negative integers below it is exact in any order."""

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Activity:
    """Activity of one edge, one row per step and sample.

    Attributes:
        values: ``[T * B, n]``, what entered the weight node; float32 or float64.
        edge_class: which values occur.
        quantum: value of one unit; None for analog activity, and where nothing was active and none is known.
        is_mask: whether every value is exactly 0 or 1.
    """

    values: torch.Tensor
    edge_class: EdgeClass
    quantum: float | None
    is_mask: bool = False

    @cached_property
    def sites(self) -> torch.Tensor:
        """1 where an element is not zero, in the values' dtype."""
        if self.is_mask:
            return self.values
        return (self.values != 0).to(self.values.dtype)

    @cached_property
    def units(self) -> torch.Tensor:
        """Number of units per element, float64."""
        if self.quantum is None:
            raise ValueError("analog activity has no units")
        return (self.values.double() / self.quantum).abs().round()

    @cached_property
    def _grouped(self) -> dict[tuple[int, Shape], torch.Tensor]:
        return {}

    def sites_by_group(self, groups: int, shape: Shape) -> torch.Tensor:
        """Sites of ``shape [C, *spatial]`` summed over each group: ``[T * B, groups, *spatial]``."""
        key = (groups, shape)
        if key not in self._grouped:
            self._grouped[key] = sum_by_group(self.sites, groups, shape)
        return self._grouped[key]

    @cached_property
    def active(self) -> torch.Tensor:
        """Number of sites per row, float64 whole numbers; from a sum over channels where there is one."""
        parts = next(iter(self._grouped.values()), self.sites).flatten(1)
        return parts.sum(1, dtype=None if parts.shape[1] < EXACT_FLOAT32 else torch.float64).double()


def sum_by_group(amount: torch.Tensor, groups: int, shape: Shape) -> torch.Tensor:
    """Sum ``amount [rows, n]`` over the channels of each group: ``[rows, groups, *spatial]``."""
    channels = shape[0] // groups
    split = amount.reshape(-1, groups, channels, *shape[1:])
    if channels == 1:
        return split.squeeze(2)
    return split.sum(2, dtype=None if channels < EXACT_FLOAT32 else torch.float64)


def entering(plan: Plan, trace: Trace, name: str) -> torch.Tensor:
    """What entered the node ``name``: ``[T, B, *shape]``.

    Raises:
        DataError: the trace does not hold a source (run with ``record="all"``) or its shape is another.
    """
    parts = [_record(plan, trace, source) for source in plan.sources[name]]
    parts += [_delayed(_record(plan, trace, source)) for source in plan.feedback.get(name, ())]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _record(plan: Plan, trace: Trace, name: str) -> torch.Tensor:
    if name not in trace.records:
        raise DataError(
            f"The trace holds no record of '{name}', so its events cannot be counted.",
            hint='Run the network with record="all".',
        )
    record = trace.records[name]
    if tuple(record.shape[2:]) != plan.shapes[name]:
        raise DataError(
            f"The record of '{name}' has shape {tuple(record.shape)}; expected [T, B, *{plan.shapes[name]}]."
        )
    return record


def _delayed(record: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(record[:1]), record[:-1]])


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a value means by the graph's structure: the value of one event, and whether it was pooled."""

    quantum: Fraction | None
    pooled: bool


def meanings(plan: Plan) -> dict[str, Meaning]:
    """Meaning of the values that *enter* each node. Sources that disagree on the quantum have none."""
    after: dict[str, Meaning] = {}
    before: dict[str, Meaning] = {}
    for name in plan.order:
        sources = [after[source] for source in plan.sources[name]]
        sources += [_after(plan.node(source), Meaning(None, False)) for source in plan.feedback.get(name, ())]
        quanta = {source.quantum for source in sources}
        quantum = quanta.pop() if len(quanta) == 1 else None
        before[name] = Meaning(quantum, any(source.pooled for source in sources))
        after[name] = _after(plan.node(name), before[name])
    return before


def _after(node: nir.NIRNode, entering: Meaning) -> Meaning:
    if isinstance(node, (nir.Input, *SPIKING_NODES)):
        return Meaning(Fraction(1), False)
    if isinstance(node, nir.Flatten | nir.Delay):
        return entering
    if isinstance(node, nir.SumPool2d):
        return Meaning(entering.quantum, True)
    if isinstance(node, nir.AvgPool2d):
        height, width = axes(node.kernel_size, 2)
        return Meaning(entering.quantum / (height * width) if entering.quantum else None, True)
    return Meaning(None, entering.pooled and isinstance(node, nir.Scale))


def classify(values: torch.Tensor, quantum: Fraction | None) -> Activity:
    """Decide the class of ``values [rows, n]`` whose structural quantum is ``quantum``.

    Raises:
        DataError: a value is not finite.
    """
    if values.dtype not in (torch.float32, torch.float64):
        values = values.float()
    if quantum == 1 and _is_binary(values):
        return Activity(values, "binary", 1.0, is_mask=True)
    largest = float(torch.nan_to_num(values.abs(), nan=float("inf")).max()) if values.numel() else 0.0
    if largest == float("inf"):
        raise DataError("The recorded activity holds values that are not finite.")
    if largest == 0.0:
        return Activity(values, "binary", None if quantum is None else float(quantum))
    for candidate in (quantum, Fraction(largest)):
        if candidate is not None and (found := _whole_class(values, candidate)):
            return Activity(values, found, float(candidate))
    return Activity(values, "analog", None)


def _is_binary(values: torch.Tensor) -> bool:
    """Whether every value is 0 or 1, by blocks that stay in the cache; NumPy compares faster on a CPU."""
    tensor = values.detach().reshape(-1)
    flat: Any = tensor if tensor.is_cuda else tensor.numpy()
    blocks = (flat[start : start + _BLOCK] for start in range(0, tensor.numel(), _BLOCK))
    return all(bool(((block == 0) | (block == 1)).all()) for block in blocks)


def _whole_class(values: torch.Tensor, quantum: Fraction) -> EdgeClass | None:
    power_of_two = quantum.numerator == 1 and quantum.denominator & (quantum.denominator - 1) == 0
    multiples = (values if power_of_two else values.double()) / float(quantum)
    whole = multiples.round()
    if not torch.equal(multiples, whole):
        outside = (multiples - whole).abs() > WHOLE * whole.abs().clamp(min=1.0)
        if bool((outside | ((whole == 0) & (values != 0))).any()):
            return None
    low, high = (float(v) for v in torch.aminmax(whole))
    if high > 1 or low < -1:
        return "graded"
    return "binary" if low >= 0 else "signed unary"
