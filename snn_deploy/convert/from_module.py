"""Read a torch ANN: ``torch.export`` gives its operations, whatever modules or functions they were written as."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx, nn

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.builder import AnnBuilder, RefusalError, Terms, unknown
from snn_deploy.core.errors import UnsupportedError

BATCH = 2
"""Samples of the example that the module is followed with."""

Array = npt.NDArray[Any]
SAME = {"dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "alias", "detach", "identity", "to"}
ENDS = {"softmax", "log_softmax", "_softmax", "_log_softmax"}


def from_module(module: nn.Module, in_shape: Sequence[int], name: str | None = None) -> Ann:
    """The ANN ``module: [B, *in_shape] -> [B, K]`` in evaluation mode, batch norm folded.

    Raises:
        UnsupportedError: naming every operation that no spiking layer stands for, with what to try; or the
            module's control flow depends on its input.
    """
    title = name or type(module).__name__
    training = module.training
    example = torch.zeros(BATCH, *in_shape, device=_device(module))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(module.eval(), (example,), strict=False)
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).partition("\n")[0]
        raise UnsupportedError(
            f"'{title}' cannot be followed: {text}",
            hint="Its forward must take one tensor [B, ...] and use no value of it to decide what to do.",
        ) from error
    finally:
        module.train(training)
    return _Reader(program, in_shape).read(title)


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


class _Reader:
    """Walks the operations of an exported program."""

    def __init__(self, program: torch.export.ExportedProgram, in_shape: Sequence[int]) -> None:
        self.program = program
        self.builder = AnnBuilder(in_shape)
        self.values: dict[fx.Node, Terms] = {}
        self.constants: dict[fx.Node, torch.Tensor] = {}

    def read(self, name: str) -> Ann:
        signature = self.program.graph_signature
        held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
        held |= getattr(signature, "inputs_to_lifted_tensor_constants", {})
        known = {**self.program.state_dict, **self.program.constants}
        result: Terms | None = None
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                if node.name in held:
                    self.constants[node] = known[held[node.name]]
                elif not self.values:
                    self.values[node] = self.builder.input
            elif node.op == "output":
                result = self._result(node)
            elif any(operand not in self.values and operand not in self.constants for operand in node.all_input_nodes):
                continue  # behind a refused operation
            elif not any(operand in self.values for operand in node.all_input_nodes):
                self._constant(node)
            else:
                self._take(node)
        return self.builder.finish(name, result or self.builder.input)

    def _result(self, node: fx.Node) -> Terms | None:
        outputs = [value for value in node.args[0] if isinstance(value, fx.Node)]
        if len(outputs) != 1:
            fault = RefusalError("forward", f"returns {len(outputs)} values", "one tensor of scores")
            self.builder.problems.append(fault.problem)
            return None
        return self.values.get(outputs[0])

    def _constant(self, node: fx.Node) -> None:
        """Constants made of constants, such as a transposed weight, are computed now."""
        arguments = fx.map_arg(node.args, lambda operand: self.constants[operand])
        given = fx.map_arg(node.kwargs, lambda operand: self.constants[operand])
        self.constants[node] = node.target(*arguments, **given)

    def _take(self, node: fx.Node) -> None:
        where = _place(node)
        operation = _operation(node)
        try:
            read = READ.get(operation)
            if operation in SAME:
                self.values[node] = self.values[node.all_input_nodes[0]]
            elif operation in ENDS:
                self.values[node] = self._end(where, node)
            elif read is None:
                raise unknown(where, operation)
            else:
                self.values[node] = read(self, where, _arguments(node))
        except RefusalError as refusal:
            self.builder.problems.append(refusal.problem)

    def _end(self, where: str, node: fx.Node) -> Terms:
        if any(user.op != "output" for user in node.users):
            raise RefusalError(where, "a softmax inside the network", "leave it out, or put it at the end")
        return self.values[node.all_input_nodes[0]]

    def value(self, operand: Any, where: str) -> Terms:
        """The activation ``operand``."""
        if operand not in self.values:
            raise RefusalError(where, "a constant where an activation belongs", "plain layers")
        return self.values[operand]

    def constant(self, operand: Any, where: str) -> Array | None:
        """The constant ``operand``; None for None."""
        if operand is None:
            return None
        if isinstance(operand, fx.Node):
            if operand not in self.constants:
                raise RefusalError(where, "weights that are computed from the input", "constant weights")
            array: Array = self.constants[operand].detach().cpu().double().numpy()
            return array
        return np.asarray(operand, np.float64)

    def weights(self, operand: Any, where: str) -> Array:
        """The constant ``operand``, which must be there."""
        found = self.constant(operand, where)
        assert found is not None
        return found


Arguments = dict[str, Any]
Read = Callable[[_Reader, str, Arguments], Terms]


def _operation(node: fx.Node) -> str:
    """``conv2d`` of ``aten.conv2d.default``; in-place forms are the same."""
    target = node.target
    if target is operator.getitem:
        return "getitem"
    name = getattr(target, "_schema", None)
    text = name.name.rpartition("::")[2] if name is not None else str(target)
    return text if text.startswith("__") else text.rstrip("_")


def _arguments(node: fx.Node) -> Arguments:
    """Arguments by name, defaults filled in."""
    schema = node.target._schema  # type: ignore[union-attr]
    found = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    found |= {argument.name: value for argument, value in zip(schema.arguments, node.args, strict=False)}
    return {**found, **node.kwargs}


def _place(node: fx.Node) -> str:
    """Path of the module that does it; of a function, that of the module that calls it and its name."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = (str(stack[-1][0]), stack[-1][1]) if stack else ("", "")
    own = inspect.getmodule(kind).__name__ if inspect.isclass(kind) and inspect.getmodule(kind) else str(kind)
    if path and own.startswith("torch.nn."):
        return path
    return ".".join(part for part in (path, _operation(node)) if part)


def _conv(r: _Reader, where: str, a: Arguments) -> Terms:
    return r.builder.convolution(
        where,
        r.value(a["input"], where),
        r.weights(a["weight"], where),
        r.constant(a["bias"], where),
        stride=a["stride"],
        padding=a["padding"],
        dilation=a["dilation"],
        groups=a["groups"],
    )


def _linear(r: _Reader, where: str, a: Arguments) -> Terms:
    x = r.value(a["input"], where)
    return r.builder.linear(where, x, r.weights(a["weight"], where), r.constant(a["bias"], where))


def _norm(r: _Reader, where: str, a: Arguments) -> Terms:
    mean, variance = r.constant(a["running_mean"], where), r.constant(a["running_var"], where)
    if mean is None or variance is None or a["training"]:
        raise RefusalError(where, "batch norm without running statistics", "track_running_stats=True, and eval()")
    gamma, beta = r.constant(a["weight"], where), r.constant(a["bias"], where)
    scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + a["eps"])
    return r.builder.scaled(where, r.value(a["input"], where), scale, (0.0 if beta is None else beta) - scale * mean)


def _relu(r: _Reader, where: str, a: Arguments) -> Terms:
    return r.builder.rectified(where, r.value(a["self"], where))


def _clamp(r: _Reader, where: str, a: Arguments) -> Terms:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    if low != 0 or (high is not None and high <= 0):
        raise RefusalError(where, f"limits to {low} .. {high}", "a lower limit of 0: ReLU or ReLU6")
    return r.builder.rectified(where, r.value(a["self"], where), None if high is None else float(high))


def _relu6(r: _Reader, where: str, a: Arguments) -> Terms:
    return r.builder.rectified(where, r.value(a["self"], where), 6.0)


def _average(r: _Reader, where: str, a: Arguments) -> Terms:
    if a["ceil_mode"] or a["divisor_override"] is not None:
        raise RefusalError(where, "average pooling with ceil_mode or another divisor", "a plain window")
    if np.any(np.asarray(a["padding"])) and not a["count_include_pad"]:
        raise RefusalError(where, "average pooling that does not count its padding", "count_include_pad=True")
    return r.builder.average(where, r.value(a["self"], where), a["kernel_size"], a["stride"], a["padding"])


def _maximum(r: _Reader, where: str, a: Arguments) -> Terms:
    if a["ceil_mode"] or np.any(np.asarray(a["dilation"]) != 1):
        raise RefusalError(where, "max pooling with ceil_mode or dilation", "a plain window")
    return r.builder.maximum(where, r.value(a["self"], where), a["kernel_size"], a["stride"], a["padding"])


def _adaptive(r: _Reader, where: str, a: Arguments) -> Terms:
    return r.builder.pooled_to(where, r.value(a["self"], where), a["output_size"])


def _mean(r: _Reader, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    rank = len(r.builder.shape(x)) + 1
    if a["dim"] is None or {axis % rank for axis in a["dim"]} != {2, 3} or rank != 4:
        raise RefusalError(where, f"a mean over the axes {a['dim']}", "a mean over height and width")
    pooled = r.builder.pooled_to(where, x, (1, 1))
    return pooled if a["keepdim"] else r.builder.flattened(f"{where}.flatten", pooled)


def _flatten(r: _Reader, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    if a["start_dim"] != 1 or a["end_dim"] not in (-1, len(r.builder.shape(x))):
        raise RefusalError(where, f"flattens the axes {a['start_dim']} to {a['end_dim']}", "flatten(1)")
    return r.builder.flattened(where, x)


def _view(r: _Reader, where: str, a: Arguments) -> Terms:
    first, *rest = a.get("size", a.get("shape"))
    if first not in (BATCH, -1):
        raise RefusalError(where, "folds the batch axis into another", "flatten(1)")
    return r.builder.reshaped(where, r.value(a["self"], where), rest)


def _add(r: _Reader, where: str, a: Arguments) -> Terms:
    first, second = a["self"], a["other"]
    factor = float(a.get("alpha", 1))
    if first in r.values and second in r.values:
        if factor != 1:
            return r.builder.add(where, r.values[first], r.builder.scaled(where, r.values[second], np.array(factor)))
        return r.builder.add(where, r.values[first], r.values[second])
    x, constant = (first, second) if first in r.values else (second, first)
    shift = r.weights(constant, where) * factor
    return r.builder.scaled(where, r.values[x], np.ones(1), _per_channel(r, where, r.values[x], shift))


def _subtract(r: _Reader, where: str, a: Arguments) -> Terms:
    if a["self"] in r.values and a["other"] not in r.values:
        return _add(r, where, {**a, "alpha": -float(a.get("alpha", 1))})
    if a["self"] in r.values:
        return _add(r, where, {**a, "alpha": -float(a.get("alpha", 1))})
    negative = r.builder.scaled(where, r.value(a["other"], where), np.array(-float(a.get("alpha", 1))))
    shift = _per_channel(r, where, negative, r.weights(a["self"], where))
    return r.builder.scaled(where, negative, np.ones(1), shift)


def _multiply(r: _Reader, where: str, a: Arguments) -> Terms:
    first, second = a["self"], a["other"]
    if first in r.values and second in r.values:
        raise RefusalError(where, "a product of two activations", "a spike carries no value to multiply by")
    x, constant = (first, second) if first in r.values else (second, first)
    return r.builder.scaled(where, r.values[x], _per_channel(r, where, r.values[x], r.weights(constant, where)))


def _divide(r: _Reader, where: str, a: Arguments) -> Terms:
    if a["self"] not in r.values or a["other"] in r.values:
        raise RefusalError(where, "a division by an activation", "constant factors")
    factor = 1.0 / r.weights(a["other"], where)
    x = r.values[a["self"]]
    return r.builder.scaled(where, x, _per_channel(r, where, x, factor))


def _per_channel(r: _Reader, where: str, x: Terms, constant: Array) -> Array:
    """``constant``, which broadcasts to a batch of ``x``, as one number per channel."""
    shape = (1, *r.builder.shape(x))
    try:
        spread = np.broadcast_to(constant, shape)[0]
    except ValueError:
        raise RefusalError(where, f"a constant of shape {constant.shape}", "one number per channel") from None
    first = spread.reshape(len(spread), -1)
    if (first != first[:, :1]).any():
        raise RefusalError(where, "a constant that differs within a channel", "one number per channel")
    return np.ascontiguousarray(first[:, 0])


def _slice(r: _Reader, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    shape = r.builder.shape(x)
    axis, step = a["dim"] % (len(shape) + 1), int(a["step"])
    size = (BATCH, *shape)[axis]
    whole = (a["start"] or 0) == 0 and (a["end"] is None or a["end"] >= size)
    if whole and step == 1:
        return x
    if not whole or axis not in (2, 3) or len(shape) != 3:
        raise RefusalError(where, f"takes a part of axis {axis}", "every second position of the whole image")
    return r.builder.selected(where, x, step=(step, 1) if axis == 2 else (1, step))


def _pad(r: _Reader, where: str, a: Arguments) -> Terms:
    x = r.value(a["self"], where)
    amounts = [int(n) for n in a["pad"]]
    if a.get("mode", "constant") != "constant" or (a.get("value") or 0) != 0 or min(amounts) < 0:
        raise RefusalError(where, "padding by something else than zeros", "zero padding")
    rank = len(r.builder.shape(x))
    spatial, channels = amounts[: 2 * (rank - 1)], amounts[2 * (rank - 1) : 2 * rank]
    if any(spatial):
        raise RefusalError(where, f"padding {amounts} that is not part of a layer", "padding of the layer itself")
    return r.builder.selected(where, x, before=channels[0], after=channels[1]) if any(channels) else x


READ: dict[str, Read] = {
    "conv1d": _conv, "conv2d": _conv, "linear": _linear, "batch_norm": _norm, "relu": _relu, "relu6": _relu6,
    "hardtanh": _clamp, "clamp": _clamp, "clamp_min": _clamp, "avg_pool2d": _average, "max_pool2d": _maximum,
    "adaptive_avg_pool2d": _adaptive, "mean": _mean, "flatten": _flatten, "view": _view, "reshape": _view,
    "add": _add, "sub": _subtract, "mul": _multiply, "div": _divide, "slice": _slice, "pad": _pad,
    "constant_pad_nd": _pad,
}  # fmt: skip
