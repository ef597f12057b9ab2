"""One time step of a plan as ONNX operators: what a state-of-the-step model and the body of a Scan share.

The operators and their order are those of :mod:`snn_deploy.simulate.neurons` and ``layers``, so that float32
results agree with the reference simulator up to the summation order inside convolutions and products.
The tensor of a layer's output has the layer's name; nothing inside the layer reads it, so that it can be
replaced to judge the layers behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import nir
import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from snn_deploy.export.onnx_fire import COMPARISONS, add_fire
from snn_deploy.export.onnx_int8 import Quantized
from snn_deploy.export.onnx_parts import Step
from snn_deploy.graph.dynamics import Membrane, Neuron, Synaptic, delay_steps, discretise, parameters
from snn_deploy.graph.semantics import Semantics, read_semantics
from snn_deploy.graph.shapes import Shape, axes, flatten_axes, pads
from snn_deploy.graph.types import SPIKING_NODES, Plan
from snn_deploy.simulate.onnx.info import StateValue, Value

BATCH = "batch"
SEQ = "_seq"


def build_step(plan: Plan, quantized: Mapping[str, Quantized] | None = None) -> Step:
    """The operators of one time step of ``plan``: ``x`` and states in, ``out`` and states out.

    Args:
        plan: the network.
        quantized: integers for the layers of weights, in QDQ form; see
            :mod:`snn_deploy.export.onnx_int8`.
    """
    step = Step(_free("x", plan), _free("out", plan), precision="int8" if quantized else "float32")
    semantics = read_semantics(plan.graph)
    feeding = sorted({source for found in plan.feedback.values() for source in found}, key=plan.order.index)
    previous = {name: step.state(name, "previous", plan.shapes[name]) for name in feeding}
    values = {plan.input: step.x}
    for name in plan.order:
        if name == plan.input:
            continue
        terms = [values[source] for source in plan.sources[name]]
        terms += [previous[source].input for source in plan.feedback.get(name, ())]
        x = terms[0]
        for number, term in enumerate(terms[1:], start=1):
            x = step.op("Add", [x, term], f"{name}/sum{number}")
        output = step.out if name == plan.output else name
        node = plan.node(name)
        fed = plan.shapes[(*plan.sources[name], *plan.feedback.get(name, ()))[0]]
        integers = (quantized or {}).get(name)
        _add_node(step, name, node, x, output, fed, semantics, integers)
        values[name] = output
        if isinstance(node, SPIKING_NODES):
            step.layers.append(Value(name=name, shape=plan.shapes[name]))
    for name, state in previous.items():
        step.op("Identity", [values[name]], state.output)
    return step


def _free(name: str, plan: Plan) -> str:
    """``name``, with underscores behind it while a node is called so."""
    while {name, name + SEQ} & set(plan.order):
        name += "_"
    return name


def _add_node(
    step: Step,
    name: str,
    node: nir.NIRNode,
    x: str,
    output: str,
    shape: Shape,
    semantics: Semantics,
    integers: Quantized | None,
) -> None:
    if isinstance(node, nir.Output):
        step.op("Identity", [x], output)
    elif isinstance(node, nir.Affine | nir.Linear):
        step.op("Gemm", _operands(step, name, node, x, integers), output, transB=1)
    elif isinstance(node, nir.Conv1d | nir.Conv2d):
        _convolution(step, name, node, _operands(step, name, node, x, integers), output)
    elif isinstance(node, nir.AvgPool2d | nir.SumPool2d):
        _pool(step, name, node, x, output, shape[0])
    elif isinstance(node, nir.Flatten):
        _flatten(step, name, node, x, output, shape)
    elif isinstance(node, nir.Scale):
        step.op("Mul", [x, step.constant(f"{name}.scale", parameters(node)["scale"])], output)
    elif isinstance(node, nir.Threshold):
        threshold = step.constant(f"{name}.v_threshold", parameters(node)["threshold"])
        fired = step.op(COMPARISONS[semantics.fires_at], [x, threshold], f"{name}/fired")
        step.op("Cast", [fired], output, to=TensorProto.FLOAT)
    elif isinstance(node, nir.Delay):
        _delay(step, name, delay_steps(node, semantics), x, output, shape)
    else:
        _neuron(step, name, discretise(node, semantics), x, output, shape)


def _operands(step: Step, name: str, node: nir.NIRNode, x: str, integers: Quantized | None) -> list[str]:
    """Input, weights and bias of a layer of weights."""
    if integers is None:
        bias = [step.constant(f"{name}.bias", node.bias)] if hasattr(node, "bias") else []
        return [x, step.constant(f"{name}.weight", node.weight), *bias]
    zero = step.constant(f"{name}.x_zero", 0, np.int8)
    x_scale = step.constant(f"{name}.x_scale", integers.x_scale)
    x_int8 = step.op("QuantizeLinear", [x, x_scale, zero], f"{name}/x_int8")
    operands = [step.op("DequantizeLinear", [x_int8, x_scale, zero], f"{name}/x")]
    scales = {"weight": integers.weight_scales}
    if integers.bias is not None:
        scales["bias"] = np.float32(integers.x_scale) * integers.weight_scales
    for label, scale in scales.items():
        values = getattr(integers, label)
        parts = [
            step.constant(f"{name}.{label}", values, values.dtype),
            step.constant(f"{name}.{label}_scale", scale),
            step.constant(f"{name}.{label}_zero", np.zeros(len(values)), values.dtype),
        ]
        operands.append(step.op("DequantizeLinear", parts, f"{name}/{label}", axis=0))
    return operands


def _convolution(
    step: Step, name: str, node: nir.Conv1d | nir.Conv2d, operands: list[str], output: str
) -> None:
    kernel = tuple(node.weight.shape[2:])
    stride, dilation = axes(node.stride, len(kernel)), axes(node.dilation, len(kernel))
    padding = pads(node, kernel, dilation, stride)
    step.op(
        "Conv",
        operands,
        output,
        kernel_shape=kernel,
        strides=stride,
        dilations=dilation,
        pads=[before for before, _ in padding] + [after for _, after in padding],
        group=axes(node.groups, 1)[0],
    )


def _pool(
    step: Step, name: str, node: nir.AvgPool2d | nir.SumPool2d, x: str, output: str, channels: int
) -> None:
    kernel, stride = axes(node.kernel_size, 2), axes(node.stride, 2)
    padding = pads(node, kernel, (1, 1), stride)
    window = {
        "kernel_shape": kernel,
        "strides": stride,
        "pads": [before for before, _ in padding] + [after for _, after in padding],
    }
    if isinstance(node, nir.AvgPool2d):
        step.op("AveragePool", [x], output, count_include_pad=1, **window)
    else:
        ones = step.constant(f"{name}.ones", np.ones((channels, 1, *kernel)))
        step.op("Conv", [x, ones], output, group=channels, **window)


def _flatten(step: Step, name: str, node: nir.Flatten, x: str, output: str, shape: Shape) -> None:
    first, last = flatten_axes(node, len(shape))
    if last - first == len(shape) - 1:
        step.op("Flatten", [x], output, axis=1)
        return
    kept = [-1, *shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]]
    step.op("Reshape", [x, step.constant(f"{name}.shape", kept, np.int64)], output)


def _delay(step: Step, name: str, steps: npt.NDArray[np.int64], x: str, output: str, shape: Shape) -> None:
    longest = int(steps.max())
    if longest == 0:
        step.op("Identity", [x], output)
        return
    past = step.state(name, "past", (longest, *shape))
    axis = step.constant(f"{name}.axis", [1], np.int64)
    now = step.op("Unsqueeze", [x, axis], f"{name}/now")
    known = step.op("Concat", [past.input, now], f"{name}/known", axis=1)
    begin = step.constant(f"{name}.begin", [1], np.int64)
    end = step.constant(f"{name}.end", [longest + 1], np.int64)
    step.op("Slice", [known, begin, end, axis], past.output)
    if steps.ndim == 0:
        zero = step.constant(f"{name}.zero", 0, np.int64)
        step.op("Gather", [known, zero], output, axis=1)
        return
    place = longest - np.broadcast_to(steps, shape)[None, None]
    like = step.op("Shape", [now], f"{name}/like")
    index = step.op("Expand", [step.constant(f"{name}.place", place, np.int64), like], f"{name}/index")
    taken = step.op("GatherElements", [known, index], f"{name}/taken", axis=1)
    step.op("Squeeze", [taken, axis], output)


def _neuron(step: Step, name: str, neuron: Neuron, x: str, output: str, shape: Shape) -> None:
    charge = neuron.charge

    def times(value: str, factor: npt.NDArray[np.float64] | None, label: str) -> str:
        if factor is None:
            return value
        return step.op("Mul", [value, step.constant(f"{name}.{label}", factor)], f"{name}/{label}")

    if isinstance(charge, Synaptic):
        i = step.state(name, "i", shape)
        v = step.state(name, "v", shape, float(neuron.start))
        h = _synaptic(step, name, charge, x, i, v, times)
    else:
        v = step.state(name, "v", shape, float(neuron.start))
        h = _membrane(step, name, charge, x, v.input, times)
    if neuron.fire is None:
        step.op("Identity", [h], output)
        step.op("Identity", [h], v.output)
    else:
        add_fire(step, name, neuron.fire, h, v, output)


Times = Callable[[str, "npt.NDArray[np.float64] | None", str], str]


def _membrane(step: Step, name: str, charge: Membrane, x: str, v: str, times: Times) -> str:
    x = times(x, charge.gain, "gain")
    if charge.leak is None:
        return step.op("Add", [v, x], f"{name}/h")
    above = v
    if charge.v_leak is not None:
        above = step.op("Sub", [v, step.constant(f"{name}.v_leak", charge.v_leak)], f"{name}/above_rest")
    rate = step.constant(f"{name}.rate", charge.leak.value)
    kind = "Div" if charge.leak.divides else "Mul"
    if charge.input_decays:
        drive = step.op("Sub", [x, above], f"{name}/drive")
        return step.op("Add", [v, step.op(kind, [drive, rate], f"{name}/move")], f"{name}/h")
    kept = step.op("Sub", [v, step.op(kind, [above, rate], f"{name}/leak")], f"{name}/kept")
    return step.op("Add", [kept, x], f"{name}/h")


def _synaptic(
    step: Step, name: str, charge: Synaptic, x: str, i: StateValue, v: StateValue, times: Times
) -> str:
    decayed = times(i.input, charge.i_decay, "i_decay")
    current = step.op("Add", [decayed, times(x, charge.i_gain, "i_gain")], i.output)
    kept = times(v.input, charge.v_decay, "v_decay")
    offset = charge.v_offset
    h = step.op(
        "Add", [kept, times(current, charge.v_gain, "v_gain")], f"{name}/{'h' if offset is None else 'g'}"
    )
    if offset is None:
        return h
    return step.op("Add", [h, step.constant(f"{name}.v_offset", offset)], f"{name}/h")
