"""Damage to files: blind (bytes) and informed (members of an HDF5 file, fields of an ONNX model)."""

from __future__ import annotations

import io
import json
import random
import re
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import onnx
import yaml

NUMBERS = (0, 1, -1, 2, 7, 127, 255, 2**15, 2**16 - 1, 2**31 - 1, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1)
TEXTS = ("", "x", "../x", "/", ".", "a/b", "\n", "é" * 40, "x" * 3000, "LIF", "input", "output", "NaN")

MAX_READ = 2**16
"""Elements of a dataset that is read to be changed: an earlier change may have declared any number."""

MAX_TEXT = 2**18
"""Bytes of a changed text."""

Mutation = Callable[[bytes, random.Random], bytes]


def blind(content: bytes, rng: random.Random) -> bytes:
    """One to four random changes of the bytes."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at, length = rng.randrange(len(data)), rng.choice([1, 2, 4, 8, 64, 1024])
        kind = rng.choice(["flip", "set", "number", "cut", "delete", "repeat", "move", "noise"])
        if kind == "flip":
            data[at] ^= 1 << rng.randrange(8)
        elif kind == "set":
            data[at] = rng.choice([0, 1, 127, 128, 255])
        elif kind == "number":
            size = rng.choice([2, 4, 8])
            data[at : at + size] = (rng.choice(NUMBERS) % 256**size).to_bytes(size, "little")
        elif kind == "cut":
            del data[at:]
        elif kind == "delete":
            del data[at : at + length]
        elif kind == "repeat":
            data[at:at] = data[at : at + length]
        elif kind == "move":
            to = rng.randrange(len(data))
            data[to : to + length] = data[at : at + length]
        else:
            data[at : at + length] = rng.randbytes(length)
    return bytes(data)


def in_hdf5(content: bytes, rng: random.Random) -> bytes:
    """One to three changes of members of an HDF5 file."""
    stream = io.BytesIO(content)
    with h5py.File(stream, "a") as file:
        for _ in range(rng.randint(1, 3)):
            names: list[str] = []
            file.visit(names.append)
            if names:
                _change_member(file, rng.choice(names), names, rng)
    return stream.getvalue()


def _change_member(file: h5py.File, name: str, names: list[str], rng: random.Random) -> None:
    kind = rng.choice(["delete", "value", "value", "value", "link", "move", "copy", "declare", "attribute"])
    other = rng.choice(names)
    try:
        if kind == "attribute":
            owner = file[name] if file[name].attrs else file
            for key in list(owner.attrs):
                owner.attrs[key] = _change_text(str(owner.attrs[key]), rng)
            return
        member = file[name]
        small = isinstance(member, h5py.Dataset) and (member.size or 0) <= MAX_READ
        old = member[()] if small else None
        if kind == "move":
            file.move(name, f"{other}{rng.choice(['', '2'])}")
        elif kind == "copy" and not name.startswith(other):  # not into itself
            file.copy(other, f"{name}-2")
        else:
            del file[name]
        if kind == "value":
            file[name] = _value(old, rng)
        elif kind == "link":
            file[name] = rng.choice(
                [h5py.SoftLink(f"/{other}"), h5py.ExternalLink("/etc/hostname", "/"), file[other]]
            )
        elif kind == "declare":
            shape = tuple(rng.choice([1, 2**10, 2**20, 2**31]) for _ in range(rng.randint(1, 4)))
            file.create_dataset(name, shape, rng.choice(["f4", "f8", "i8", "S9"]), chunks=(1,) * len(shape))
    except (KeyError, ValueError, TypeError, OSError, RuntimeError):
        return  # not every change is possible in every file


def _value(old: Any, rng: random.Random) -> Any:
    if isinstance(old, bytes | str):
        return _change_text(old.decode(errors="replace") if isinstance(old, bytes) else old, rng)
    numbers = [*NUMBERS, float("nan"), float("inf"), 1e-300, 1e300, 0.5]
    if isinstance(old, np.ndarray | np.generic) and old.dtype.kind in "fiu" and rng.random() < 0.6:
        array = np.array(old, dtype=np.float64)
        kind = rng.choice(["element", "all", "shape", "less", "order"])
        if kind == "element" and array.size:
            array.flat[rng.randrange(array.size)] = rng.choice(numbers)
        elif kind == "all":
            array[...] = rng.choice(numbers)
        elif kind == "shape":
            array = array[None] if rng.random() < 0.5 else array.reshape(-1)
        elif kind == "less" and array.ndim:
            array = array[: rng.randint(0, len(array))]
        return array if rng.random() < 0.7 else array.astype(np.float32)
    return rng.choice(
        [
            rng.choice(numbers),
            rng.choice(TEXTS),
            [1, 2],
            [[TEXTS[1], TEXTS[9]]],
            np.ones((1,) * 9),
            b"\xff",
            True,
        ]
    )


def _change_text(text: str, rng: random.Random) -> str:
    """Another text; in JSON another value somewhere."""
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or rng.random() < 0.1:
        return rng.choice([*TEXTS, text[: len(text) // 2], text + "x"])
    _change_json(content, rng)
    return json.dumps(content)


def in_json(content: bytes, rng: random.Random) -> bytes:
    """One to three changes of values, keys or nesting, in a JSON document or one of its lines."""
    lines = content.splitlines() if content.count(b"}\n{") else [content]
    at = rng.randrange(len(lines))
    document = json.loads(lines[at])
    for _ in range(rng.randint(1, 3)):
        _change_json(document, rng)
    if rng.random() < 0.1:
        document = rng.choice([[document], document and {"x": document}, list(document), str(document), None])
    lines[at] = json.dumps(document).encode()
    return b"\n".join(lines) + b"\n"


def in_yaml(content: bytes, rng: random.Random) -> bytes:
    """One to three changes in a YAML document."""
    document = yaml.safe_load(content)
    for _ in range(rng.randint(1, 3)):
        _change_json(document, rng)
    return yaml.safe_dump(document).encode()


def _change_json(content: Any, rng: random.Random) -> None:
    keys = list(content) if isinstance(content, dict) else list(range(len(content)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(content[key], dict | list) and content[key] and rng.random() < 0.7:
        _change_json(content[key], rng)
    elif rng.random() < 0.2:
        del content[key]
    else:
        nested: Any = 1
        for _ in range(rng.choice([3, 300])):
            nested = [nested]
        values = [*NUMBERS, *TEXTS, None, True, 0.5, 1e400, [], {}, [1] * 9, -0.001, float("nan"), 10**400]
        content[key] = rng.choice([*values, nested, {"x": content[key]}, [content[key]]])


def in_onnx(content: bytes, rng: random.Random) -> bytes:
    """One to three changes of fields of an ONNX model."""
    model = onnx.load_model_from_string(content)
    graphs = [model.graph]
    graphs += [a.g for node in model.graph.node for a in node.attribute if a.HasField("g")]
    for _ in range(rng.randint(1, 3)):
        graph = rng.choice(graphs)
        rng.choice([_change_node, _change_constant, _change_interface, _change_model])(model, graph, rng)
    return bytes(model.SerializeToString())


def _change_node(_model: onnx.ModelProto, graph: onnx.GraphProto, rng: random.Random) -> None:
    if not graph.node:
        return
    at = rng.randrange(len(graph.node))
    node, other = graph.node[at], rng.choice(graph.node)
    kind = rng.choice(["op", "input", "output", "delete", "repeat", "attribute", "attribute"])
    if kind == "op":
        node.op_type = rng.choice(
            [other.op_type, "Loop", "If", "Scan", "Expand", "Reshape", "Where", "MatMul"]
        )
    elif kind == "input" and node.input:
        name = rng.choice([*other.output, *other.input, "ghost", ""])
        node.input[rng.randrange(len(node.input))] = name
    elif kind == "output":
        node.output[0] = rng.choice([*other.output, "ghost", ""])
    elif kind == "delete":
        del graph.node[at]
    elif kind == "repeat":
        graph.node.append(node)
    elif node.attribute:
        attribute = rng.choice(node.attribute)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS[:-4] + NUMBERS[-1:])
        else:
            attribute.i = rng.choice(NUMBERS)


def _change_constant(_model: onnx.ModelProto, graph: onnx.GraphProto, rng: random.Random) -> None:
    if not graph.initializer:
        return
    tensor = rng.choice(graph.initializer)
    kind = rng.choice(["dims", "type", "data", "name", "delete"])
    if kind == "dims":
        tensor.dims[:] = [rng.choice(NUMBERS) for _ in range(rng.randint(0, 5))]
    elif kind == "type":
        tensor.data_type = rng.choice([0, 1, 6, 7, 8, 9, 10, 11, 99])
    elif kind == "data":
        tensor.raw_data = blind(tensor.raw_data, rng)
    elif kind == "name":
        tensor.name = rng.choice(graph.initializer).name
    else:
        graph.initializer.remove(tensor)


def _change_interface(_model: onnx.ModelProto, graph: onnx.GraphProto, rng: random.Random) -> None:
    values = rng.choice([graph.input, graph.output])
    if not values:
        return
    value = rng.choice(values)
    kind = rng.choice(["name", "type", "shape", "delete"])
    if kind == "name":
        value.name = rng.choice([*TEXTS, rng.choice(values).name])
    elif kind == "type":
        value.type.tensor_type.elem_type = rng.choice([0, 1, 7, 8, 9, 11])
    elif kind == "shape":
        for dim in value.type.tensor_type.shape.dim:
            if rng.random() < 0.5:
                dim.dim_value = rng.choice(NUMBERS)
    else:
        values.remove(value)


def _change_model(model: onnx.ModelProto, _graph: onnx.GraphProto, rng: random.Random) -> None:
    kind = rng.choice(["opset", "ir", "metadata", "metadata", "metadata"])
    if kind == "opset" and model.opset_import:
        model.opset_import[0].version = rng.choice([*NUMBERS, 6, 13, 18])
    elif kind == "ir":
        model.ir_version = rng.choice(NUMBERS)
    elif model.metadata_props:
        model.metadata_props[0].value = _change_text(model.metadata_props[0].value, rng)


_TOKEN = re.compile(rb"[\w.+-]+|\s+|.", re.DOTALL)
_WORDS = (
    *".inf .nan nan 1e400 ~ true off !!int &a *a << [[[[ { ] ' - : # | > ? , = =1+1".split(),  # noqa: SIM905
    *('"', "\\ud800", '"\\UFFFFFFFF"', ": ", "# ", "- - -", "9" * 5000, f"0x{'f' * 500}"),
)
_NASTY = (
    *(str(number).encode() for number in NUMBERS),
    *(text.encode() for text in (*TEXTS, *_WORDS)),
    *(b"\xff", b"\x00", b"\x1b[31m", b"\t", b"\r"),
)


def in_text(content: bytes, rng: random.Random) -> bytes:
    """One to four words or lines of a text changed, repeated or left out."""
    for _ in range(rng.randint(1, 4)):
        pattern = _TOKEN if rng.random() < 0.7 else re.compile(rb"[^\n]*\n?")
        parts = pattern.findall(content)
        if not parts:
            break
        at, to = rng.randrange(len(parts)), rng.randrange(len(parts))
        kind = rng.choice(["nasty", "nasty", "nasty", "delete", "repeat", "many", "swap", "copy"])
        if kind == "nasty":
            parts[at] = rng.choice(_NASTY)
        elif kind == "delete":
            del parts[at]
        elif kind in {"repeat", "many"}:
            parts[at] *= 2 if kind == "repeat" else rng.choice([9, 100, 3000])
        elif kind == "swap":
            parts[at], parts[to] = parts[to], parts[at]
        else:
            parts[at] = parts[to]
        content = b"".join(parts)[:MAX_TEXT]
    return content
