"""Operations on neighbouring float32 in one instruction, for compiled loops.

    add_products(out, at, values, start, ...)  sums of products of rows
    occupied(values, start)                    bit k says whether values[start + k] is not 0, k < BITS
    lowest(bits), ones(bits)                   position of the lowest bit that is set; how many are

Arrays are flat and of float32; positions are not checked. Such operations are built of :class:`Lanes`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from snn_deploy.core.compiled import inlined

LANES = 8
BITS = 32

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


def instruction(build: Callable[..., Any]) -> Callable[..., Any]:
    """A function for compiled loops, of which ``build`` gives signature and code for its operands' types; the
    type of a constant holds its value."""
    return cast(Callable[..., Any], intrinsic(prefer_literal=True)(build))


class Lanes:
    """Values of neighbouring elements while a loop is built; each operation is rounded once."""

    def __init__(self, builder: Any, value: Any, width: int) -> None:
        self._builder, self.value, self._width = builder, value, width

    @classmethod
    def at(cls, context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Lanes:
        """``width`` elements of an array from ``index`` on."""
        value = builder.load(_place(context, builder, kind, array, index, width))
        value.align = 4
        return cls(builder, value, width)

    def store(self, context: Any, kind: Any, array: Any, index: Any) -> None:
        """Write them to an array from ``index`` on."""
        place = _place(context, self._builder, kind, array, index, self._width)
        self._builder.store(self.value, place).align = 4

    def constant(self, number: float) -> Lanes:
        """``number`` in every lane."""
        kind = _kind(self._width)
        return self._of(ir.Constant(kind, [number] * self._width if self._width > 1 else number))

    def _of(self, value: Any) -> Lanes:
        return Lanes(self._builder, value, self._width)

    def __add__(self, other: Lanes) -> Lanes:
        return self._of(self._builder.fadd(self.value, other.value))

    def __sub__(self, other: Lanes) -> Lanes:
        return self._of(self._builder.fsub(self.value, other.value))

    def __mul__(self, other: Lanes) -> Lanes:
        return self._of(self._builder.fmul(self.value, other.value))

    def __truediv__(self, other: Lanes) -> Lanes:
        return self._of(self._builder.fdiv(self.value, other.value))

    def spread(self, width: int) -> Lanes:
        """The first one in ``width`` lanes."""
        if width == 1:
            return self
        undefined = ir.Constant(_kind(width), ir.Undefined)
        first = self._builder.insert_element(undefined, self.value, _INT(0))
        lanes = ir.Constant(ir.VectorType(_INT, width), [0] * width)
        return Lanes(self._builder, self._builder.shuffle_vector(first, undefined, lanes), width)

    def times_plus(self, a: Lanes, b: Lanes) -> Lanes:
        """``self a + b``, rounded once."""
        return self._call("fma", self, a, b)

    def minus_product(self, a: Lanes, b: Lanes) -> Lanes:
        """``self - a b``, rounded once."""
        return self._call("fma", self._of(self._builder.fneg(a.value)), b, self)

    def floor(self) -> Lanes:
        """The next whole number below."""
        return self._call("floor", self)

    def ceil(self) -> Lanes:
        """The next whole number above."""
        return self._call("ceil", self)

    def larger(self, other: Lanes) -> Lanes:
        """The larger one."""
        return self.less_than(other).choose(other, self)

    def smaller(self, other: Lanes) -> Lanes:
        """The smaller one."""
        return other.less_than(self).choose(other, self)

    def at_least(self, other: Lanes) -> Lanes:
        """Whether they reach ``other``."""
        return self._of(self._builder.fcmp_ordered(">=", self.value, other.value))

    def less_than(self, other: Lanes) -> Lanes:
        """Whether they are below ``other``."""
        return self._of(self._builder.fcmp_ordered("<", self.value, other.value))

    def choose(self, yes: Lanes, no: Lanes) -> Lanes:
        """``yes`` where these truth values hold, else ``no``."""
        return self._of(self._builder.select(self.value, yes.value, no.value))

    def _call(self, name: str, *operands: Lanes) -> Lanes:
        return self._of(_call(self._builder, name, self._width, *(o.value for o in operands)))


def _kind(width: int) -> Any:
    return ir.VectorType(_FLOAT, width) if width > 1 else _FLOAT


def _call(builder: Any, name: str, width: int, *operands: Any) -> Any:
    """An operation of LLVM on floats."""
    kind = _kind(width)
    known = f"llvm.{name}.v{width}f32" if width > 1 else f"llvm.{name}.f32"
    signature = ir.FunctionType(kind, [kind] * len(operands))
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, known), operands)


def _element(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    """Pointer to an element of an array."""
    return builder.gep(context.make_array(kind)(context, builder, array).data, [index])


def _place(context: Any, builder: Any, kind: Any, array: Any, index: Any, width: int) -> Any:
    """Pointer to ``width`` neighbours of an array from ``index`` on."""
    return builder.bitcast(_element(context, builder, kind, array, index), _kind(width).as_pointer())


def _adder(vectors: int, width: int) -> Any:
    @instruction
    def add(
        _typing: Any, out: Any, at: Any, values: Any, start: Any, offsets: Any, factors: Any, count: Any
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            def neighbours(number: int, index: Any) -> list[Lanes]:
                kind, array = signature.args[number], given[number]
                places = [builder.add(index, index.type(width * k)) for k in range(vectors)]
                return [Lanes.at(context, builder, kind, array, place, width) for place in places]

            def element(number: int, index: Any) -> Any:
                return builder.load(_element(context, builder, signature.args[number], given[number], index))

            def add_row(number: Any, sums: list[Lanes]) -> list[Lanes]:
                factor = Lanes(builder, element(5, number), 1).spread(width)
                rows = neighbours(2, builder.add(given[3], element(4, number)))
                return [row.times_plus(factor, total) for row, total in zip(rows, sums, strict=True)]

            zero, one = (context.get_constant(types.intp, number) for number in range(2))
            totals = add_row(zero, neighbours(0, given[1]))
            # LLVM keeps these in registers while the loop runs.
            sums = [cgutils.alloca_once_value(builder, total.value) for total in totals]
            with cgutils.for_range_slice(builder, one, given[6], one) as (number, _):
                held = [Lanes(builder, builder.load(place), width) for place in sums]
                for place, total in zip(sums, add_row(number, held), strict=True):
                    builder.store(total.value, place)
            for k, place in enumerate(sums):
                index = builder.add(given[1], given[1].type(width * k))
                total = Lanes(builder, builder.load(place), width)
                total.store(context, signature.args[0], given[0], index)
            return context.get_dummy_value()

        return types.void(out, types.intp, values, types.intp, offsets, factors, types.intp), code

    return add


_add_long, _add_two, _add_lanes, _add_one = _adder(6, LANES), _adder(2, LANES), _adder(1, LANES), _adder(1, 1)


@inlined
def add_products(
    out: Any, at: int, values: Any, start: int, offsets: Any, factors: Any, count: int, length: int
) -> None:
    """``out[at + k] += factors[e] values[start + offsets[e] + k]`` for ``k < length`` and one ``e < count``
    after the other, each rounded once."""
    k = 0
    while k + 6 * LANES <= length:
        _add_long(out, at + k, values, start + k, offsets, factors, count)
        k += 6 * LANES
    while k + 2 * LANES <= length:
        _add_two(out, at + k, values, start + k, offsets, factors, count)
        k += 2 * LANES
    if k + LANES <= length:
        _add_lanes(out, at + k, values, start + k, offsets, factors, count)
        k += LANES
    while k < length:
        _add_one(out, at + k, values, start + k, offsets, factors, count)
        k += 1


@instruction
def occupied(_typing: Any, values: Any, _start: Any) -> Any:
    """Bit k says whether ``values[start + k]`` is not 0, ``k < BITS``."""

    def code(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        found = Lanes.at(context, builder, signature.args[0], given[0], given[1], BITS)
        return builder.bitcast(builder.fcmp_unordered("!=", found.value, found.constant(0.0).value), _INT)

    return types.uint32(values, types.intp), code


@instruction
def lowest(_typing: Any, _bits: Any) -> Any:
    """Position of the lowest bit that is set."""

    def code(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        position = builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))
        return builder.zext(position, context.get_value_type(types.intp))

    return types.intp(types.uint32), code


@instruction
def ones(_typing: Any, _bits: Any) -> Any:
    """How many bits are set."""

    def code(context: Any, builder: Any, _signature: Any, given: Any) -> Any:
        return builder.zext(builder.ctpop(given[0]), context.get_value_type(types.intp))

    return types.intp(types.uint32), code
