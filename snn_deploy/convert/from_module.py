"""Read a torch ANN: ``torch.export`` gives its operations, whatever modules or functions they were written
as."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.builder import AnnBuilder, RefusalError, Terms, unknown
from snn_deploy.convert.torch_operators import BATCH, READ, Arguments, Traced
from snn_deploy.core.errors import UnsupportedError

SAME = {
    "dropout", "feature_dropout", "alpha_dropout", "contiguous", "clone", "alias", "detach", "identity", "to",
}  # fmt: skip
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
    return _read(program, in_shape, title)


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


def _read(program: torch.export.ExportedProgram, in_shape: Sequence[int], title: str) -> Ann:
    """Walk the operations of an exported program."""
    signature = program.graph_signature
    held = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    held |= signature.inputs_to_lifted_tensor_constants
    known = {**program.state_dict, **program.constants}
    builder = AnnBuilder(in_shape)
    traced = Traced(builder, {}, {})
    result: Terms | None = None
    for node in program.graph.nodes:
        try:
            if node.op == "placeholder" and node.name in held:
                traced.constants[node] = known[held[node.name]]
            elif node.op == "placeholder":
                traced.values[node] = builder.input
            elif node.op == "output":
                result = _result(traced, node)
            else:
                _take(traced, node)
        except RefusalError as refusal:
            builder.problems.append(refusal.problem)
    return builder.finish(title, builder.input if result is None else result)


def _result(traced: Traced, node: fx.Node) -> Terms | None:
    given: Any = node.args[0]
    outputs = [value for value in given if isinstance(value, fx.Node)]
    if len(outputs) != 1:
        raise RefusalError("forward", f"returns {len(outputs)} values", "one tensor of scores")
    return traced.values.get(outputs[0])


def _take(traced: Traced, node: fx.Node) -> None:
    """Read one operation. Behind a refused one only its kind is checked; what is made of constants, such as a
    transposed weight, is computed now."""
    operands, operation, where = node.all_input_nodes, _operation(node), _place(node)
    if any(operand not in traced.values and operand not in traced.constants for operand in operands):
        if operation not in READ.keys() | SAME | ENDS:
            raise unknown(where, operation)
    elif not any(operand in traced.values for operand in operands):
        arguments: Any = fx.map_arg(node.args, lambda operand: traced.constants[operand])
        given: Any = fx.map_arg(node.kwargs, lambda operand: traced.constants[operand])
        target: Any = node.target
        traced.constants[node] = target(*arguments, **given)
    elif operation in SAME or (operation in ENDS and all(user.op == "output" for user in node.users)):
        traced.values[node] = traced.value(operands[0], where)
    elif operation in ENDS:
        raise RefusalError(where, "a softmax inside the network", "leave it out, or put it at the end")
    elif operation in READ:
        traced.values[node] = READ[operation](traced, where, _arguments(node))
    else:
        raise unknown(where, operation)


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
    target: Any = node.target
    schema = target._schema
    found = {
        argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()
    }
    found |= {argument.name: value for argument, value in zip(schema.arguments, node.args, strict=False)}
    return {**found, **node.kwargs}


def _place(node: fx.Node) -> str:
    """Path of the module that does it; of a function, that of the module that calls it and its name."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = (str(stack[-1][0]), stack[-1][1]) if stack else ("", "")
    own = kind.__module__ if inspect.isclass(kind) else str(kind)
    if path and own.startswith("torch.nn."):
        return path
    return ".".join(part for part in (path, _operation(node)) if part)
