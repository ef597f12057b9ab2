"""Read the ANN in an ``.onnx`` file, as torch's exporters and tf2onnx write them (operator sets 11 to 26).

Keras networks have channels last: their file transposes in front of the first convolution and back before the
first dense layer. The network read here has channels first throughout: the transposition of the input is left
out, and the columns of a dense layer behind a flattening are put in that order.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from snn_deploy.convert.ann import Ann
from snn_deploy.convert.builder import AnnBuilder, RefusalError, unknown
from snn_deploy.convert.onnx_constants import COMPUTES, computed
from snn_deploy.convert.onnx_file import OnnxAnn, Operation, load_ann
from snn_deploy.convert.onnx_operators import READ
from snn_deploy.convert.onnx_values import TO_FIRST, Tensors, Value
from snn_deploy.core.errors import Problem

SAME = {"Identity", "Dropout", "Cast"}
ENDS = {"Softmax", "LogSoftmax"}


def from_onnx(path: Path) -> Ann:
    """The ANN in the file at ``path``.

    Raises:
        DataError: missing, damaged, or of another operator set.
        UnsupportedError: naming every operator that no spiking layer stands for, with what to try.
    """
    file = load_ann(path)
    last = _channels_last(file)
    builder = AnnBuilder((file.shape[-1], *file.shape[:-1]) if last else file.shape)
    tensors = Tensors(builder, {file.input: Value(builder.input, last=last)}, dict(file.constants))
    for operation in file.operations:
        try:
            _take(file, tensors, operation)
        except RefusalError as refusal:
            builder.problems.append(refusal.problem)
        except (ValueError, IndexError, TypeError, KeyError, OverflowError, ZeroDivisionError) as error:
            what = f"'{operation.kind}' whose parts do not fit: {error or type(error).__name__}"
            builder.problems.append(Problem(operation.where, what, rule="the specification of ONNX"))
    found = tensors.values.get(file.output)
    if found is not None and (found.columns is not None or any(found.pads)):
        fault = RefusalError(file.output, "ends in a reshaped value", "end in a dense layer")
        builder.problems.append(fault.problem)
    ann = builder.finish(path.stem, builder.input if found is None else found.terms)
    if not last:
        return ann
    text = "The file takes images with channels last (H, W, C); the network takes (C, H, W)."
    return replace(ann, remarks=(*ann.remarks, text))


def _take(file: OnnxAnn, tensors: Tensors, operation: Operation) -> None:
    """Read one operation. Behind a refused one only its kind is checked."""
    kind, output = operation.kind, operation.outputs[0]
    given = [tensor for tensor in operation.inputs if tensor]
    values, constants = tensors.values, tensors.constants
    if any(tensor not in values and tensor not in constants for tensor in given):
        if kind not in READ.keys() | COMPUTES.keys() | SAME | ENDS:
            raise unknown(operation.where, kind)
    elif not any(tensor in values for tensor in given):
        constants[output] = computed(operation, [constants[tensor] for tensor in given])
    elif kind == "Shape":
        constants[output] = tensors.shape_of(values[given[0]])
    elif kind in SAME or (kind in ENDS and output == file.output):
        values[output] = values[given[0]]
    elif kind in ENDS:
        raise RefusalError(operation.where, "a softmax inside the network", "put it at the end")
    elif kind in READ:
        values[output] = READ[kind](tensors, operation)
    else:
        raise unknown(operation.where, kind)


def _channels_last(file: OnnxAnn) -> bool:
    """Whether every operation that reads the input puts its channels first; where there is one channel,
    tf2onnx does it by a reshape."""
    readers = [operation for operation in file.operations if file.input in operation.inputs]
    return len(file.shape) == 3 and bool(readers) and all(_to_first(file, reader) for reader in readers)


def _to_first(file: OnnxAnn, reader: Operation) -> bool:
    if reader.kind == "Transpose":
        return tuple(reader.attributes.get("perm", ())) == TO_FIRST
    shape = file.constants.get(reader.inputs[1]) if reader.kind == "Reshape" else None
    first = (1, *file.shape[:2])
    return file.shape[2] == 1 and shape is not None and tuple(shape.reshape(-1)[1:]) == first != file.shape
