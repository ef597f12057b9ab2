"""A tracer that knows the shape of every value: the module is run on an example while it is followed.

So a forward may ask for shapes, loop over the steps of its input or over its own number of steps, and unpack
what its layers return; such loops are unrolled.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import fx, nn

from snn_deploy.graph.readers.copies import alone, fresh_copy
from snn_deploy.graph.readers.tracing import Tracer

EXAMPLE = "example"


class ShapedProxy(fx.Proxy):
    """A value of the traced module that knows its example."""

    @property
    def example(self) -> Any:
        """What the value is on the example; None where it could not be computed."""
        return self.node.meta.get(EXAMPLE)

    @property
    def shape(self) -> Any:
        return self.example.shape if isinstance(self.example, torch.Tensor) else self.__getattr__("shape")

    @property
    def ndim(self) -> Any:
        return self.example.ndim if isinstance(self.example, torch.Tensor) else self.__getattr__("ndim")

    @property
    def device(self) -> Any:
        return self.example.device if isinstance(self.example, torch.Tensor) else self.__getattr__("device")

    @property
    def dtype(self) -> Any:
        return self.example.dtype if isinstance(self.example, torch.Tensor) else self.__getattr__("dtype")

    def size(self, *axis: int) -> Any:
        return self.example.size(*axis)

    def dim(self) -> int:
        return int(self.example.dim())

    def __len__(self) -> int:
        return len(self.example)

    def __iter__(self) -> Iterator[Any]:
        whole: Any = self
        return iter([whole[i] for i in range(len(self.example))])


class ShapedTracer(Tracer):
    """Traces a copy of a module in eval mode, from zero state, on ``example``.

    With ``carries`` the module takes and returns its state: it is called for every step of the example.
    """

    def __init__(self, example: torch.Tensor, *, carries: bool = False) -> None:
        super().__init__()
        self._example, self._carries = example, carries
        self._running = False

    def run(self, module: nn.Module) -> fx.Graph | None:
        fresh = fresh_copy(module)
        if self._carries:
            carry(fresh)
        with torch.no_grad(), alone(fresh):
            return super().run(fresh)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return ShapedProxy(node, self)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        return attr_val if self._running else super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return forward(*args, **kwargs) if self._running else super().call_module(m, forward, args, kwargs)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        if node.op == "placeholder":
            first = not any(n.op == "placeholder" for n in self.graph.nodes if n is not node)
            node.meta[EXAMPLE] = self._example if first else (node.args[0] if node.args else None)
        elif node.op != "output":
            self._running = True
            try:
                node.meta[EXAMPLE] = self._value(node)
            finally:
                self._running = False
        return node

    def _value(self, node: fx.Node) -> Any:
        args: Any
        kwargs: Any
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda n: n.meta[EXAMPLE])
        if node.op == "get_attr":
            value: Any = self.root
            for part in str(node.target).split("."):
                value = getattr(value, part)
            return value
        if node.op == "call_module":
            module = self.root.get_submodule(str(node.target))
            if self._inside:
                folded = module(args[0].flatten(0, 1), *args[1:], **kwargs)
                return folded.unflatten(0, args[0].shape[:2])
            return module(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        function: Any = node.target
        return function(*args, **kwargs)


def takes_state(module: nn.Module) -> bool:
    """Whether all arguments of the forward but the first have the default None, and there are some."""
    named = [p for p in inspect.signature(module.forward).parameters.values() if p.kind in _NAMED]
    return len(named) > 1 and all(p.default is None for p in named[1:])


_NAMED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def carry(module: nn.Module) -> None:
    """Let ``module`` (in place) take all steps ``[T, B, ...]``: its own forward is called for each with the
    state that it returned for the step before, and the outputs are stacked."""
    own = type(module)
    forward: Any = own.forward

    def over_time(self: nn.Module, x: Any) -> Any:
        outputs, state = [], ()
        for t in range(len(x)):
            output, *state = forward(self, x[t], *state)
            outputs.append(output)
        return torch.stack(outputs)

    module.__class__ = type(own.__name__, (own,), {"forward": over_time, "__module__": own.__module__})
