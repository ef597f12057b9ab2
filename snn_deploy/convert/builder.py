"""Collects the nodes of an ANN, whatever it is read from; readers call one method per operation.

A value is the tuple of nodes whose outputs it is the sum of, so that a sum needs no node. What only moves or
scales channels (every second position, zero channels before and after, a factor per channel) is a fixed 1x1
convolution; several in a row become one.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from snn_deploy.convert.ann import Ann, MaxPool, Rectifier
from snn_deploy.convert.tidy import tidied
from snn_deploy.core.errors import Problem, UnsupportedError
from snn_deploy.graph.passes.fold_batchnorm import ChannelAffine
from snn_deploy.graph.shapes import MAX_ELEMENTS, Shape, ShapeError, output_shape

Terms = tuple[str, ...]
Array = npt.NDArray[Any]
INPUT, OUTPUT = "input", "output"

INSTEAD = {
    "sigmoid": "train with ReLU, or replace it by ReLU and fine-tune",
    "silu": "train with ReLU, or replace it by ReLU and fine-tune",
    "gelu": "train with ReLU, or replace it by ReLU and fine-tune",
    "hardswish": "train with ReLU, or replace it by ReLU and fine-tune",
    "hardsigmoid": "train with ReLU, or replace it by ReLU and fine-tune",
    "tanh": "train with ReLU, or replace it by ReLU and fine-tune",
    "elu": "train with ReLU, or replace it by ReLU and fine-tune",
    "leakyrelu": "train with ReLU: a spike count is never negative",
    "prelu": "train with ReLU: a spike count is never negative",
    "layernorm": "batch norm, whose statistics are constants",
    "groupnorm": "batch norm, whose statistics are constants",
    "instancenorm": "batch norm, whose statistics are constants",
    "matmul": "a product of two activations needs them at one time: no spiking layer computes it",
    "cat": "a sum of two branches, each with a convolution of its own",
    "concat": "a sum of two branches, each with a convolution of its own",
}
OTHERWISE = "convolution, linear, batch norm, ReLU, ReLU6, pooling, sums, flatten and dropout"
RULE = "layers that a sum of spikes can stand for"


class RefusalError(Exception):
    """One operation that no spiking layer stands for."""

    def __init__(self, where: str, what: str, try_instead: str = "", rule: str = RULE) -> None:
        self.problem = Problem(where, what, rule=rule, try_instead=try_instead)
        super().__init__(what)


def unknown(where: str, operation: str) -> RefusalError:
    """The refusal of an operation that is not known."""
    plain = operation.lower().replace("_", "")
    return RefusalError(where, f"the operation '{operation}'", INSTEAD.get(plain, OTHERWISE))


class AnnBuilder:
    """See the module's text. Values have no batch axis here."""

    def __init__(self, in_shape: Sequence[int]) -> None:
        shape = tuple(int(n) for n in in_shape)
        self.nodes: dict[str, nir.NIRNode] = {INPUT: nir.Input({"input": np.array(shape)})}
        self.sources: dict[str, Terms] = {INPUT: ()}
        self.shapes: dict[str, Shape] = {INPUT: shape}
        self.problems: list[Problem] = []

    @property
    def input(self) -> Terms:
        """The value that goes in."""
        return (INPUT,)

    def shape(self, terms: Terms) -> Shape:
        """Shape of a value."""
        return self.shapes[terms[0]]

    def add(self, where: str, a: Terms, b: Terms) -> Terms:
        """``a + b``; a value added to itself is doubled."""
        if self.shape(a) != self.shape(b):
            raise RefusalError(where, f"adds values of shapes {self.shape(a)} and {self.shape(b)}")
        if set(a) & set(b):
            b = self.scaled(where, b, np.ones(1))
        return (*a, *b)

    def linear(self, where: str, x: Terms, weight: Array, bias: Array | None) -> Terms:
        """``W x + b`` with ``weight [out, in]``."""
        weight = np.array(weight, np.float32)
        node = nir.Linear(weight) if bias is None else nir.Affine(weight, np.array(bias, np.float32))
        return self._place(where, node, x)

    def convolution(
        self,
        where: str,
        x: Terms,
        weight: Array,
        bias: Array | None,
        *,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Terms:
        """A convolution in one or two dimensions."""
        kind = {3: nir.Conv1d, 4: nir.Conv2d}.get(np.ndim(weight))
        if kind is None:
            raise RefusalError(where, f"weights with {np.ndim(weight)} axes", "one or two dimensions")
        single = kind is nir.Conv1d

        def per_axis(value: Any) -> Any:
            return value if isinstance(value, int | str) else value[0] if single else tuple(value)

        zeros = np.zeros(len(weight), np.float32)
        size = self.shape(x)[1:]
        return self._place(
            where,
            kind(
                input_shape=size[0] if single and size else size,
                weight=np.array(weight, np.float32, order="C"),
                stride=per_axis(stride),
                padding=per_axis(padding),
                dilation=per_axis(dilation),
                groups=groups,
                bias=zeros if bias is None else np.array(bias, np.float32),
            ),
            x,
        )

    def scaled(self, where: str, x: Terms, scale: Array, shift: Array | float = 0.0) -> Terms:
        """``scale x + shift`` per channel: a batch norm, or constants."""
        channels = self.shape(x)[0]
        each = [
            np.broadcast_to(np.asarray(v, np.float64).reshape(-1), channels).copy() for v in (scale, shift)
        ]
        return self._place(where, ChannelAffine(*each), x)

    def rectified(self, where: str, x: Terms, ceiling: float | None = None) -> Terms:
        """``min(max(0, x), ceiling)``."""
        return self._place(where, Rectifier(ceiling), x)

    def average(self, where: str, x: Terms, kernel: Any, stride: Any = None, padding: Any = 0) -> Terms:
        """Mean of every window, padding counted."""
        kernel, padding = _pair(kernel), _pair(padding)
        return self._place(where, nir.AvgPool2d(kernel, _pair(stride, kernel), padding), x)

    def maximum(self, where: str, x: Terms, kernel: Any, stride: Any = None, padding: Any = 0) -> Terms:
        """Maximum of every window."""
        kernel = _pair(kernel)
        sizes = (tuple(int(n) for n in v) for v in (kernel, _pair(stride, kernel), _pair(padding)))
        return self._place(where, MaxPool(*sizes), x)

    def pooled_to(self, where: str, x: Terms, size: Sequence[int | None]) -> Terms:
        """Mean of windows that divide the input into ``size``."""
        shape = self.shape(x)
        if len(shape) != 3:
            raise RefusalError(where, f"pools a value of shape {shape}", "(C, H, W)")
        wanted = [have if w is None else w for have, w in zip(shape[1:], size, strict=True)]
        if any(have % w for have, w in zip(shape[1:], wanted, strict=True)):
            raise RefusalError(where, f"pools {shape[1:]} to {tuple(wanted)}", "a size that divides")
        kernel = [have // w for have, w in zip(shape[1:], wanted, strict=True)]
        return x if kernel == [1, 1] else self.average(where, x, kernel)

    def flattened(self, where: str, x: Terms) -> Terms:
        """All axes in one."""
        shape = self.shape(x)
        if len(shape) == 1:
            return x
        return self._place(where, nir.Flatten({"input": np.array(shape)}, 0, -1), x)

    def selected(
        self, where: str, x: Terms, *, step: tuple[int, int] = (1, 1), before: int = 0, after: int = 0
    ) -> Terms:
        """Every ``step``-th position, with ``before`` and ``after`` zero channels around: a fixed 1x1
        convolution."""
        channels = self.shape(x)[0]
        if (before + channels + after) * channels > MAX_ELEMENTS:
            raise RefusalError(
                where, f"{before} and {after} more channels", rule=f"at most {MAX_ELEMENTS} weights"
            )
        weight = np.zeros((before + channels + after, channels, 1, 1), np.float32)
        weight[np.arange(channels) + before, np.arange(channels)] = 1.0
        terms = self.convolution(where, x, weight, None, stride=step)
        self.nodes[terms[0]].metadata["fixed"] = True
        return terms

    def reshaped(self, where: str, x: Terms, sizes: Sequence[int]) -> Terms:
        """``x`` with the axes ``sizes`` behind the batch axis: as it is, or flattened."""
        shape = self.shape(x)
        if tuple(sizes) == shape:
            return x
        if len(sizes) == 1 and sizes[0] in (-1, prod(shape)):
            return self.flattened(where, x)
        raise RefusalError(where, f"changes the shape {shape} to {tuple(sizes)}", "flatten")

    def finish(self, name: str, result: Terms) -> Ann:
        """The whole network, batch norm folded.

        Raises:
            UnsupportedError: every operation that was refused.
        """
        if self.problems:
            raise UnsupportedError(f"'{name}' cannot be converted.", problems=self.problems)
        self.nodes[OUTPUT] = nir.Output({"output": np.array(self.shape(result))})
        self.sources[OUTPUT], self.shapes[OUTPUT] = result, self.shape(result)
        ann = Ann(name, self.nodes, self.sources, self.shapes, INPUT, OUTPUT)
        if not ann.rectifiers:
            raise UnsupportedError(
                f"'{name}' cannot be converted: it has no ReLU to put neurons in place of."
            )
        return tidied(ann)

    def _place(self, where: str, node: nir.NIRNode, terms: Terms) -> Terms:
        shape = self.shape(terms)
        try:
            out = _shape_behind(node, shape)
        except ShapeError as error:
            raise RefusalError(where, f"{type(node).__name__}: {error}") from None
        if not all(np.isfinite(v).all() for v in vars(node).values() if isinstance(v, np.ndarray)):
            raise RefusalError(where, "holds numbers that are not finite", rule="finite weights")
        stem = where.strip("./") or "layer"
        stem = f"{stem}_" if stem in (INPUT, OUTPUT) else stem.replace("/", ".")
        name, count = stem, 1
        while name in self.nodes:
            count += 1
            name = f"{stem}:{count}"
        self.nodes[name], self.sources[name], self.shapes[name] = node, terms, out
        return (name,)


def spread(where: str, constant: Array, shape: Shape) -> Array:
    """``constant``, which broadcasts to a batch of values of ``shape``, as such a value."""
    try:
        found: Array = np.broadcast_to(constant, (1, *shape))[0]
    except ValueError:
        raise RefusalError(where, f"a constant of shape {constant.shape}", "one number per channel") from None
    return found


def one_per_channel(where: str, x: Array) -> Array:
    """The one number that each channel of ``x [C, ...]`` has."""
    rows = x.reshape(len(x), -1)
    if (rows != rows[:, :1]).any():
        raise RefusalError(where, "a constant that differs within a channel", "one number per channel")
    return np.ascontiguousarray(rows[:, 0])


def _shape_behind(node: nir.NIRNode, shape: Shape) -> Shape:
    if isinstance(node, ChannelAffine):
        return shape
    if isinstance(node, MaxPool):
        return output_shape(node.pooled_by(nir.SumPool2d), shape)
    return output_shape(node, shape)


def _pair(value: Any, otherwise: npt.NDArray[np.int64] | None = None) -> npt.NDArray[np.int64]:
    if otherwise is not None and (value is None or np.size(value) == 0):
        return otherwise.copy()
    return np.broadcast_to(np.asarray(value, np.int64), 2).copy()
