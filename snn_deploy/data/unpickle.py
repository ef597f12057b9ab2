"""Read pickles of plain values and numeric arrays without running pickle.

Python's unpickler calls whatever a file names. This one walks over the opcodes (split off by the standard
library's ``pickletools.genops``, which executes nothing) and knows only those that dictionaries, lists,
tuples, strings, integers and numpy arrays of numbers consist of. Calls into numpy are recognised by their
exact form and carried out here, so that no type of numpy sees a value before it was checked.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_deploy.errors import DataError

MAX_OPCODES = 1_000_000
"""Bounds the memory that many small objects need; CIFAR-100's 50,000 training samples take 0.2 million."""

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

    Keys are text, whether Python 2 or 3 wrote them. Byte strings of Python 2 become text too (one character
    per byte). Arrays are read-only and only found as values of this dictionary.

    Raises:
        DataError: the file is damaged, holds anything else, or names a global that such files do not need.
    """
    machine = _Machine()
    end = 0
    try:
        for count, (opcode, argument, position) in enumerate(pickletools.genops(data)):
            if count >= MAX_OPCODES:
                raise _RefusedError(f"it has more than {MAX_OPCODES} opcodes")
            end = position or 0
            handler = _HANDLERS.get(opcode.name)
            if handler is None:
                named = f" for '{str(argument).replace(' ', '.')}'" if opcode.name == "INST" else ""
                raise _RefusedError(f"opcode {opcode.name}{named} at byte {end}")
            handler(machine, argument)
        if end + 1 != len(data):
            raise _RefusedError(f"{len(data) - end - 1} bytes follow its end")
        return machine.result()
    except _RefusedError as reason:
        text = str(reason)
    except (ValueError, TypeError, IndexError, KeyError):
        text = f"it is damaged near byte {end}"
    raise DataError(
        f"'{name}' is not a pickle of plain values and numeric arrays: {text}.",
        hint="Nothing in it was executed. Download the file again from its publisher.",
    )


class _Machine:
    """The stack and memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

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
        (value,) = self.stack
        if not isinstance(value, dict):
            raise _RefusedError("it holds no dictionary")
        result: dict[str, Any] = {}
        for key, item in value.items():
            result[key] = item.value if isinstance(item, _Array) else item
        return result


def _make_array(shape: Any, dtype: _DType, fortran: bool, content: str | bytes) -> NDArray[Any]:
    if not isinstance(shape, tuple) or len(shape) > _MAX_DIMENSIONS:
        raise TypeError
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError
    order = "=" if dtype.order == "|" else dtype.order
    numpy_type = np.dtype(order + dtype.code)
    if isinstance(content, str):
        content = content.encode("latin-1")
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


def _stack_global(machine: _Machine, _: Any) -> None:
    machine.find_global(*machine.pop(2))


def _global(machine: _Machine, argument: str) -> None:
    machine.find_global(*argument.split(" ", 1))


def _append(machine: _Machine, _: Any) -> None:
    machine.append(list(machine.pop(1)))


def _set_item(machine: _Machine, _: Any) -> None:
    machine.set_items(list(machine.pop(2)))


def _put(machine: _Machine, index: int) -> None:
    machine.memo[index] = machine.stack[-1]


def _memoize(machine: _Machine, _: Any) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


_Handler = Callable[[_Machine, Any], None]

_HANDLERS: dict[str, _Handler] = {
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda m, a: None),
    **dict.fromkeys(
        (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "SHORT_BINSTRING",
            "BINSTRING",
            "SHORT_BINBYTES",
            "BINBYTES",
            "BINBYTES8",
            "SHORT_BINUNICODE",
            "BINUNICODE",
        ),
        lambda m, a: m.push(a),
    ),
    "NONE": lambda m, a: m.push(None),
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "EMPTY_DICT": lambda m, a: m.push({}),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "MARK": lambda m, a: m.marks.append(len(m.stack)),
    "TUPLE": lambda m, a: m.push(tuple(m.pop_to_mark())),
    "TUPLE1": lambda m, a: m.push(m.pop(1)),
    "TUPLE2": lambda m, a: m.push(m.pop(2)),
    "TUPLE3": lambda m, a: m.push(m.pop(3)),
    "APPEND": _append,
    "APPENDS": lambda m, a: m.append(m.pop_to_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda m, a: m.set_items(m.pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _put),
    "MEMOIZE": _memoize,
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda m, a: m.push(m.memo[a])),
    "GLOBAL": _global,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": lambda m, a: m.reduce(),
    "BUILD": lambda m, a: m.build(),
}
