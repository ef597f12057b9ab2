"""Trace a torch module with torch.fx, stopping at layers and neurons."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

from snn_deploy.core.errors import Problem
from snn_deploy.graph.readers.kinds import is_a
from snn_deploy.graph.readers.torch_modules.known import FOLLOWED_CONTAINERS, is_known

_PER_STEP = ("spikingjelly.SeqToANNContainer", "spikingjelly.MultiStepContainer")
_LEAF_PACKAGES = (
    "torch.nn.",
    "spikingjelly.activation_based.layer",
    "spikingjelly.activation_based.neuron",
    "spikingjelly.activation_based.rnn",
    "spikingjelly.activation_based.learning",
    "spikingjelly.activation_based.ann2snn",
    "snntorch.",
    "norse.torch",
    "sinabs.layers",
)
_NEURONS = (
    "spikingjelly.MemoryModule",
    "snntorch.SpikingNeuron",
    "norse.SNNCell",
    "norse.SNN",
    "norse.SNNRecurrentCell",
    "norse.SNNRecurrent",
    "sinabs.StatefulLayer",
)
"""Whatever is derived from these is a neuron, and not followed."""
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
FOLLOWED = "cannot be followed"
_SUMS = {operator.add, operator.iadd, torch.add}
FAULTS = (
    fx.proxy.TraceError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Tracer(fx.Tracer):
    """Traces a module; what cannot be followed is collected in ``problems`` under its module path."""

    def __init__(self) -> None:
        super().__init__()
        self.problems: list[Problem] = []
        self._inside: list[str] = []
        self._path: list[str] = []

    def run(self, module: nn.Module) -> fx.Graph | None:
        """The traced graph, or None after a problem."""
        try:
            return self.trace(module)
        except FAULTS as error:
            where = self._path[-1] if self._path else "forward"
            text = str(error).partition("\n")[0]
            self.problems.append(
                Problem(
                    where,
                    f"its forward {FOLLOWED}: {text}",
                    rule="no branches or loops that depend on values; layers, sums and flatten only",
                    try_instead="write it as layers in a Sequential, with residual sums",
                )
            )
            return None

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if is_known(m):
            return True
        if is_a(m, *FOLLOWED_CONTAINERS):
            return False
        if is_a(m, *_NEURONS):
            return True
        return not isinstance(m, _CONTAINERS) and type(m).__module__.startswith(_LEAF_PACKAGES)

    def unknown(self, module: nn.Module) -> list[str]:
        """Paths of the leaves that no node stands for, found without tracing."""
        paths = (
            path
            for path, m in module.named_modules()
            if self.is_leaf_module(m, path) and not is_known(m) and not is_a(m, *_PER_STEP)
        )
        found: list[str] = []
        for path in paths:
            if not any(path.startswith(f"{outer}.") for outer in found):
                found.append(path)
        return found

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        path = self.path_of_module(m)
        self._path.append(path)
        if is_a(m, *_PER_STEP) and isinstance(m, nn.Sequential):
            self._inside.append(next(name for name in _PER_STEP if is_a(m, name)))
            result = args[0]
            for child in m:
                result = child(result)
            self._inside.pop()
        else:
            result = super().call_module(m, forward, args, kwargs)
            if isinstance(result, fx.Proxy) and result.node.op == "call_module":
                result.node.meta["inside"] = self._inside[-1] if self._inside else ""
        self._path.pop()
        return result

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """What has a default keeps it: only the first argument is the input of the network."""
        function, args = super().create_args_for_root(root_fn, is_module, concrete_args)
        for place, value in enumerate(args[2:], start=2):
            if isinstance(value, fx.Proxy) and value.node.args:
                args[place] = value.node.args[0]
                self.graph.erase_node(value.node)
        return function, args

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        node.meta["path"] = self._path[-1] if self._path else ""
        return node


def is_sum(node: fx.Node) -> bool:
    """Whether ``node`` adds two values, unscaled."""
    method = node.op == "call_method" and node.target in {"add", "add_"}
    function = node.op == "call_function" and node.target in _SUMS
    return (method or function) and "alpha" not in node.kwargs


def function_name(node: fx.Node) -> str:
    """Name of a traced function, method or attribute."""
    return str(node.target) if isinstance(node.target, str) else getattr(node.target, "__name__", "?")


def made_name(node: fx.Node, name: str) -> str:
    """What ``name`` is called that the module makes which asks for the traced ``node``."""
    path = node.meta.get("path", "")
    return f"{path}.{name}" if path else name


def flatten_arguments(node: fx.Node) -> tuple[int, int]:
    """First and last axis of a traced ``torch.flatten`` or ``Tensor.flatten``."""

    given: dict[str, Any] = {"start_dim": 0, "end_dim": -1}
    given.update(zip(given, node.args[1:], strict=False))
    given.update(node.kwargs)
    return int(given["start_dim"]), int(given["end_dim"])


def leading_axes(module: nn.Module, problems: list[Problem]) -> int:
    """Number of leading axes of the values: 2 (T, B) for a multi-step network, 1 (B) for a single-step one.

    Modules in another step mode than the rest would take time for batch; they are added to ``problems``.
    """
    steppers = [(path, m) for path, m in _outside(module, "") if is_a(m, "spikingjelly.StepModule")]
    modes = {path: str(m.step_mode) for path, m in steppers if not is_a(m, *_PER_STEP)}
    counts = Counter(modes.values())
    common = "s" if counts["s"] > counts["m"] else "m"
    for path, mode in modes.items():
        if mode != common:
            problems.append(
                Problem(
                    path,
                    f"step mode '{mode}' in a network of step mode '{common}'",
                    rule="one step mode for the whole network",
                    try_instead=f"functional.set_step_mode(net, '{common}')",
                )
            )
    return 2 if common == "m" else 1


def _outside(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules that are not inside a container which loops over time itself."""
    yield path, module
    if not is_a(module, *_PER_STEP):
        for name, child in module.named_children():
            yield from _outside(child, f"{path}.{name}" if path else name)
