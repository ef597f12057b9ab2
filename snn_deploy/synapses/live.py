"""Count synaptic events of a torch module while it runs, whatever it is built of.

Every product of weights and activity passes through a handful of torch functions; they are watched while the
module runs, so functional calls, shared and nested modules are counted as often as they are executed. What is
not counted is refused by name, never left out.

    with EventCounter(network) as counter:
        network(x)
    counter.counts(samples=x.shape[1]).sops

Weights (of linear, convolution and transposed convolution, 1-D to 3-D) are counted by the fan-out of each
non-zero source element. A product of two activations (``matmul`` in attention) has one event for every pair
of non-zero factors, Σ_k (non-zeros of column k) (non-zeros of row k). Arithmetic element by element has none.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from types import TracebackType
from typing import Any, Self
from weakref import ref

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.synapses.events import CLASSES, Activity, EdgeClass, classify, join_classes, mask
from snn_deploy.synapses.maps import FanOut, Shape
from snn_deploy.synapses.products import PRODUCTS, REFUSED, Pairs, Product, Weighted
from snn_deploy.synapses.rows import count_rows, reduce

BLOCK_ELEMENTS = 2**17
"""A CPU counts so many elements at a time: they stay in the cache (our choice)."""


@dataclass(frozen=True, slots=True)
class SiteCounts:
    """Events at one module (or functional call inside one), summed over everything that ran.

    Attributes:
        name: path of the module.
        rows: inputs it was applied to: steps times samples, and times its uses.
        edge_class, quantum: which values entered, decided once for all of them.
        active: non-zero source elements.
        sites, sites_nonzero: events by site over all connections, and over those whose weight is not zero.
        units: events by unit; None for analog values.
        dense, dense_nonzero: connections times rows.
    """

    name: str
    rows: int
    edge_class: EdgeClass
    quantum: float | None
    active: int
    sites: int
    sites_nonzero: int
    units: int | None
    dense: int
    dense_nonzero: int


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """Events per module in the order of first use, and the number of samples they belong to."""

    samples: int
    sites: tuple[SiteCounts, ...]

    @property
    def total(self) -> int:
        """Synaptic events by site over all connections."""
        return sum(site.sites for site in self.sites)

    @property
    def sops(self) -> float:
        """Synaptic operations per sample."""
        return self.total / self.samples

    @property
    def dense(self) -> float:
        """What a network without sparsity would do in the same steps, per sample."""
        return sum(site.dense for site in self.sites) / self.samples

    def of_class(self, *classes: EdgeClass) -> float:
        """Events on weights that are not zero, per sample, at sites of the given classes."""
        return sum(site.sites_nonzero for site in self.sites if site.edge_class in classes) / self.samples


class EventCounter(TorchFunctionMode):
    """Watches ``module`` between ``__enter__`` and ``__exit__``; see the module's text.

    Raises:
        UnsupportedError: a scripted submodule (when made); a product that cannot be counted (when it runs).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        scripted = [path for path, part in module.named_modules() if isinstance(part, torch.jit.ScriptModule)]
        if scripted:
            rule = "operations of scripted modules cannot be seen"
            raise UnsupportedError(
                "Events of this module cannot be counted.",
                problems=[Problem(path or "module", "torch.jit.ScriptModule", rule) for path in scripted],
            )
        self._module = module
        self._parameters: frozenset[int] = frozenset()
        self._path: list[str] = []
        self._tallies: dict[str, _Tally] = {}
        self._maps: dict[tuple[Any, ...], tuple[torch.Tensor, int, FanOut]] = {}
        self._hooks: list[Any] = []
        self._pauses: list[Any] = []
        self._spikes: dict[int, tuple[ref[torch.Tensor], int]] = {}

    def counts(self, samples: int) -> LiveCounts:
        """What was counted so far, as belonging to ``samples`` samples."""
        if samples < 1:
            raise ValueError(f"samples = {samples}; at least one is needed")
        return LiveCounts(samples, tuple(tally.finished(name) for name, tally in self._tallies.items()))

    def reset(self) -> None:
        """Forget all counts."""
        self._tallies.clear()

    def __enter__(self) -> Self:
        self._parameters = frozenset(p.untyped_storage().data_ptr() for p in self._module.parameters())
        silent = _elementwise()
        for path, part in self._module.named_modules():
            name = path or type(part).__name__
            if type(part) in silent:
                self._hooks.append(part.register_forward_pre_hook(self._silence))
                self._hooks.append(part.register_forward_hook(self._listen, always_call=True))
            else:
                self._hooks.append(part.register_forward_pre_hook(self._entering(name)))
                self._hooks.append(part.register_forward_hook(self._leaving, always_call=True))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, where)  # type: ignore[no-untyped-call]
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._path.clear()
        self._spikes.clear()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = func(*args, **given)
        name = getattr(func, "__name__", "")
        if name in PRODUCTS and isinstance(result, torch.Tensor):
            with torch.no_grad():
                for part in PRODUCTS[name](*args, **given):
                    self._add(part, result)
        elif name in REFUSED:
            where = self._path[-1] if self._path else "module"
            raise UnsupportedError(
                "Events of this module cannot be counted.",
                problems=[Problem(where, f"calls torch's {name}", REFUSED[name])],
            )
        return result

    def _entering(self, name: str) -> Callable[..., None]:
        return lambda _module, _inputs: self._path.append(name)

    def _leaving(self, _module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        self._path.pop()

    def _silence(self, _module: nn.Module, _inputs: Any) -> None:
        """Neurons work element by element: nothing needs to be watched until they are done."""
        pause = torch._C.DisableTorchFunction()
        pause.__enter__()
        self._pauses.append(pause)

    def _listen(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        self._pauses.pop().__exit__(None, None, None)
        if isinstance(output, torch.Tensor) and getattr(module.surrogate_function, "spiking", False):
            self._spikes[output.data_ptr()] = (ref(output), output._version)

    def _are_spikes(self, x: torch.Tensor) -> bool:
        """Whether ``x`` is what a known neuron gave, untouched: 0 or 1 without a look at it."""
        tensor, version = self._spikes.get(x.data_ptr(), (None, 0))
        output = tensor() if tensor is not None else None
        return output is not None and output.numel() == x.numel() and output._version == version

    def _add(self, product: Product, result: torch.Tensor) -> None:
        tally = self._tallies.setdefault(self._path[-1] if self._path else "module", _Tally())
        if isinstance(product, Pairs):
            weighted = product.weighted(lambda x: x.untyped_storage().data_ptr() in self._parameters)
            if weighted is None:
                tally.pairs(product)
                return
            product = weighted
        axes = product.weight.ndim - 1  # of one row: channels and space, or the one axis of a vector
        shape = tuple(product.x.shape[-axes:])
        fan = self._fan_out(product, shape, tuple(result.shape[-axes:]))
        rows, spikes = product.x.reshape(-1, *shape), self._are_spikes(product.x)
        size = rows.shape[0] if rows.is_cuda else max(1, BLOCK_ELEMENTS // max(prod(shape), 1))
        for block in torch.split(rows, max(size, 1)):
            tally.weights(mask(block) if spikes else classify(block, Fraction(1)), fan)

    def _fan_out(self, product: Weighted, source: Shape, target: Shape) -> FanOut:
        """Maps of parameters are kept until they change; those of other tensors are made each time."""
        weight = product.weight
        key = (id(weight), source, target, product.window)
        known = self._maps.get(key)
        if known is not None and known[0] is weight and known[1] == weight._version:
            return known[2]
        found = product.fan_out(source, target)
        if isinstance(weight, nn.Parameter):
            self._maps[key] = (weight, weight._version, found)
        return found


class _Tally:
    """Running sums of one site."""

    def __init__(self) -> None:
        self._rows = self._active = self._sites = self._used = self._units = 0
        self._dense = self._dense_used = 0
        self._classes: list[tuple[EdgeClass, float | None, bool]] = []

    def weights(self, activity: Activity, fan: FanOut) -> None:
        rows = activity.values.shape[0]
        counted = count_rows(reduce(activity, fan), fan)
        active = _whole(counted.active)
        self._rows += rows
        self._active += active
        self._sites += _whole(counted.sites)
        self._used += _whole(counted.sites_nonzero)
        self._units += 0 if counted.units is None else _whole(counted.units)
        self._dense += fan.dense * rows
        self._dense_used += fan.dense_nonzero * rows
        self._meet((activity.edge_class, activity.quantum, active > 0))

    def pairs(self, product: Pairs) -> None:
        left, right = product.left, product.right
        events = (left != 0).sum(-2, dtype=torch.float64) * (right != 0).sum(-1, dtype=torch.float64)
        rows = events.shape[:-1].numel()
        found = _whole(events)
        self._rows += rows
        self._active += int((left != 0).sum()) + int((right != 0).sum())
        self._sites += found
        self._used += found
        self._dense += rows * left.shape[-2] * left.shape[-1] * right.shape[-1]
        self._dense_used = self._dense
        sides = [classify(side.reshape(1, -1), Fraction(1)) for side in (left, right)]
        edge_class = max((side.edge_class for side in sides), key=CLASSES.index)
        whole = edge_class != "analog" and all(side.quantum == 1 for side in sides)
        if whole:
            units = left.abs().sum(-2, dtype=torch.float64) * right.abs().sum(-1, dtype=torch.float64)
            self._units += _whole(units)
        self._meet((edge_class if whole else "analog", 1.0 if whole else None, found > 0))

    def _meet(self, part: tuple[EdgeClass, float | None, bool]) -> None:
        self._classes = [(*join_classes([*self._classes, part]), part[2] or any(c[2] for c in self._classes))]

    def finished(self, name: str) -> SiteCounts:
        edge_class, quantum, _ = self._classes[0]
        return SiteCounts(
            name=name,
            rows=self._rows,
            edge_class=edge_class,
            quantum=quantum,
            active=self._active,
            sites=self._sites,
            sites_nonzero=self._used,
            units=None if edge_class == "analog" else self._units,
            dense=self._dense,
            dense_nonzero=self._dense_used,
        )


def _whole(counts: torch.Tensor) -> int:
    return int(counts.sum(dtype=torch.float64))


def _elementwise() -> frozenset[type[nn.Module]]:
    """Neurons of spikingjelly that hold no weights, where it is in use."""
    module = sys.modules.get("spikingjelly.activation_based.neuron")
    names = ("IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode")
    return frozenset(getattr(module, name) for name in names if hasattr(module, name))
