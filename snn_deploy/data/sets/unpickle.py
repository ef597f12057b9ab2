"""Read pickles of plain values and numeric arrays without running pickle.

Python's unpickler calls whatever a file names. This one knows only the opcodes that dictionaries, lists,
tuples, strings, integers and numpy arrays of numbers consist of. Calls into numpy are recognised by their
exact form and carried out here, so that no type of numpy sees a value before it was checked.

Source of the opcodes: the standard library's ``pickletools``, which documents each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.core.errors import DataError

MAX_OPCODES = 1_000_000
"""Bounds the memory that many small objects need; CIFAR-100's 50,000 training samples take 0.2 million."""

_MAX_LINE = 256
_MAX_DIMENSIONS = 8
_NUMBERS = frozenset({"b1", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"})
_DTYPE_STATE = (None, None, None, -1, -1, 0)


class _Global(Enum):
    RECONSTRUCT = "the function that makes an empty array"
    NDARRAY = "the type of arrays"
    DTYPE = "the type of data types"


_GLOBALS = {
    ("numpy.core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _Global.RECONSTRUCT,
    ("numpy", "ndarray"): _Global.NDARRAY,
    ("numpy", "dtype"): _Global.DTYPE,
}


class _RefusedError(Exception):
    """What is wrong, to be completed to a sentence about the file."""


@dataclass(slots=True)
class _DType:
    code: str
    order: str = "="


@dataclass(slots=True)
class _Array:
    value: NDArray[Any] | None = None


def read_limited(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most ``limit`` bytes.

    Raises:
        DataError: it cannot be read, or is longer.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror}.") from None
    if len(data) > limit:
        raise DataError(f"'{path}' has more than {limit} bytes, the limit for such a file.")
    return data


def load_pickle(data: bytes, name: str) -> dict[str, Any]:
    """The dictionary that the pickle ``data`` (protocol 2 to 4) of the file ``name`` holds.

    Its keys, and those of dictionaries in it, are text, whether Python 2 or 3 wrote them; Python 2's other
    strings are bytes. Arrays are read-only and only found as values of this dictionary.

    Raises:
        DataError: the file is damaged, holds anything else, or names a global that such files do not need.
    """
    machine = _Machine(data)
    try:
        return machine.run()
    except _RefusedError as reason:
        text = str(reason)
    except (ValueError, TypeError, IndexError, KeyError):
        text = f"it is damaged near byte {machine.position}"
    raise DataError(
        f"'{name}' is not a pickle of plain values and numeric arrays: {text}.",
        hint="Nothing in it was executed. Download the file again from its publisher.",
    )


class _Machine:
    """Reads opcodes; their stack and memo."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> dict[str, Any]:
        for _ in range(MAX_OPCODES):
            start = self.position
            code = self.take(1)
            if code == b".":
                return self.result()
            handler = _HANDLERS.get(code)
            if handler is None:
                raise _RefusedError(f"opcode {code!r} at byte {start}")
            handler(self)
        raise _RefusedError(f"it has more than {MAX_OPCODES} opcodes")

    def take(self, count: int) -> bytes:
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise ValueError
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def skip(self, count: int) -> None:
        self.take(count)

    def line(self) -> str:
        end = self.data.index(b"\n", self.position, self.position + _MAX_LINE)
        text = self.take(end - self.position).decode("ascii")
        self.position += 1
        return text

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        mark = self.marks.pop()
        values = self.stack[mark:]
        del self.stack[mark:]
        return values

    def pop(self, count: int) -> tuple[Any, ...]:
        if count > len(self.stack):
            raise IndexError
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        return values

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, list):
            raise TypeError
        target.extend(values)

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict) or len(values) % 2:
            raise TypeError
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[as_text(key)] = value

    def find_global(self, module: Any, name: Any) -> None:
        try:
            self.push(_GLOBALS[module, name])
        except KeyError:
            raise _RefusedError(f"it refers to '{module}.{name}'") from None

    def reduce(self) -> None:
        function, arguments = self.pop(2)
        match function, arguments:
            case _Global.RECONSTRUCT, (_Global.NDARRAY, (0,), "b" | b"b"):
                self.push(_Array())
            case _Global.DTYPE, (code, align, copied) if (align, copied) == (0, 1):
                if (text := as_text(code)) not in _NUMBERS:
                    raise _RefusedError(f"arrays of type '{text}'")
                self.push(_DType(text))
            case _:
                raise _RefusedError("a call that makes no numeric array")

    def build(self) -> None:
        (state,) = self.pop(1)
        match self.stack[-1], state:
            case _DType() as dtype, (3, order, *rest) if tuple(rest) == _DTYPE_STATE:
                dtype.order = as_text(order)
                if dtype.order not in {"|", "<", ">", "="}:
                    raise ValueError
            case _Array() as array, (1, shape, _DType() as dtype, bool() as fortran, content):
                array.value = _make_array(shape, dtype, fortran, content)
            case _:
                raise _RefusedError("an array of an unknown form")

    def result(self) -> dict[str, Any]:
        if self.position != len(self.data):
            raise _RefusedError(f"{len(self.data) - self.position} bytes follow its end")
        (value,) = self.stack
        if not isinstance(value, dict):
            raise _RefusedError("it holds no dictionary")
        result: dict[str, Any] = {}
        for key, item in value.items():
            result[key] = item.value if isinstance(item, _Array) else item
        return result


def _make_array(shape: Any, dtype: _DType, fortran: bool, content: bytes) -> NDArray[Any]:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise TypeError
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError
    order = "=" if dtype.order == "|" else dtype.order
    numpy_type = np.dtype(order + dtype.code)
    if not isinstance(content, bytes):
        raise TypeError
    if math.prod(shape) * numpy_type.itemsize != len(content):
        raise _RefusedError(f"an array of shape {shape} with {len(content)} bytes")
    return np.frombuffer(content, numpy_type).reshape(shape, order="F" if fortran else "C")


def as_text(value: Any) -> str:
    """ASCII text, written as text by Python 3 or as a byte string by Python 2.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, str):
        return value
    raise TypeError


def _global(machine: _Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.find_global(module, name)


def _instance(machine: _Machine) -> None:
    module, name = machine.line(), machine.line()
    raise _RefusedError(f"it makes an instance of '{module}.{name}'")


def _memoize(machine: _Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _put(size: int) -> _Handler:
    def put(machine: _Machine) -> None:
        machine.memo[machine.number(size)] = machine.stack[-1]

    return put


def _get(size: int) -> _Handler:
    return lambda m: m.push(m.memo[m.number(size)])


def _integer(size: int, *, signed: bool = False) -> _Handler:
    return lambda m: m.push(m.number(size, signed=signed))


def _bytes(size: int, *, signed: bool = False) -> _Handler:
    return lambda m: m.push(m.take(m.number(size, signed=signed)))


def _unicode(size: int) -> _Handler:
    return lambda m: m.push(m.take(m.number(size)).decode("utf-8", "surrogatepass"))


_Handler = Callable[[_Machine], None]

_HANDLERS: dict[bytes, _Handler] = {
    b"\x80": lambda m: m.skip(1),  # PROTO
    b"\x95": lambda m: m.skip(8),  # FRAME
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": _integer(1),
    b"M": _integer(2),
    b"J": _integer(4, signed=True),
    b"\x8a": lambda m: m.push(m.number(m.number(1), signed=True)),  # LONG1
    b"U": _bytes(1),  # strings of Python 2
    b"T": _bytes(4, signed=True),
    b"C": _bytes(1),
    b"B": _bytes(4),
    b"\x8e": _bytes(8),
    b"\x8c": _unicode(1),
    b"X": _unicode(4),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"(": lambda m: m.marks.append(len(m.stack)),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"\x85": lambda m: m.push(m.pop(1)),
    b"\x86": lambda m: m.push(m.pop(2)),
    b"\x87": lambda m: m.push(m.pop(3)),
    b"a": lambda m: m.append(list(m.pop(1))),
    b"e": lambda m: m.append(m.pop_to_mark()),
    b"s": lambda m: m.set_items(list(m.pop(2))),
    b"u": lambda m: m.set_items(m.pop_to_mark()),
    b"q": _put(1),
    b"r": _put(4),
    b"\x94": _memoize,
    b"h": _get(1),
    b"j": _get(4),
    b"c": _global,
    b"\x93": lambda m: m.find_global(*m.pop(2)),  # STACK_GLOBAL
    b"i": _instance,
    b"R": lambda m: m.reduce(),
    b"b": lambda m: m.build(),
}
