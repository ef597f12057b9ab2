"""Damaged and hostile files, each with what the command must say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

import h5py
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DAMAGED, UNSUPPORTED = 7, 3
"""Exit codes: the file is damaged; it is sound, but says what cannot be executed."""


class Damage(NamedTuple):
    """``change`` damages an open file (or, of type bytes, its bytes); the message has ``says``."""

    change: Callable
    says: str
    code: int = DAMAGED
    raw: bool = False


def put(name: str, value, **options) -> Callable:
    """Replace a member of an HDF5 file."""

    def change(file: h5py.File) -> None:
        if name in file:
            del file[name]
        if value is not None or options:
            file.create_dataset(name, data=value, **options)

    return change


def link(name: str, target) -> Callable:
    """Replace a member by a link."""

    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = target

    return change


def virtual(name: str) -> Callable:
    """Take the data from another file."""

    def change(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(4,))
        del file[name]
        file.create_virtual_dataset(name, layout)

    return change


def zero_heap(content: bytes) -> bytes:
    """A text heap whose first block is free and of size 0: HDF5 2.0 walks it for ever."""
    data = bytearray(content)
    first = data.find(b"GCOL") + 16
    assert first > 16
    data[first : first + 2] = bytes(2)
    data[first + 8 : first + 16] = bytes(8)
    return bytes(data)


def metadata(**changes) -> Callable:
    """Change the discrete-time semantics in a NIR file."""

    def change(file: h5py.File) -> None:
        name = "node/metadata/snn_deploy"
        content = json.loads(file[name][()])
        put(name, json.dumps({**content, **changes}))(file)

    return change


def edges(*more: tuple[str, str], without: str = "") -> Callable:
    """Add edges to a NIR file, and take those of a node away."""

    def change(file: h5py.File) -> None:
        old = [[a.decode(), b.decode()] for a, b in file["node/edges"][()]]
        kept = [edge for edge in old if without not in edge]
        put("node/edges", [*kept, *map(list, more)], dtype=h5py.string_dtype())(file)

    return change


def second_input(file: h5py.File) -> None:
    file.copy("node/nodes/input", "node/nodes/input2")
    edges(("input2", "scale"))(file)


def loop_of_links(file: h5py.File) -> None:
    link("node/nodes/fc", h5py.SoftLink("/node/nodes/pool"))(file)
    link("node/nodes/pool", h5py.SoftLink("/node/nodes/fc"))(file)


def names(*parts: tuple[str, str]) -> Callable:
    """Move members of an HDF5 file."""

    def change(file: h5py.File) -> None:
        for old, new in parts:
            file.move(old, new)

    return change


_N = "node/nodes"
_HUGE = {"shape": (1 << 20, 1 << 20), "dtype": "f4", "chunks": (1 << 10, 1 << 10)}

NIR = {
    "truncated": Damage(lambda data: data[: len(data) // 2], "not a readable NIR file", raw=True),
    "empty": Damage(lambda data: b"", "is empty", raw=True),
    "a picture": Damage(lambda data: b"\x89PNG\r\n\x1a\n" + data[8:], "not a readable NIR file", raw=True),
    "heap on which HDF5 hangs": Damage(zero_heap, "text heap with a block of 0 bytes", raw=True),
    "no graph": Damage(lambda f: f.__delitem__("node"), "has no 'node'"),
    "weights are text": Damage(put(f"{_N}/fc/weight", "abc"), "instead of numbers"),
    "weights are complex": Damage(put(f"{_N}/fc/weight", np.ones((3, 2), complex)), "instead of numbers"),
    "weights of another shape": Damage(put(f"{_N}/fc/weight", np.ones((3, 5))), "expect an input of (5,)"),
    "bias of another shape": Damage(put(f"{_N}/fc/bias", np.ones(4)), "bias has shape (4,)"),
    "weights with NaN": Damage(put(f"{_N}/fc/weight", np.full((3, 2), np.nan)), "not finite"),
    "infinite threshold": Damage(put(f"{_N}/lif/v_threshold", np.full((2, 4, 4), np.inf)), "not finite"),
    "negative time constant": Damage(
        put(f"{_N}/lif/tau", np.full((2, 4, 4), -1.0)), "'tau' must be positive"
    ),
    "parameters of two shapes": Damage(put(f"{_N}/lif/tau", np.ones(5)), "different shapes"),
    "a tebibyte declared": Damage(put(f"{_N}/fc/weight", None, **_HUGE), "at most 4294967296 bytes"),
    "an image of 2**93 pixels": Damage(put(f"{_N}/input/shape", [2**31] * 3), "2147483648"),
    "padding of 2**31": Damage(put(f"{_N}/conv/padding", [2**31 - 1] * 2), "beyond 1048576 pixels"),
    "padding of 2**20": Damage(put(f"{_N}/conv/padding", [2**20] * 2), "more than"),
    "stride of 0": Damage(put(f"{_N}/conv/stride", [0, 0]), "conv"),
    "groups that do not divide": Damage(put(f"{_N}/conv/groups", 3), "conv"),
    "kernel beyond the image": Damage(put(f"{_N}/pool/kernel_size", [9, 9]), "pool"),
    "delay of a century": Damage(put(f"{_N}/late/delay", np.full(3, 3e9)), "delays must be 0 to"),
    "nine axes": Damage(put(f"{_N}/fc/bias", np.ones((1,) * 9)), "9 axes"),
    "edge to nowhere": Damage(edges(("li", "ghost")), "a node that does not exist: ghost"),
    "edge twice": Damage(edges(("fc", "cuba")), "occurs 2 times"),
    "node without input": Damage(edges(without="pool"), "nothing feeds this node"),
    "loop without a neuron": Damage(edges(("sum", "pool")), "loop without a neuron"),
    "two inputs": Damage(second_input, "2 Input nodes", UNSUPPORTED),
    "unknown node": Damage(put(f"{_N}/fc/type", "Afine"), "Did you mean 'Affine'"),
    "missing field": Damage(put(f"{_N}/fc/bias", None), "Affine without bias"),
    "link to another file": Damage(
        link(f"{_N}/fc", h5py.ExternalLink("/etc/passwd", "/")), "link to another"
    ),
    "links in a circle": Damage(loop_of_links, "link to another place"),
    "data in another file": Damage(virtual(f"{_N}/fc/bias"), "from another file"),
    "graph inside itself": Damage(lambda f: f[_N].__setitem__("self", f["node"]), "nested too deeply"),
    "edge name out of the folder": Damage(edges(("../../x", "fc")), "printable characters without '/'"),
    "semantics of tomorrow": Damage(metadata(version=99), "version 99"),
    "step of no length": Damage(metadata(dt=0.0), "'dt' is 0.0"),
    "semantics that are no JSON": Damage(put("node/metadata/snn_deploy", "{"), "are damaged"),
}


def about(**changes) -> Callable:
    """Change the description in an ONNX model."""

    def change(model: onnx.ModelProto) -> None:
        entry = model.metadata_props[0]
        entry.value = json.dumps({**json.loads(entry.value), **changes})

    return change


def body(model: onnx.ModelProto) -> onnx.GraphProto:
    """What a Scan repeats."""
    return next(a.g for n in model.graph.node if n.op_type == "Scan" for a in n.attribute if a.name == "body")


def external(graph: Callable[[onnx.ModelProto], onnx.GraphProto]) -> Callable:
    """Keep the data of a constant outside."""

    def change(model: onnx.ModelProto) -> None:
        tensor = graph(model).initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../etc/passwd")

    return change


def operator(kind: str, inputs: list[str], output: str, *constants: tuple[str, object], **more) -> Callable:
    """Add an operator and its constants."""

    def change(model: onnx.ModelProto) -> None:
        for name, value in constants:
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        model.graph.node.append(helper.make_node(kind, inputs, [output], **more))

    return change


def endless(model: onnx.ModelProto) -> None:
    go = [helper.make_tensor_value_info(n, TensorProto.BOOL, []) for n in ("go", "go_on")]
    count = helper.make_tensor_value_info("i", TensorProto.INT64, [])
    again = helper.make_graph([helper.make_node("Identity", ["go"], ["go_on"])], "b", [count, go[0]], [go[1]])
    operator("Loop", ["rounds"], "", ("rounds", np.int64(2**62)), body=again)(model)


def cycle(model: onnx.ModelProto) -> None:
    nodes = body(model).node
    nodes[0].input[0] = nodes[-1].output[0]


def constant(**changes) -> Callable:
    """Change a constant of the repeated step."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in body(model).initializer if t.name == "fc.weight")
        for name, value in changes.items():
            if name == "dims":
                tensor.dims[:] = value
            else:
                setattr(tensor, name, value)

    return change


_SOUND = "not a sound ONNX file"
ONNX = {
    "truncated": Damage(lambda data: data[: len(data) // 3], _SOUND, raw=True),
    "empty": Damage(lambda data: b"", _SOUND, raw=True),
    "text": Damage(lambda data: b"#!/bin/sh\necho hello\n" * 40, _SOUND, raw=True),
    "data outside": Damage(external(lambda m: m.graph), "in another file"),
    "data outside, inside the scan": Damage(external(body), "in another file"),
    "a loop of 2**62 rounds": Damage(endless, "the operator 'Loop'"),
    "operator of another domain": Damage(operator("Run", ["x_seq"], "y", domain="evil"), "evil.Run"),
    "a tebibyte of zeros": Damage(
        operator("ConstantOfShape", ["s"], "y", ("s", np.array([2**20, 2**20]))), "[1048576, 1048576]"
    ),
    "2**31 steps": Damage(
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 2**31 - 1),
        "2147483647",
    ),
    "cycle": Damage(cycle, _SOUND),
    "missing node": Damage(lambda m: body(m).node.__delitem__(1), _SOUND),
    "missing constant": Damage(lambda m: body(m).initializer.__delitem__(0), _SOUND),
    "no nodes": Damage(lambda m: m.graph.ClearField("node"), "is not an output of any node"),
    "constant of another shape": Damage(constant(dims=[3, 5]), "fc.weight"),
    "constant of negative shape": Damage(constant(dims=[-3, 2]), "fc.weight"),
    "constant of another type": Damage(constant(data_type=TensorProto.INT64), "fc.weight"),
    "constant cut short": Damage(constant(raw_data=b"\x00" * 5), "fc.weight"),
    "operators of tomorrow": Damage(lambda m: setattr(m.opset_import[0], "version", 999), "operator set 999"),
    "no operator set": Damage(lambda m: m.ClearField("opset_import"), _SOUND),
    "functions": Damage(lambda m: m.functions.add(name="f", domain="d"), "holds functions"),
    "no description": Damage(lambda m: m.ClearField("metadata_props"), "has no 'snn_deploy' metadata"),
    "description that is no JSON": Damage(
        lambda m: setattr(m.metadata_props[0], "value", "{"), "are damaged"
    ),
    "description of other layers": Damage(about(layers=[{"name": "ghost", "shape": [3]}]), "ghost"),
    "description of another kind": Damage(about(kind="step"), "model.scan.onnx"),
    "description of absurd shapes": Damage(about(input={"name": "x_seq", "shape": [2**40]}), "declare the"),
    "description of 10**12 steps": Damage(about(timesteps=10**12), "timesteps"),
}

NET = {
    "truncated": Damage(lambda data: data[: len(data) // 2], "not a readable .net file", raw=True),
    "empty": Damage(lambda data: b"", "is empty", raw=True),
    "text": Damage(lambda data: b"layer: dense\n" * 9, "not a readable .net file", raw=True),
    "no layers": Damage(lambda f: f.__delitem__("layer"), "layer"),
    "layer missing": Damage(lambda f: f.__delitem__("layer/1"), "layer"),
    "weights with NaN": Damage(put("layer/1/weight", np.full((4, 3), np.nan)), "not finite"),
    "weights are text": Damage(put("layer/1/weight", "abc"), "weight"),
    "weights beyond 32 bits": Damage(put("layer/1/weight", np.full((4, 3), 2.0**40)), "32 bits", UNSUPPORTED),
    "unknown layer": Damage(put("layer/1/type", np.array([b"dnese"], "S10")), "'dense'", UNSUPPORTED),
    "a tebibyte declared": Damage(put("layer/1/weight", None, **_HUGE), "1099511627776 elements"),
    "link to another file": Damage(link("layer/1/weight", h5py.ExternalLink("/etc/passwd", "/")), "link"),
    "link that points to itself": Damage(link("layer/1/weight", h5py.SoftLink("/layer/1/weight")), "link"),
    "data in another file": Damage(virtual("layer/1/weight"), "another file"),
    "unknown neuron": Damage(put("layer/1/neuron/type", "ALIF"), "'ALIF'", UNSUPPORTED),
    "shape of nothing": Damage(put("layer/0/shape", np.array([0])), "shape", UNSUPPORTED),
}
